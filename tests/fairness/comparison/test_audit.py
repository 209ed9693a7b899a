"""A whole audit that compares models: every figure computed again from the file, and every printed one found."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from auditkit.errors import AuditError
from auditkit.notebook import audit_file
from auditkit.run import run
from tests.policies.real.printed import Result, unexplained

Floats = NDArray[np.float64]
POLICY = """
auditkit: 1
name: Two versions beside the audited one
data:
  evaluation: file.csv
  id: record
  person: person
  {weight}
  label: {{column: paid, favourable: 1, means: outcome}}
model: {{adapter: predictions, decision: approved}}
compare:
  cautious: {{score: cautious_score, threshold: 0.55}}
  coarse: {{decision: "income >= 3"}}
protected:
  sex: {{column: sex, groups: [female, male], reference: male}}
  region: {{column: region, groups: [north, south, west], reference: north}}
fairness: {{discovery: none, replicates: 1000}}
rules: []
report: {{formats: [html, json]}}
"""
# Event and denominator of each rate, from truth and decision.
RATES = {
    "selection_rate": (lambda t, d: d == 1, lambda t, d: d >= 0),
    "tpr": (lambda t, d: (t == 1) & (d == 1), lambda t, d: t == 1),
    "fpr": (lambda t, d: (t == 0) & (d == 1), lambda t, d: t == 0),
    "fnr": (lambda t, d: (t == 1) & (d == 0), lambda t, d: t == 1),
    "tnr": (lambda t, d: (t == 0) & (d == 0), lambda t, d: t == 0),
    "ppv": (lambda t, d: (t == 1) & (d == 1), lambda t, d: d == 1),
    "accuracy": (lambda t, d: t == d, lambda t, d: d >= 0),
    "npv": (lambda t, d: (t == 0) & (d == 0), lambda t, d: d == 0),
    "fdr": (lambda t, d: (t == 0) & (d == 1), lambda t, d: d == 1),
    "for": (lambda t, d: (t == 1) & (d == 0), lambda t, d: d == 0),
}
SHARED = ("selection_rate", "tpr", "fpr", "fnr", "tnr", "accuracy")
"""Rates whose denominator no model changes."""
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
CLOSED = {("region", "south"), ("region", "west")}
"""Few of the south change sides; with the south alone withheld, subtraction would give it back."""
Z = float(stats.norm.ppf(0.975))


def world(folder: Path, *, weight: bool) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 4000
    frame = pd.DataFrame({"sex": rng.choice(["female", "male"], n), "income": rng.integers(0, 6, n)})
    frame["region"] = rng.choice(["north", "south", "west"], n, p=[0.45, 0.35, 0.2])
    frame["paid"] = (rng.random(n) < 0.25 + 0.1 * frame["income"]).astype(int)
    look = frame["income"] / 6 + 0.25 * rng.normal(size=n)
    frame["approved"] = (look > 0.45).astype(int)
    score = 1 / (1 + np.exp(-3 * (look - 0.45 + 0.2 * rng.normal(size=n) + 0.05 * (frame["sex"] == "male"))))
    # In the south the cautious version decides as the audited one, but for four.
    south = frame["region"] == "south"
    score[south] = np.where(frame["approved"][south] == 1, 0.9, 0.1)
    score[frame.index[south & (frame["approved"] == 1) & (frame["paid"] == 1)][:4]] = 0.2
    frame["cautious_score"] = np.round(score, 3)
    frame["person"] = [f"cust-{k:05d}" for k in np.where(rng.random(n) < 0.3, rng.integers(0, n, n), np.arange(n) + n)]
    frame["record"] = [f"rec-{k:05d}" for k in range(n)]
    frame["weight"] = rng.choice([0.5, 1.0, 2.5], n)
    frame.to_csv(folder / "file.csv", index=False)
    (folder / "policy.yaml").write_text(POLICY.format(weight="weight: weight" if weight else ""))
    return frame


@dataclass(frozen=True)
class Records:
    """The file, asked record by record."""

    frame: pd.DataFrame
    weighted: bool

    @cached_property
    def weight(self) -> Floats:
        return self.frame["weight"].to_numpy(float) if self.weighted else np.ones(len(self.frame))

    @cached_property
    def persons(self) -> NDArray[np.int64]:
        return np.unique(self.frame["person"], return_inverse=True)[1]

    @cached_property
    def decisions(self) -> dict[str, Floats]:
        frame = self.frame
        found = {
            "": frame["approved"], "cautious": frame["cautious_score"] >= 0.55, "coarse": frame["income"] >= 3,
        }  # fmt: skip
        return {name: own.to_numpy(float) for name, own in found.items()}

    def inside(self, on: str, group: str) -> NDArray[np.bool_]:
        return np.ones(len(self.frame), bool) if not on else (self.frame[on] == group).to_numpy()

    def parts(self, metric: str, model: str, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        truth, decision = self.frame["paid"].to_numpy(float), self.decisions[model]
        event, trial = RATES[metric]
        return (rows & event(truth, decision) & trial(truth, decision)).astype(float), (
            rows & trial(truth, decision)
        ).astype(float)

    def rate(self, metric: str, model: str, rows: NDArray[np.bool_]) -> float:
        events, trials = self.parts(metric, model, rows)
        return float((self.weight * events).sum() / (self.weight * trials).sum())

    def over_persons(self, values: Floats) -> float:
        """Sum over persons of squared sums."""
        return float((np.bincount(self.persons, weights=values) ** 2).sum())

    def wilson(self, metric: str, model: str, rows: NDArray[np.bool_]) -> tuple[float, float, float]:
        events, trials = self.parts(metric, model, rows)
        return self.score_interval(events, trials)

    def score_interval(self, events: Floats, trials: Floats) -> tuple[float, float, float]:
        w = self.weight
        total, p = float((w * trials).sum()), float((w * events).sum() / (w * trials).sum())
        kish, least = total**2 / float((w**2 * trials).sum()), total**2 / self.over_persons(w * trials)
        spread = self.over_persons(w * (events - p * trials)) / total**2
        n = min(max(p * (1 - p) / spread, min(least, kish)), kish)
        centre, half = (p + Z**2 / (2 * n)), Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n * n))
        return p, (centre - half) / (1 + Z**2 / n), (centre + half) / (1 + Z**2 / n)

    def moved(self, metric: str, model: str, rows: NDArray[np.bool_], z: float) -> tuple[float, Floats, float]:
        """Smoothed change, what each record adds to it, and the variance of what is added."""
        w = self.weight
        sides = [self.parts(metric, name, rows) for name in ("", model)]
        either = np.maximum(sides[0][1], sides[1][1])
        own = float((w**2 * either).sum() / (w * either).sum())
        extra = z * z / 4 * own
        trials = [float((w * t).sum()) + 2 * extra for _, t in sides]
        p = [(float((w * e).sum()) + extra) / n for (e, _), n in zip(sides, trials, strict=True)]
        each = [w * (e - q * t) / n for (e, t), q, n in zip(sides, p, trials, strict=True)]
        if metric in SHARED:
            d = p[1] - p[0]
            added = z * z / 4 * own**2 * ((1 - d) ** 2 + (1 + d) ** 2) / trials[0] ** 2
        else:
            added = sum(z * z / 4 * own**2 * (q**2 + (1 - q) ** 2) / n**2 for q, n in zip(p, trials, strict=True))
        return p[1] - p[0], each[1] - each[0], added

    def change(self, row: dict[str, Any], z: float) -> tuple[float, float]:
        """Middle and error of a row's change."""
        metric = row["measure"].removeprefix("fairness.").removesuffix("_difference")
        middle, each, added = self.moved(metric, row["model"], self.inside(row["on"], row["group"]), z)
        if row["reference"]:
            base = self.moved(metric, row["model"], self.inside(row["on"], row["reference"]), z)
            middle, each, added = middle - base[0], each - base[1], added + base[2]
        return middle, math.sqrt(self.over_persons(each) + added)

    def p(self, row: dict[str, Any]) -> float:
        metric = row["measure"].removeprefix("fairness.")
        if row["reference"] or metric not in SHARED:
            middle, error = self.change(row, Z)
            return float(2 * stats.norm.sf(abs(middle) / error))
        rows = self.inside(row["on"], row["group"])
        apart = self.weight * (self.parts(metric, row["model"], rows)[0] - self.parts(metric, "", rows)[0])
        return float(stats.chi2.sf(apart.sum() ** 2 / self.over_persons(apart), 1))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "weighted"])
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Records, Path]:
    folder = tmp_path_factory.mktemp("models")
    frame = world(folder, weight=request.param)
    done = run(folder / "policy.yaml", out=folder / "audits", as_of=date(2026, 1, 15))
    return Records(frame, request.param), done.folder / "public"


