"""Scores of weighted records: scikit-learn's points, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from auditkit.fairness import calibration
from auditkit.fairness.assess import assess
from auditkit.fairness.cells import cell_of, count
from auditkit.fairness.groups import standing
from auditkit.fairness.scored import Scored
from auditkit.fairness.setting import Setting
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate, FairnessPart
from auditkit.stats import weighted
from auditkit.subject.types import Grouping, Predictions

ROWS = 1500
Given = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def given() -> Given:
    """Codes, truth, score, weights, persons."""
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 2, ROWS)
    score = np.clip(generator.beta(2, 2, ROWS) + 0.1 * codes, 0, 1).round(3)
    truth = (generator.random(ROWS) < score).astype(float)
    weights = generator.lognormal(0, 0.6, ROWS) * (generator.random(ROWS) > 0.02)
    return codes, truth, score, weights, generator.integers(0, 900, ROWS)


def part(given: Given, *, weights: np.ndarray | None, persons: bool = False) -> FairnessPart:
    codes, truth, score, _, who = given
    return assess(
        groupings={"sex": Grouping("sex", ("a", "b"), codes, reference="a", reference_stated=True)},
        predictions=Predictions(
            decision=(score >= 0.5).astype(float), score=score, truth=truth, loss=None, loss_train=None,
            loss_reserve=None,
        ),
        persons=who.astype(object) if persons else None, weights=weights, settings=FairnessSettings(replicates=1000),
        minimum_cell=10, generator=np.random.default_rng(0),
    )  # fmt: skip


def row(found: FairnessPart, measure: str, group: str) -> Estimate:
    return next(m.estimate for m in found.measurements if (m.measure, m.group, m.on) == (measure, group, "sex"))


@pytest.mark.parametrize("persons", [False, True])
def test_points_are_those_of_scikit_learn(given: Given, persons: bool) -> None:
    codes, truth, score, weights, _ = given
    found = part(given, weights=weights, persons=persons)
    means, spreads = [], []
    for code, group in enumerate("ab"):
        own = codes == code
        area = roc_auc_score(truth[own], score[own], sample_weight=weights[own])
        brier = brier_score_loss(truth[own], score[own], sample_weight=weights[own])
        for measure, expected in (("fairness.auc", area), ("fairness.brier", brier)):
            estimate = row(found, measure, group)
            assert estimate.value == pytest.approx(expected, abs=5.01e-5)
            assert estimate.low < expected < estimate.high
            assert estimate.n == own.sum()
        means.append(np.average(score[own], weights=weights[own]))
        spreads.append(np.average((score[own] - means[-1]) ** 2, weights=weights[own]))
    smd = row(found, "fairness.standardised_difference", "b")
    assert smd.value == pytest.approx((means[1] - means[0]) / np.sqrt(np.mean(spreads)), abs=5.01e-5)


def test_calibration_weighs_the_records_of_each_bin(given: Given) -> None:
    codes, truth, score, weights, _ = given
    settings = FairnessSettings(replicates=1000)
    grouping = Grouping("sex", ("a", "b"), codes, reference="a", reference_stated=True)
    cells = count(
        codes=codes, groups=2, cell=cell_of(truth=truth, decision=(score >= 0.5) * 1.0), persons=None, weights=weights
    )
    state = standing(cells, settings=settings, minimum_cell=10, along=(np.arange(3),))
    scored = Scored(Setting(grouping, cells, state, settings, 10), score, truth, np.arange(ROWS), weights)
    found = calibration.error(scored, 0, 0.95, np.random.default_rng(0))
    own = codes == 0
    order = np.argsort(score[own], kind="stable")
    t, s, w = truth[own][order], score[own][order], weights[own][order]
    code = calibration.binned(scored, 0).code
    off = [abs((w * (t - s))[code == b].sum()) for b in range(code.max() + 1)]
    assert found.value == pytest.approx(sum(off) / w.sum(), rel=1e-9)
    points = calibration.curve(scored, 0).points
    assert len(points) == len(off)
    for b, point in enumerate(points):
        assert point.x == pytest.approx(np.average(s[code == b], weights=w[code == b]), abs=6e-4)
        assert point.y == pytest.approx(np.average(t[code == b], weights=w[code == b]), abs=0.051)


@pytest.mark.parametrize("persons", [False, True])
def test_equal_weights_are_no_weights(given: Given, persons: bool) -> None:
    plain, equal = (part(given, weights=w, persons=persons) for w in (None, np.full(ROWS, 3.0)))
    for one, other in zip(plain.scores, equal.scores, strict=True):
        for a, b in zip(one.distribution.points, other.distribution.points, strict=True):
            assert (a.x, a.y) == pytest.approx((b.x, b.y), abs=5.01e-5)
        for a, b in zip(one.calibration.points, other.calibration.points, strict=True):
            assert (a.x, a.y, a.low, a.high) == pytest.approx((b.x, b.y, b.low, b.high), abs=2e-3)
    for measure in ("auc", "brier", "calibration_error", "auc_difference", "standardised_difference"):
        one, other = (row(found, f"fairness.{measure}", "b") for found in (plain, equal))
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=2e-3)


def test_an_area_of_weighted_records_is_covered() -> None:
    generator = np.random.default_rng(2)
    hit, repeats, true = 0, 400, 0.76025
    for _ in range(repeats):
        x, y = generator.normal(1, 1, 60), generator.normal(0, 1, 90)
        weights = generator.lognormal(0, 0.7, 60), generator.lognormal(0, 0.7, 90)
        found = weighted.area(x, y, weights=weights, persons=(np.arange(60), 60 + np.arange(90)))
        low, high = weighted.limits(found, z=1.959964, size=40)
        hit += low <= true <= high
    assert 0.93 <= hit / repeats <= 0.985


def test_separated_scores_keep_an_interval() -> None:
    ones = (np.ones(40), np.ones(40))
    found = weighted.area(np.full(40, 2.0), np.zeros(40), weights=ones, persons=(np.arange(40), 40 + np.arange(40)))
    low, high = weighted.limits(found, z=1.959964, size=40)
    assert found.value == high == 1.0
    assert 0.9 < low < 0.99
