"""An audit whose policy names memberships: every figure recomputed, every printed one in the result, later releases."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import DataError
from auditkit.preflight import prepare
from auditkit.run import run
from tests.fairness.membership.recompute import keyed, memberships
from tests.fairness.membership.world import POLICY, frame, write
from tests.policies.real.acceptance import _moved
from tests.policies.real.claims import complaints, count_figures
from tests.policies.real.printed import Result, miscounted, unexplained

AS_OF = date(2026, 1, 15)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memberships")
    return run(write(folder, frame()), out=folder / "audits", as_of=AS_OF).folder / "public"


def told(public: Path) -> list[dict[str, Any]]:
    document = json.loads((public / "audit.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = document["fairness"]["memberships"]
    return found


def test_every_figure_is_recomputed(public: Path) -> None:
    actual, expected = keyed(told(public)), memberships(frame())
    found = complaints(actual, expected)
    assert not found, "\n".join(found[:20])
    moved = complaints(_moved(copy.deepcopy(actual)), expected)
    assert sum("nobody claims" not in text for text in moved) == count_figures(actual)


def test_every_printed_figure_is_in_the_result(public: Path) -> None:
    raw = (public / "audit.json").read_bytes()
    result = Result(json.loads(raw), raw)
    html = public / "report.html"
    assert unexplained(result, html) == []
    assert miscounted(result, html) == []
    text = html.read_text(encoding="utf-8")
    for words in ("Overlapping groups: traits", "Groups known by probability: race", "Its bias is", "Bounds by race"):
        assert words in text


def test_rules_go_by_bounds_where_membership_is_probable(public: Path) -> None:
    document = json.loads((public / "audit.json").read_text(encoding="utf-8"))
    verdicts = {found["id"]: found for found in document["findings"]}
    assert {name: verdicts[name]["verdict"] for name in ("M1", "M2", "M3", "M4")} == {
        "M1": "meets",
        "M2": "insufficient-evidence",
        "M3": "meets",
        "M4": "insufficient-evidence",
    }
    race = next(part for part in told(public) if part["on"] == "race")
    weighted = [row["estimate"] for row in race["measurements"] if row["measure"] == "fairness.impact_ratio"]
    # The interval of the weighted estimate would have met the rule; the bounds do not exclude a breach.
    assert all(estimate["low"] > 0.5 for estimate in weighted)
    assert all(group["estimate"]["n"] is None for group in verdicts["M2"]["groups"])
    assert "no bounds" in verdicts["M4"]["reason"]


def test_a_release_that_changes_a_few_memberships_tells_none_of_them(tmp_path: Path) -> None:
    table, text = frame(rows=700, repeats=False), POLICY.replace("[html, json]", "[json]")
    policy = write(tmp_path, table, text)
    run(policy, out=tmp_path / "audits", as_of=AS_OF)
    at = table.index[table.traits == "Carer"][:3]
    table.loc[at, "traits"] = "Carer|Veteran"
    write(tmp_path, table, text)
    again = run(policy, out=tmp_path / "audits", as_of=date(2026, 1, 16)).folder / "public"
    parts = told(again)
    assert [part["status"] for part in parts] == ["withheld"] * 3
    assert all(not part["measurements"] and not part["groups"] for part in parts)


def test_what_is_wrong_with_the_columns_is_told_before_the_audit(tmp_path: Path) -> None:
    policy = write(tmp_path, frame(repeats=False).drop(columns="veteran"))
    with pytest.raises(DataError, match="no column 'veteran'"):
        prepare(policy)
    table = frame(repeats=False)
    table["p_asian"] = 100 * table.p_asian
    with pytest.raises(DataError, match="outside 0 to 1"):
        prepare(write(tmp_path, table))
    (tmp_path / "more.yaml").write_text(POLICY.replace("Carer, Veteran", "Sailor, Pilot").replace(
        "traits-by-column: {columns: {Carer: carer, Veteran: veteran, Disabled: disabled}, reference: Carer}", ""
    ).replace("Disabled]", "Baker]"), encoding="utf-8")  # fmt: skip
    with pytest.raises(DataError, match="no evaluation record belongs to a group of 'traits'"):
        prepare(tmp_path / "more.yaml")