def part_of(public: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((public / "audit.json").read_text("utf-8"))
    part: dict[str, Any] = document["fairness"]["models"]
    return part


def gap_of(records: Records, row: dict[str, Any], model: str) -> tuple[float, float, float]:
    """Rate or gap with its interval: Newcombe's for a gap."""
    metric = row["measure"].removeprefix("fairness.").removesuffix("_difference")
    own = records.wilson(metric, model, records.inside(row["on"], row["group"]))
    if not row["reference"]:
        return own
    base = records.wilson(metric, model, records.inside(row["on"], row["reference"]))
    apart = own[0] - base[0]
    return (
        apart, apart - math.hypot(own[0] - own[1], base[2] - base[0]),
        apart + math.hypot(own[2] - own[0], base[0] - base[1]),
    )  # fmt: skip


def shown(found: dict[str, Any], value: tuple[float, float, float], bound: float, lowest: float, fine: float) -> None:
    """An estimate is this one, exactly or rounded to its step (weighted ones to four places) with limits outwards."""
    step = found["step"] or fine
    if step:
        value = (
            round(value[0] / step) * step, math.floor(value[1] / step + 1e-9) * step,
            math.ceil(value[2] / step - 1e-9) * step,
        )  # fmt: skip
    low, high = max(value[1], lowest), min(value[2], bound)
    assert [found["value"], found["low"], found["high"]] == pytest.approx([value[0], low, high], abs=1e-6)


def expected_step(records: Records, row: dict[str, Any]) -> float:
    """The finest step of at least half a minimum cell of records, of the closed groups that the row is of."""
    metric = row["measure"].removeprefix("fairness.").removesuffix("_difference")
    steps = [0.0]
    for group in (row["group"], row["reference"]):
        if (row["on"], group) in CLOSED:
            rows = records.inside(row["on"], group)
            trials = min(records.parts(metric, model, rows)[1].sum() for model in ("", row["model"]))
            steps.append(next(step for step in STEPS if step * trials >= 5))
    return max(steps)


def test_every_figure_is_that_of_the_file(audited: tuple[Records, Path]) -> None:
    records, public = audited
    rows = part_of(public)["changes"]
    assert len(rows) == 2 * 10 * (1 + 2 + 3 + 1 + 2)
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["measure"], row["on"]), []).append(row)
    for family in families.values():
        z = float(stats.norm.ppf(0.5 + 0.95 ** (1 / len(family)) / 2))
        for row in family:
            _hold(records, row, z, len(family))


