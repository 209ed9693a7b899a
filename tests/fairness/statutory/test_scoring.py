"""The median as it may be printed, and scoring rates that hide who lies between two thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.fairness.statutory.scoring import Scored, median
from auditkit.policy.schema import FairnessSettings
from auditkit.subject.types import Predictions


def sample(scores: list[float], *, persons: list[str] | None = None, cell: int = 10, ties: str = "above") -> Scored:
    array = np.array(scores, dtype=float)
    decision = np.where(np.isnan(array), np.nan, 1.0)
    answers = Predictions(decision=decision, score=array, truth=decision, loss=None, loss_train=None, loss_reserve=None)
    return Scored(
        scores=array, predictions=answers, persons=None if persons is None else np.array(persons, dtype=object),
        groupings={}, settings=FairnessSettings(), minimum_cell=cell, ties=ties,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_median_is_printed_no_finer_than_ten_persons_share() -> None:
    found = median(sample(list(np.linspace(0, 1, 1201))))
    assert found.step == 0.01 and found.value == pytest.approx(0.5) and found.n == 1201
    fine = median(sample(list(np.linspace(0.4, 0.6, 20_001))))
    assert fine.step == 0.001
    coarse = median(sample(list(np.linspace(0, 1, 101))))
    assert coarse.step == 0.1


def test_a_median_that_tells_of_a_few_is_withheld() -> None:
    found = median(sample([0.1, 0.2, 0.9], cell=3))
    assert found.value is None and found.step is None and found.n == 3
    assert found.at_median is None  # one person scores the median itself
    twice = median(sample([0.5] * 12, persons=["a"] * 12))
    assert twice.value is None and twice.at_median is None


def test_ties_are_told_as_a_share_unless_that_tells_of_a_few() -> None:
    assert median(sample([0.1] * 20 + [0.5] * 30 + [0.9] * 20)).at_median == pytest.approx(30 / 70)
    assert median(sample([0.5] * 50 + [0.9] * 3)).at_median is None  # three score otherwise
    assert median(sample([0.4] * 30 + [0.6] * 30)).at_median == 0.0  # between two scores


def test_records_without_a_decision_are_not_in_the_sample() -> None:
    drawn = sample([0.1] * 10 + [0.9] * 10 + [float("nan")] * 5)
    assert median(drawn).n == 20
    assert np.isnan(drawn.high[-5:]).all() and drawn.high[:20].sum() == 10
