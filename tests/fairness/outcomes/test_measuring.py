"""The notebook's door: what comes out for arrays, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

import auditkit.fairness as room
from auditkit.errors import DataError
from auditkit.policy.schema import FairnessSettings
from auditkit.result import OutcomePart, OutcomeRow

QUICK = FairnessSettings(replicates=1000)
RNG = np.random.default_rng(3)
N = 600
SEX = np.array(["f", "m"] * (N // 2))
TRUE = RNG.choice(["x", "y", "z"], N)
SAID = np.where(RNG.random(N) < 0.7, TRUE, RNG.choice(["x", "y", "z"], N))
COST = RNG.lognormal(1, 0.5, N)
GUESS = COST + RNG.normal(size=N)
SCORE = RNG.normal(size=N)


def of(kind: str, prediction: Any, truth: Any = None, **more: Any) -> OutcomePart:
    asked = {"groups": {"sex": SEX}, "reference": {"sex": "m"}, "settings": QUICK, "minimum_cell": 1} | more
    return room.measure_outcome(prediction, truth, kind=kind, **asked)


def row(part: OutcomePart, metric: str, group: str = "f", comparison: str = "", version: str = "") -> OutcomeRow:
    found = [
        r for r in part.rows
        if (r.metric, r.group, r.comparison, r.of) == (metric, group, comparison, version) and r.on == "sex"
    ]  # fmt: skip
    assert len(found) == 1, f"{len(found)} rows of {metric}"
    return found[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_classes_agree_with_scikit_learn(weighted: bool) -> None:
    w = RNG.lognormal(0, 0.5, N) if weighted else None
    part = of("classes", SAID, TRUE, weights=w)
    own = SEX == "f"
    kind = {"sample_weight": None if w is None else w[own]}
    truth, said = TRUE[own], SAID[own]
    assert row(part, "accuracy").estimate.value == pytest.approx(metrics.accuracy_score(truth, said, **kind))
    balanced = metrics.balanced_accuracy_score(truth, said, **kind)
    assert row(part, "macro_recall").estimate.value == pytest.approx(balanced)
    macro = metrics.precision_score(truth, said, average="macro", **kind)
    assert row(part, "macro_precision").estimate.value == pytest.approx(macro)
    for version in "xyz":
        recall = metrics.recall_score(truth, said, labels=[version], average=None, **kind)[0]
        assert row(part, "recall", version=version).estimate.value == pytest.approx(recall)
    assert part.weighted is weighted


@pytest.mark.parametrize("weighted", [False, True])
def test_numbers_agree_with_scikit_learn_and_numpy(weighted: bool) -> None:
    w = RNG.lognormal(0, 0.5, N) if weighted else None
    part = of("number", GUESS, COST, weights=w, quantiles=(0.5,))
    own = SEX == "f"
    mine = None if w is None else w[own]
    error = (GUESS - COST)[own]
    mae = metrics.mean_absolute_error(COST[own], GUESS[own], sample_weight=mine)
    assert row(part, "absolute_error").estimate.value == pytest.approx(mae)
    assert row(part, "mean_error").estimate.value == pytest.approx(np.average(error, weights=mine))
    median = row(part, "error_quantile", version="0.5").estimate
    exact = np.quantile(error, 0.5, method="inverted_cdf", weights=mine)
    assert abs(median.value - exact) <= median.step / 2 + 1e-12


def test_a_rate_of_independent_records_has_wilsons_limits() -> None:
    part = of("classes", SAID, TRUE, groups={"sex": np.array(["f"] * N)}, reference={"sex": "f"})
    found = row(part, "accuracy").estimate
    hits = int((TRUE == SAID).sum())
    ends = stats.binomtest(hits, N).proportion_ci(method="wilson")
    assert (found.low, found.high, found.n) == (pytest.approx(ends.low), pytest.approx(ends.high), N)


def test_equal_weights_are_no_weights() -> None:
    plain, weighted = of("number", GUESS, COST), of("number", GUESS, COST, weights=np.full(N, 7.5))
    for one, other in zip(plain.rows, weighted.rows, strict=True):
        for name in ("value", "low", "high"):
            assert getattr(one.estimate, name) == pytest.approx(getattr(other.estimate, name), rel=1e-9, abs=1e-12)


def test_records_written_twice_are_no_further_evidence() -> None:
    who = np.arange(N)
    once = of("number", GUESS, COST, persons=who)
    twice = of("number", np.tile(GUESS, 2), np.tile(COST, 2), persons=np.tile(who, 2), groups={"sex": np.tile(SEX, 2)})
    alone = of("number", np.tile(GUESS, 2), np.tile(COST, 2), groups={"sex": np.tile(SEX, 2)})
    widths = []
    for part in (once, twice, alone):
        found = row(part, "mean_error", comparison="difference").estimate
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.08)
    assert widths[2] == pytest.approx(widths[0] / np.sqrt(2), rel=0.08)


def test_exposure_is_that_of_the_places() -> None:
    score = np.array([9.0, 8.0, 8.0, 1.0] * 150)
    lists = np.repeat(np.arange(150), 4)
    part = of("ranking", score, within=lists, top=(1, 2), groups={"sex": np.array(["f", "m", "f", "m"] * 150)})
    worth = 1 / np.log2([2, 3, 4, 5])
    shared = np.array([worth[0], worth[1:3].mean(), worth[1:3].mean(), worth[3]]) / worth.mean()
    # Rounded: nobody of one sex is ever among the first, or outside the first two.
    assert row(part, "exposure").estimate.value == pytest.approx((shared[0] + shared[2]) / 2, abs=5e-4)
    assert row(part, "exposure", "m").estimate.value == pytest.approx((shared[1] + shared[3]) / 2, abs=5e-4)
    assert row(part, "top_share", version="first 1").estimate.value == pytest.approx(0.5, abs=5e-3)
    assert row(part, "top_share", version="first 2").estimate.value == pytest.approx(0.75, abs=5e-3)


def test_two_runs_with_one_seed_agree_to_the_last_bit() -> None:
    assert of("number", GUESS, COST).model_dump_json() == of("number", GUESS, COST).model_dump_json()
    assert of("number", GUESS, COST, seed=1) != of("number", GUESS, COST)


def test_intersections_and_unknown_membership() -> None:
    area = np.array(["north", None, "south"] * (N // 3), dtype=object)
    part = of("classes", SAID, TRUE, groups={"sex": SEX, "area": area}, intersections=[["sex", "area"]])
    assert part.attributes == ("sex", "area", "sex x area")
    known = np.isin(area.astype(str), ["north", "south"])
    found = {r.group: r.estimate.n for r in part.rows if r.on == "area" and r.metric == "accuracy" and not r.comparison}
    assert sum(found.values()) == known.sum()


def test_a_large_group_is_drawn_in_blocks_and_quickly() -> None:
    n = 60_000
    rng = np.random.default_rng(0)
    sex = np.where(rng.random(n) < 0.001, "f", "m")
    part = of("number", rng.exponential(size=n), np.zeros(n), groups={"sex": sex}, minimum_cell=10)
    found = row(part, "absolute_error", "m").estimate
    # One in one thousand blocks: the interval is that of 60,000 records.
    assert (found.high - found.low) / 2 == pytest.approx(2.24 / np.sqrt(n), rel=0.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": np.full(N, -1.0)}, "negative"),
        ({"persons": np.arange(3)}, "one length"),
        ({"reference": {"sex": "x"}}, "no group of 'sex'"),
        ({"groups": {"sex": np.array([None] * N, dtype=object)}, "reference": {}}, "no record is in a group"),
        ({"intersections": [["sex", "age"]]}, "names 'age'"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        of("number", GUESS, COST, **change)


def test_texts_are_no_numbers_and_merit_is_not_negative() -> None:
    with pytest.raises(DataError, match="600 records of the column 'prediction' hold no finite number"):
        of("number", SAID, COST)
    with pytest.raises(DataError, match="merit below 0"):
        of("ranking", SCORE, -np.ones(N))
    with pytest.raises(DataError, match="needs the truth"):
        of("classes", SAID)


def test_nothing_known_is_not_applicable() -> None:
    part = of("number", np.full(N, np.nan), COST)
    assert (part.status, part.rows) == ("not-applicable", ())
    assert "no evaluation record" in part.reason


def test_the_table_has_every_row() -> None:
    part = of("classes", SAID, TRUE)
    assert len(room.outcome_table(part)) == len(part.rows) > 20