def _hold(records: Records, row: dict[str, Any], z: float, family: int) -> None:
    step, gap, fine = expected_step(records, row), bool(row["reference"]), 1e-4 if records.weighted else 0.0
    before, after = (gap_of(records, row, model) for model in ("", row["model"]))
    value, (middle, error) = after[0] - before[0], records.change(row, z)
    assert {row[name]["step"] for name in ("before", "after", "change")} == {step}
    shown(row["before"], before, 1.0, -1.0 if gap else 0.0, fine)
    shown(row["after"], after, 1.0, -1.0 if gap else 0.0, fine)
    limits = (value, min(middle - z * error, value), max(middle + z * error, value))
    shown(row["change"], limits, 2.0 if gap else 1.0, -2.0 if gap else -1.0, fine)
    if step:
        assert [row["p_value"], row["adjusted_p_value"], row["lost"], row["gained"], row["change"]["n"]] == [None] * 5
        return
    p = records.p(row)
    both = [p, -math.expm1(family * math.log1p(-min(p, 1 - 1e-16)))]
    if fine:
        both = [math.ceil(each / fine - 1e-9) * fine for each in both]
    assert [row["p_value"], row["adjusted_p_value"]] == pytest.approx(both, rel=1e-6, abs=1e-300)
    metric = row["measure"].removeprefix("fairness.").removesuffix("_difference")
    inside = [records.inside(row["on"], group) for group in ((row["group"], row["reference"]) if gap else ("",))]
    inside = inside if gap else [records.inside(row["on"], row["group"])]
    trials = [[records.parts(metric, model, rows)[1] for model in ("", row["model"])] for rows in inside]
    assert row["before"]["n"] == sum(pair[0].sum() for pair in trials)
    assert row["after"]["n"] == sum(pair[1].sum() for pair in trials)
    assert row["change"]["n"] == sum(np.maximum(*pair).sum() for pair in trials)
    if gap or metric not in SHARED:
        assert (row["lost"], row["gained"]) == (None, None)
        return
    events = [records.parts(metric, model, inside[0])[0] for model in ("", row["model"])]
    assert (row["lost"], row["gained"]) == ((events[0] > events[1]).sum(), (events[1] > events[0]).sum())
    assert row["before"]["events"] == events[0].sum()


