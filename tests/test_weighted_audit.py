"""A whole audit of weighted records with chosen references: its figures again, from the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from scipy import stats
from sklearn.metrics import accuracy_score, brier_score_loss, precision_score, recall_score, roc_auc_score

from auditkit.result import AuditResult, Estimate
from auditkit.run import run
from tests.policies.real.printed import Result, unexplained

HALF = 5.01e-5
"""Half of the last decimal that weighted figures are shown to."""
REGIONS = ["east", "north", "west"]
RATES = {"east": 0.45, "north": 0.55, "west": 0.62}
RULE = {"measure": "fairness.impact_ratio", "op": ">=", "threshold": 0.8, "severity": "high", "because": "a test"}


def rows() -> pd.DataFrame:
    """1,600 records of persons with one or two each; heavy records are selected more often."""
    draw = np.random.default_rng(11)
    who = np.repeat(np.arange(1200), draw.permutation(np.repeat([1, 2], [800, 400])))
    frame = pd.DataFrame({
        "person": [f"person-{code:05d}" for code in who],
        "region": draw.choice(REGIONS, 1200, p=(0.5, 0.3, 0.2))[who],
        "sex": draw.choice(["female", "male"], 1200)[who],
        "w": draw.lognormal(0, 0.5, len(who)).round(4),
    })  # fmt: skip
    chance = frame["region"].map(RATES) + 0.1 * np.log(frame["w"]) + 0.05 * (frame["sex"] == "female")
    frame["score"] = np.clip(draw.normal(chance, 0.25), 0, 1).round(3)
    frame["decision"] = (frame["score"] >= 0.5).astype(int)
    frame["label"] = draw.binomial(1, 0.25 + 0.5 * frame["score"])
    frame["id"] = [f"record-{i:05d}" for i in range(len(frame))]
    return frame


def policy(folder: Path) -> Path:
    given = {
        "auditkit": 1, "name": "Weighted", "domain": "employment", "frameworks": ["us-ugesp-four-fifths"],
        "statutory": {"sex": "sex"},
        "data": {
            "evaluation": "rows.csv", "id": "id", "person": "person", "weight": "w",
            "label": {"column": "label", "favourable": 1, "means": "outcome"},
        },
        "model": {"adapter": "predictions", "decision": "decision", "score": "score"},
        "protected": {
            "region": {"column": "region", "groups": REGIONS, "reference": "overall"},
            "sex": {"column": "sex", "groups": ["female", "male"], "reference": "best"},
        },
        "fairness": {"replicates": 1000, "discovery": "none"},
        "rules": [{**RULE, "id": "F1", "on": "region"}, {**RULE, "id": "F2", "on": "sex"}],
        "report": {"formats": ["json", "html"]},
    }  # fmt: skip
    path = folder / "policy.yaml"
    with path.open("w", encoding="utf-8") as stream:
        YAML(typ="safe").dump(given, stream)
    return path


Audited = tuple[AuditResult, Path, bytes]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return rows()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> Audited:
    folder = tmp_path_factory.mktemp("weighted")
    frame.to_csv(folder / "rows.csv", index=False)
    done = run(policy(folder), out=folder / "out")
    page, raw = (next(file for file in done.files if file.suffix == suffix) for suffix in (".html", ".json"))
    return done.result, page, raw.read_bytes()


def estimate(found: AuditResult, measure: str, on: str, group: str) -> Estimate:
    name = f"fairness.{measure}"
    return next(m.estimate for m in found.fairness.measurements if (m.measure, m.on, m.group) == (name, on, group))


def points(part: pd.DataFrame) -> dict[str, float]:
    """Every rate by scikit-learn."""
    given = {"y_true": part["label"], "y_pred": part["decision"], "sample_weight": part["w"]}
    tpr, tnr = recall_score(**given), recall_score(**given, pos_label=0)
    ppv, npv = precision_score(**given), precision_score(**given, pos_label=0)
    return {
        "selection_rate": np.average(part["decision"], weights=part["w"]), "tpr": tpr, "fnr": 1 - tpr, "tnr": tnr,
        "fpr": 1 - tnr, "ppv": ppv, "fdr": 1 - ppv, "npv": npv, "for": 1 - npv, "accuracy": accuracy_score(**given),
        "base_rate": np.average(part["label"], weights=part["w"]),
    }  # fmt: skip


def trials(part: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """The denominator's records, and which of them are events."""
    label, decision = part["label"] == 1, part["decision"] == 1
    inside, event = {
        "tpr": (label, decision), "fnr": (label, ~decision), "tnr": (~label, ~decision), "fpr": (~label, decision),
        "ppv": (decision, label), "fdr": (decision, ~label), "npv": (~decision, ~label), "for": (~decision, label),
        "accuracy": (label | ~label, label == decision), "selection_rate": (label | ~label, decision),
        "base_rate": (label | ~label, label),
    }[name]  # fmt: skip
    return part[inside], event[inside]


def limits(part: pd.DataFrame, name: str, level: float) -> tuple[float, float]:
    """Wilson's limits at the smaller of Kish's n and the n that the persons' spread leaves."""
    own, event = trials(part, name)
    w, e = own["w"], event.astype(float)
    p, total = np.average(e, weights=w), w.sum()
    residual = (w * (e - p)).groupby(own["person"]).sum()
    spread = (residual**2).sum() * len(residual) / (len(residual) - 1) / total**2
    n = min(total**2 / (w**2).sum(), p * (1 - p) / spread)
    z = stats.norm.ppf(0.5 + level / 2)
    ends = np.roots([1 + z * z / n, -2 * p - z * z / n, p * p])
    return float(ends.min()), float(ends.max())


