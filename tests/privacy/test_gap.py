from __future__ import annotations

import numpy as np
import pytest

from auditkit.privacy import gap
from auditkit.result import Measurement

NOBODY = (None, None)


def _named(rows: tuple[Measurement, ...]) -> dict[str, Measurement]:
    return {row.measure: row for row in rows}


def test_the_gap_is_evaluation_minus_training_in_nats() -> None:
    rng = np.random.default_rng(0)
    train, evaluation = rng.gamma(1.0, 0.3, 900), rng.gamma(1.0, 0.5, 700)
    rows = _named(gap.loss_gap(train, evaluation, NOBODY, level=0.95, minimum=10))
    row = rows["privacy.train_evaluation_gap"]
    assert row.estimate.value == pytest.approx(evaluation.mean() - train.mean())
    assert row.unit == "nats"
    assert row.estimate.low is not None and row.estimate.low > 0
    assert rows["privacy.train_loss"].estimate.value == pytest.approx(train.mean())
    assert rows["privacy.evaluation_loss"].estimate.n == 700


def test_the_loss_gap_interval_holds_its_level_on_one_law() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(500):
        losses = rng.gamma(0.8, 0.5, 500)
        row = gap.loss_gap(losses[:300], losses[300:], NOBODY, level=0.95, minimum=10)[2].estimate
        covered += row.low <= 0 <= row.high  # type: ignore[operator]
    assert 0.92 <= covered / 500 <= 0.98


def test_the_accuracy_gap_is_training_minus_evaluation_and_keeps_a_width_at_the_edge() -> None:
    train, evaluation = np.ones(200, dtype=bool), np.arange(200) < 150
    (row,) = gap.accuracy_gap(train, evaluation, NOBODY, level=0.95, minimum=10)
    assert row.estimate.value == pytest.approx(0.25)
    assert row.unit == "points"
    assert 0.15 < row.estimate.low < 0.25 < row.estimate.high < 0.35  # type: ignore[operator]
    (perfect,) = gap.accuracy_gap(train, train, NOBODY, level=0.95, minimum=10)
    assert perfect.estimate.low < 0 < perfect.estimate.high  # type: ignore[operator]


def test_the_accuracy_gap_interval_covers() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        (row,) = gap.accuracy_gap(rng.random(300) < 0.9, rng.random(200) < 0.85, NOBODY, level=0.95, minimum=10)
        covered += row.estimate.low <= 0.05 <= row.estimate.high  # type: ignore[operator]
    assert covered / 400 >= 0.93


def test_copies_of_persons_do_not_narrow_the_gap() -> None:
    rng = np.random.default_rng(3)
    train, evaluation = rng.gamma(1.0, 1.0, 100), rng.gamma(1.0, 1.0, 80)
    once = gap.loss_gap(train, evaluation, NOBODY, level=0.95, minimum=10)[2].estimate
    codes = (np.repeat(np.arange(100), 5), np.repeat(np.arange(80), 5))
    copied = gap.loss_gap(np.repeat(train, 5), np.repeat(evaluation, 5), codes, level=0.95, minimum=10)[2].estimate
    assert copied.high - copied.low == pytest.approx(once.high - once.low)  # type: ignore[operator]


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_small_a_split_has_no_gap(n: int) -> None:
    rows = gap.loss_gap(np.ones(n), np.ones(50), NOBODY, level=0.95, minimum=10)
    rows += gap.accuracy_gap(np.ones(n, dtype=bool), np.ones(50, dtype=bool), NOBODY, level=0.95, minimum=10)
    assert len(rows) == 4
    assert all(row.estimate.value is None and row.estimate.n is None for row in rows)
    assert all("fewer than 10" in row.estimate.withheld for row in rows)