def test_who_decides_otherwise(audited: tuple[Records, Path]) -> None:
    records, public = audited
    for model in part_of(public)["models"]:
        apart = (records.decisions[model["name"]] != records.decisions[""]).astype(float)
        value, low, high = records.score_interval(apart, np.ones(len(apart)))
        found = model["disagree"]
        shown(found, (value, low, high), 1.0, 0.0, 1e-4 if records.weighted else 0.0)
        assert (found["n"], found["events"]) == (4000, apart.sum())
    assert [m["threshold"] for m in part_of(public)["models"]] == [0.55, None]


def test_every_printed_figure_is_in_the_result(audited: tuple[Records, Path]) -> None:
    _, public = audited
    raw = (public / "audit.json").read_bytes()
    html = public / "report.html"
    assert "From the audited model to cautious" in html.read_text("utf-8")
    assert unexplained(Result(json.loads(raw), raw), html) == []


def test_two_runs_give_the_same_bytes_and_the_stamp_names_the_answers(
    audited: tuple[Records, Path], tmp_path: Path
) -> None:
    records, public = audited
    world(tmp_path, weight=records.weighted)
    again = audit_file(tmp_path / "policy.yaml", as_of=date(2026, 1, 15))
    assert again.fairness.models is not None
    assert json.loads(again.fairness.models.model_dump_json()) == part_of(public)
    assert set(again.stamp.digests) == {"policy", "evaluation", "model", "compared cautious", "compared coarse"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{}", "names no model"),
        ("{score: cautious_score, path: model}", "a folder and recorded answers"),
        ("{decision: approved, threshold: 0.4}", "decides nothing"),
        ("{score: cautius_score}", "did you mean 'cautious_score'?"),
        ("{decision: region}", "not 1 and 0"),
        ('{decision: "income >"}', "the decision of 'cautious'"),
        ("{path: nowhere}", "does not exist"),
    ],
)
def test_slips_are_told_with_their_place(tmp_path: Path, wrong: str, said: str) -> None:
    world(tmp_path, weight=False)
    text = (tmp_path / "policy.yaml").read_text("utf-8").replace("{score: cautious_score, threshold: 0.55}", wrong)
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(AuditError) as caught:
        run(tmp_path / "policy.yaml", out=tmp_path / "a")
    found = caught.value.complaints[0]
    assert said in f"{found.message} {found.hint}"
    if "nowhere" not in wrong:
        assert found.where.startswith((f"{tmp_path.name}/policy.yaml:", "policy.yaml:", str(tmp_path)))