@pytest.mark.parametrize(("on", "groups"), [("region", REGIONS), ("sex", ["female", "male"]), ("", [""])])
def test_every_rate(audited: Audited, frame: pd.DataFrame, on: str, groups: list[str]) -> None:
    for group in groups:
        part = frame[frame[on] == group] if on else frame
        for name, value in points(part).items():
            found = estimate(audited[0], name, on, group)
            assert found.value == pytest.approx(value, abs=HALF)
            assert found.n == len(trials(part, name)[0])
            assert found.events is None
            low, high = limits(part, name, 0.95 ** (1 / len(groups)))
            assert found.low == pytest.approx(low - HALF, abs=HALF), "outwards"
            assert found.high == pytest.approx(high + HALF, abs=HALF)
        tpr, tnr = points(part)["tpr"], points(part)["tnr"]
        assert estimate(audited[0], "balanced_accuracy", on, group).value == pytest.approx((tpr + tnr) / 2, abs=HALF)
        given = {"y_true": part["label"], "sample_weight": part["w"]}
        area, brier = roc_auc_score(y_score=part["score"], **given), brier_score_loss(y_proba=part["score"], **given)
        assert estimate(audited[0], "auc", on, group).value == pytest.approx(area, abs=HALF)
        assert estimate(audited[0], "brier", on, group).value == pytest.approx(brier, abs=HALF)


def test_every_comparison(audited: Audited, frame: pd.DataFrame) -> None:
    whole = points(frame)
    for group in REGIONS:
        for name, value in points(frame[frame["region"] == group]).items():
            apart = estimate(audited[0], f"{name}_difference", "region", group)
            assert apart.value == pytest.approx(value - whole[name], abs=HALF)
            times = estimate(audited[0], f"{name}_ratio", "region", group)
            assert times.value == pytest.approx(value / whole[name], abs=HALF)
    sides = {sex: points(frame[frame["sex"] == sex]) for sex in ("female", "male")}
    best = max(sides, key=lambda sex: sides[sex]["selection_rate"])
    (other,) = set(sides) - {best}
    assert {g.group for g in audited[0].fairness.groups if g.on == "sex" and g.is_reference} == {best}
    for name, value in sides[other].items():
        apart = estimate(audited[0], f"{name}_difference", "sex", other)
        assert apart.value == pytest.approx(value - sides[best][name], abs=HALF)
        ends = [limits(frame[frame["sex"] == sex], name, 0.95) for sex in (other, best)]
        near = math.hypot(*(high - low for low, high in ends))
        assert apart.high - apart.low == pytest.approx(near, rel=0.1), "about as wide as the two rates' limits say"


def test_differences_from_all_records_by_way_of_the_others(audited: Audited, frame: pd.DataFrame) -> None:
    level = 0.95 ** (1 / 3)
    z = stats.norm.ppf(0.5 + level / 2)
    for group in REGIONS:
        own, rest = (frame[(frame["region"] == group) == side] for side in (True, False))
        p, q = points(own)["tpr"], points(rest)["tpr"]
        (low, high), (low0, high0) = limits(own, "tpr", level), limits(rest, "tpr", level)
        weights = [trials(part, "tpr")[0]["w"] for part in (own, rest)]
        s = weights[0].sum() / (weights[0].sum() + weights[1].sum())

        def size(p: float, high: float) -> float:
            """The n at which Wilson's upper limit is this."""
            return z * z * high * (1 - high) / (high - p) ** 2

        drawn = abs(p - q) * z * math.sqrt(s * (1 - s) / (size(p, high) + size(q, high0)))
        below = math.hypot((1 - s) * math.hypot(p - low, high0 - q), drawn)
        above = math.hypot((1 - s) * math.hypot(high - p, q - low0), drawn)
        found = estimate(audited[0], "tpr_difference", "region", group)
        assert found.low == pytest.approx((1 - s) * (p - q) - below, abs=2 * HALF)
        assert found.high == pytest.approx((1 - s) * (p - q) + above, abs=2 * HALF)


def test_statutory_tables_count_records(audited: Audited, frame: pd.DataFrame) -> None:
    statutory = audited[0].statutory
    assert statutory is not None
    (table,) = statutory.four_fifths.tables
    for row in table.rows:
        part = frame[frame["sex"] == row.group]
        assert (row.n, row.selected) == (len(part), int(part["decision"].sum()))
        assert row.rate.value == pytest.approx(part["decision"].mean())


def test_what_is_printed_is_in_the_result_and_says_weights(audited: Audited) -> None:
    _, page, document = audited
    text = page.read_text("utf-8")
    assert "Records have sample weights" in text
    assert "every group is compared with all records" in text
    # Lines of methods name the least and the largest design effect of several estimates; a figure without a reference
    # group names its least and its largest rate; bins are counted.
    known = ("divided by the design effect ", "selection rates run from", "in 'Bin ")
    found = unexplained(Result(json.loads(document), document), page)
    left = [what for what in found if not any(words in what for words in known)]
    assert not left, "\n".join(left)
