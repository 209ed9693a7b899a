"""Changes over pairs of models: do the figures and their intervals say what they claim?"""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.fairness import metrics
from auditkit.remedies import changes
from auditkit.subject.types import Floats

ROWS = 600


def scores(rng: np.random.Generator, truth: Floats, models: int, shift: float = 0.0) -> Floats:
    return np.clip(0.5 + 0.2 * (np.nan_to_num(truth) - 0.5) + shift + rng.normal(0, 0.25, (models, ROWS)), 0, 1)


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_a_rate_is_the_fairness_rooms_own_for_every_model(metric: str) -> None:
    rng = np.random.default_rng(1)
    truth = np.where(rng.random(ROWS) < 0.1, np.nan, (rng.random(ROWS) < 0.6).astype(float))
    score, group = scores(rng, truth, 5), rng.integers(0, 2, ROWS)
    cell = changes.cells(score, truth, 0.5)
    counts = np.stack([
        np.stack([np.bincount(own[group == g], minlength=6) for g in (0, 1)]) for own in cell
    ])
    theirs = np.stack([metrics.values(own)[metric] for own in counts])
    one, base = (changes.rate(metric, cell, group == g) for g in (0, 1))
    assert one is not None
    assert base is not None
    np.testing.assert_allclose(np.stack([one.value, base.value], axis=1), theirs)
    for scale, expected in (("difference", theirs[:, 0] - theirs[:, 1]), ("ratio", theirs[:, 0] / theirs[:, 1])):
        found = changes.compared(metric, cell, group == 0, group == 1, scale=scale)
        assert found is not None
        np.testing.assert_allclose(found.value, expected)


@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_the_spread_over_persons_is_that_of_drawing_persons_again(scale: str) -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random(ROWS) < 0.6).astype(float)
    score, group, person = scores(rng, truth, 4), rng.integers(0, 2, ROWS), rng.integers(0, 200, ROWS)
    cell = changes.cells(score, truth, 0.5)
    found = changes.compared("selection_rate", cell, group == 0, group == 1, scale=scale)
    assert found is not None
    linear = float(np.sqrt(np.square(np.bincount(person, weights=found.influence)).sum()))
    again = []
    for _ in range(600):
        weight = np.bincount(rng.integers(0, 200, 200), minlength=200)[person]
        rows = np.repeat(np.arange(ROWS), weight)
        drawn = changes.compared("selection_rate", cell[:, rows], group[rows] == 0, group[rows] == 1, scale=scale)
        assert drawn is not None
        again.append(drawn.value.mean())
    assert linear == pytest.approx(np.std(again), rel=0.12)


def test_the_interval_covers_a_change_that_is_known() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = (rng.random(ROWS) < 0.5).astype(float)
        ease, noise = rng.normal(0, 1, ROWS), rng.normal(0, 0.1, (2, 24, ROWS))
        # Rows are one draw from the population, so are models; after the remedy each answer is right likelier by 0.1.
        hit = [(ease + noise[k] < cut) for k, cut in enumerate((0.2533, 0.5244))]
        sides = [np.where(h, truth, 1 - truth) for h in hit]
        cell = [changes.cells(side, truth, 0.5) for side in sides]
        one, two = (changes.rate("accuracy", own, np.ones(ROWS, dtype=bool)) for own in cell)
        assert one is not None
        assert two is not None
        told = changes.estimate(two.less(one), np.arange(ROWS), level=0.9)
        assert told.low is not None
        assert told.high is not None
        covered += told.low <= 0.0993 <= told.high
    assert 0.83 <= covered / 200 <= 0.96


def test_no_difference_is_exactly_none() -> None:
    truth = (np.random.default_rng(0).random(ROWS) < 0.5).astype(float)
    cell = changes.cells(scores(np.random.default_rng(4), truth, 6), truth, 0.5)
    one = changes.rate("accuracy", cell, np.ones(ROWS, dtype=bool))
    assert one is not None
    told = changes.estimate(one.less(one), np.arange(ROWS), level=0.95)
    assert (told.value, told.low, told.high) == (0.0, 0.0, 0.0)


def test_a_denominator_that_one_model_leaves_empty_gives_no_figure() -> None:
    truth = np.ones(ROWS)
    cell = changes.cells(np.zeros((3, ROWS)), truth, 0.5)
    assert changes.rate("ppv", cell, np.ones(ROWS, dtype=bool)) is None
