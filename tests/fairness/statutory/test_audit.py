"""A whole audit of invented applicants: every figure of the tables recomputed from the file, and the report read."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from auditkit.run import run
from tests.fairness.statutory.applicants import applicants, lay_out
from tests.policies.real.claims import complaints
from tests.policies.real.printed import Result, unexplained

CELL, SMALL = 10, 0.02
SEXES, RACES = ["Female", "Male"], ["Hispanic", "White", "Black", "Asian", "Two or more"]


@pytest.fixture(scope="module", params=["selection", "scores"])
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    policy = lay_out(folder, **{"variant: selection": f"variant: {request.param}"})
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text + "report: {formats: [html, json]}\n", encoding="utf-8")
    return request.param, run(policy, out=folder / "audits", as_of=date(2026, 11, 23)).folder


def document(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "public" / "audit.json").read_text("utf-8"))


def wilson(events: int, n: int, family: int) -> tuple[float, float]:
    z = stats.norm.ppf(0.5 + 0.95 ** (1 / family) / 2)
    found = stats.binomtest(events, n).proportion_ci(2 * stats.norm.cdf(z) - 1, method="wilson")
    return found.low, found.high


def test_every_exact_figure_of_the_bias_audit_is_that_of_the_file(audited: tuple[str, Path]) -> None:
    variant, folder = audited
    frame = applicants()
    middle = frame["score"].median()
    frame["chosen"] = frame["score"] > middle if variant == "scores" else frame["score"] >= 0.55
    audit = document(folder)["statutory"]["bias_audit"]
    assert audit["variant"] == variant
    if variant == "scores":
        claim = {"value": middle, "step": 0.001, "n": 3000, "at_median": float((frame["score"] == middle).mean())}
        assert complaints(audit["median"], claim | {"ties": "above"}, "median") == []
    exact = 0
    for table, keys in zip(audit["tables"], (["sex"], ["ethnicity"], ["sex", "ethnicity"]), strict=True):
        known = frame[frame["sex"].isin(SEXES) if "sex" in keys else np.ones(len(frame), bool)]
        known = known[known["ethnicity"].isin(RACES)] if "ethnicity" in keys else known
        assert table["unknown"] == len(frame) - len(known)
        sizes = known.groupby(keys)["chosen"].agg(["size", "sum"])
        exact += _table(table, sizes, total=len(frame))
    assert exact >= 8


def _table(table: dict[str, Any], sizes: pd.DataFrame, *, total: int) -> int:
    """Claim every row whose counts are published; how many that were."""
    counts = {" · ".join(key if isinstance(key, tuple) else (key,)): tuple(map(int, v)) for key, v in
              zip(sizes.index, sizes.to_numpy(), strict=True)}  # fmt: skip
    shown = {r["category"]: counts[r["category"]] for r in table["rows"] if r["selected"] is not None}
    kept = {name: (a / n) for name, (n, a) in shown.items() if n / total >= SMALL}
    best = max(kept, key=kept.__getitem__)
    family = sum(n >= CELL for n, _ in counts.values())
    for r in table["rows"]:
        n, a = counts[r["category"]]
        assert r["n"] == n and r["share"] == pytest.approx(n / total)
        assert r["excluded"] == (n / total < SMALL)
        assert r["is_most_selected"] == (r["category"] == best)
        if r["selected"] is None:
            assert r["rate"]["value"] is None or r["rate"]["step"] * n >= CELL / 2
            assert r["rate"]["value"] is None or abs(r["rate"]["value"] - a / n) <= r["rate"]["step"] / 2 + 1e-9
            continue
        low, high = wilson(a, n, family)
        rate = {"value": a / n, "low": low, "high": high, "level": 0.95, "n": n, "events": a, "step": 0.0}
        assert complaints({k: r["rate"][k] for k in rate}, rate, r["category"]) == []
        if not r["excluded"]:
            _ratio(r["ratio"], (a, n), (shown[best][1], shown[best][0]), own=r["category"] == best)
    return len(shown)


def _ratio(found: dict[str, Any], own_counts: tuple[int, int], best: tuple[int, int], *, own: bool) -> None:
    (a, n), (b, m) = own_counts, best
    ratio = (a / n) / (b / m)
    claim: dict[str, Any] = {"value": ratio, "level": 0.95, "n": n if own else n + m, "low": None, "high": None}
    if not own:
        half = stats.norm.ppf(0.975) * np.sqrt(1 / a - 1 / n + 1 / b - 1 / m)
        claim |= {"low": ratio * np.exp(-half), "high": ratio * np.exp(half)}
    assert complaints({k: found[k] for k in claim}, claim, "ratio") == []


def test_every_figure_of_the_four_fifths_tables_is_that_of_the_file(audited: tuple[str, Path]) -> None:
    frame = applicants()
    frame["chosen"] = frame["score"] >= 0.55
    tests = 0
    for table in document(audited[1])["statutory"]["four_fifths"]["tables"]:
        column, groups = ("sex", SEXES) if table["on"] == "sex" else ("ethnicity", RACES)
        own = frame[frame[column].isin(groups)].groupby(column)["chosen"].agg(["sum", "size"])
        b, m = own.loc[table["highest"]]
        for r in table["rows"]:
            a, n = own.loc[r["group"]]
            assert r["n"] == n
            if r["selected"] is None or r["is_highest"]:
                assert r["z"] is None and r["p_fisher"] is None and r["flip_to"] is None
                continue
            tests += 1
            square = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
            moved = a + 1 if a / n < 0.8 * b / m else a - 1
            claim = {
                "selected": a, "z": -np.sqrt(square.statistic), "p_z": square.pvalue,
                "p_fisher": stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue, "by_fisher": False,
                "flip_to": moved, "flip_ratio": (moved / n) / (b / m),
                "flips": bool((moved / n < 0.8 * b / m) != (a / n < 0.8 * b / m)),
            }  # fmt: skip
            plain = {k: v.item() if hasattr(v, "item") else v for k, v in claim.items()}
            assert complaints({k: r[k] for k in plain}, plain, r["group"]) == []
            below, odd = a / n < 0.8 * b / m, abs(claim["z"]) > 2
            words = ("below" if below else "not-below", "significant" if odd else "not-significant")
            assert r["cell"].startswith(words[0]) and r["cell"].endswith(words[1])
    assert tests >= 4


def test_no_group_shows_two_counts_that_differ_by_a_few_persons(audited: tuple[str, Path]) -> None:
    frame, result = applicants(), document(audited[1])
    high = frame["score"] > frame["score"].median()
    selected = frame["score"] >= 0.55
    rates = {
        (m["on"], m["group"]): m["estimate"]["events"]
        for m in result["fairness"]["measurements"]
        if m["measure"] == "fairness.selection_rate"
    }
    edges = {
        (own["on"], own["group"]): [point["x"] for point in own["distribution"]["points"] if 0 < point["x"] < 1]
        for own in result["fairness"]["scores"]
    }
    assert any(edges.values())
    both = 0
    for table in result["statutory"]["bias_audit"]["tables"]:
        for r in table["rows"]:
            if r["selected"] is None or rates[table["on"], r["category"]] is None:
                continue
            labels = frame[["sex", "ethnicity"] if table["kind"] == "sex-by-race" else table["on"]]
            joined = labels.agg(" · ".join, axis=1) if isinstance(labels, pd.DataFrame) else labels
            own = joined == r["category"]
            apart = [int((own & high & ~selected).sum()), int((own & ~high & selected).sum())]
            both += 1
            for edge in edges.get((table["on"], r["category"]), []):
                below = frame["score"] < edge
                apart += [int((own & high & below).sum()), int((own & ~high & ~below).sum())]
            assert audited[0] == "selection" or all(n == 0 or n >= CELL for n in apart)
    assert both


def test_every_printed_figure_is_in_the_result_and_no_word_judges(audited: tuple[str, Path], tmp_path: Path) -> None:
    public = audited[1] / "public"
    raw = (public / "audit.json").read_bytes()
    section = lxml.html.parse(str(public / "report.html")).getroot().get_element_by_id("statutory")
    alone = tmp_path / "statutory.html"
    alone.write_bytes(b"<meta charset=utf-8>" + lxml.html.tostring(section, encoding="utf-8"))
    assert unexplained(Result(json.loads(raw), raw), alone) == []
    text = section.text_content().lower()
    assert not re.search(r"\b(pass|passes|passed|fail|fails|failed|compliant|complies|fair)\b", text)
    assert "number assessed whose category is unknown" in text
    assert "sets no mark" in text and "justification: too few to be compared" in text
    assert "scoring rate" in text if audited[0] == "scores" else "scoring rate" not in text
    assert "report.minimum-cell" in text


def test_the_checklist_leads_to_the_tables_and_the_conflict_is_told(audited: tuple[str, Path]) -> None:
    root = lxml.html.parse(str(audited[1] / "public" / "report.html")).getroot()
    section = root.get_element_by_id("frameworks")
    places = {link.get("href", "") for link in section.iter("a")}
    tables = {place for place in places if place.startswith("#statutory")}
    assert tables, places
    assert all(root.get_element_by_id(place[1:]) is not None for place in tables)
    text = re.sub(r"\s+", " ", section.text_content())
    assert "audit.json: statutory" in text and "conflict: four fifths is a rule of thumb" in text
    parts = document(audited[1])["frameworks"]
    assert [len(part["warnings"]) for part in parts] == [1, 1]
