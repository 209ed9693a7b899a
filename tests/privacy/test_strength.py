from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_curve

from auditkit.privacy import strength
from auditkit.privacy.membership import Scores

ALONE = strength.Sides(None, None)


def _scores(seed: int, *, members: int = 400, nonmembers: int = 2000, shift: float = 0.0) -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(rng.normal(shift, 1, members), rng.normal(0, 1, nonmembers))


@settings(max_examples=60, deadline=None)
@given(nonmembers=st.integers(20, 3000), fpr=st.sampled_from([0.001, 0.01, 0.03, 0.07, 0.1, 0.29, 0.5]))
def test_a_rate_is_judged_exactly_when_ten_false_positives_are_expected(nonmembers: int, fpr: float) -> None:
    scores = _scores(0, nonmembers=nonmembers)
    (row,) = strength.resolution(scores, ALONE, (fpr,), level=0.95, minimum=1)
    resolved = nonmembers * fpr >= 10 - 1e-9
    assert (row.tpr.value is not None) == resolved
    assert (row.realised_fpr.value is not None) == resolved
    assert (row.needed_n is None) == resolved
    assert row.expected_false_positives == pytest.approx(nonmembers * fpr)
    if row.needed_n is not None:
        assert row.needed_n * fpr >= 10 - 1e-9 > (row.needed_n - 1) * fpr
        assert f"{row.needed_n:,}" in row.tpr.withheld


def test_all_non_members_set_the_threshold_and_the_interval_says_where_it_may_lie() -> None:
    scores = _scores(2)
    (row,) = strength.resolution(scores, ALONE, (0.1,), level=0.95, minimum=10)
    edge = np.sort(scores.nonmembers)[-201]
    assert row.tpr.value == (scores.members > edge).mean()
    assert row.realised_fpr.value == 0.1
    ends = stats.binomtest(200, 2000).proportion_ci(0.95, method="exact")
    assert (row.realised_fpr.low, row.realised_fpr.high) == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize(
    ("tied_members", "tied_others", "fpr", "expected"),
    [
        (300, 2000, 0.1, 0.1), (300, 1320, 0.1, 0.1 / 0.66), (300, 1320, 0.01, 0.01 / 0.66), (300, 400, 0.1, 0.5),
        (150, 400, 0.1, 0.25), (60, 300, 0.1, 0.2 * 0.1 / 0.15), (200, 1000, 0.05, 0.1 * 2 / 3), (300, 200, 0.1, 1.0),
        (240, 201, 0.1, 0.8 * 200 / 201),
    ],
)  # fmt: skip
def test_among_equal_scores_a_coin_is_tossed(
    tied_members: int, tied_others: int, fpr: float, expected: float
) -> None:
    scores = Scores(np.arange(300) < tied_members, np.arange(2000) < tied_others)
    (row,) = strength.resolution(scores, ALONE, (fpr,), level=0.95, minimum=1)
    assert row.tpr.value == pytest.approx(expected)
    assert row.tpr.low is not None and row.tpr.high is not None
    assert row.tpr.low <= expected <= row.tpr.high and row.tpr.high > row.tpr.low
    point = strength.operating(scores, ALONE, fpr, minimum=1)
    assert point is not None and point.alarms.mean() == pytest.approx(fpr)
    # The rate lies on the line between the corners that scikit-learn draws.
    x, y, _ = roc_curve([1] * 300 + [0] * 2000, np.r_[scores.members, scores.nonmembers], drop_intermediate=False)
    assert np.interp(fpr, x, y) == pytest.approx(expected)


def test_scores_that_are_all_equal_tell_nothing() -> None:
    scores = Scores(np.zeros(300), np.zeros(2000))
    (row,) = strength.resolution(scores, ALONE, (0.1,), level=0.95, minimum=10)
    assert row.tpr.value == pytest.approx(0.1)
    assert row.tpr.low is not None and row.tpr.high is not None and row.tpr.low < 0.1 < row.tpr.high < 0.12
    assert strength.area(scores, ALONE, level=0.95, minimum=10).value == 0.5


@given(sizes=st.lists(st.integers(1, 4), min_size=2, max_size=60), seed=st.integers(0, 99))
def test_halves_are_about_even_and_keep_persons_together(sizes: list[int], seed: int) -> None:
    persons = np.repeat(np.arange(len(sizes)) * 7, sizes)
    half = strength.halve(len(persons), persons, np.random.default_rng(seed))
    for person in np.unique(persons):
        assert len(set(half[persons == person].tolist())) == 1
    assert len(persons) / 2 - 4 <= half.sum() <= len(persons) / 2


def test_halves_differ_by_generator_and_repeat_with_it() -> None:
    one = strength.halve(100, None, np.random.default_rng(1))
    assert one.sum() == 50
    np.testing.assert_array_equal(one, strength.halve(100, None, np.random.default_rng(1)))
    assert (one != strength.halve(100, None, np.random.default_rng(2))).any()


def test_the_auc_of_several_records_per_person_is_wider_and_covers() -> None:
    rng = np.random.default_rng(4)
    people = strength.Sides(np.repeat(np.arange(60), 4), np.repeat(np.arange(60, 160), 4))
    covered = naive = 0
    for _ in range(300):
        centre = rng.normal(0, 1, 160)
        values = np.repeat(centre, 4) + rng.normal(0, 0.3, 640)
        scores = Scores(values[:240], values[240:])
        one = strength.area(scores, people, level=0.95, minimum=10)
        other = strength.area(scores, ALONE, level=0.95, minimum=10)
        assert one.value == pytest.approx(other.value)
        covered += one.low <= 0.5 <= one.high  # type: ignore[operator]
        naive += other.low <= 0.5 <= other.high  # type: ignore[operator]
    assert covered / 300 >= 0.91
    assert naive / 300 < 0.8


@pytest.mark.parametrize(("members", "nonmembers"), [(9, 2000), (2000, 9)])
def test_a_side_below_the_minimum_cell_is_withheld(members: int, nonmembers: int) -> None:
    scores = _scores(5, members=members, nonmembers=nonmembers)
    auc = strength.area(scores, ALONE, level=0.95, minimum=10)
    (row,) = strength.resolution(scores, ALONE, (0.5,), level=0.95, minimum=10)
    assert auc.value is None and auc.n is None
    assert row.tpr.value is None and row.tpr.n is None
    assert strength.curve(scores, ALONE, minimum=10) is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 500), decimals=st.sampled_from([0, 1, 8]), rows=st.sampled_from([1, 3]))
def test_no_step_of_the_curve_isolates_a_few_records(seed: int, decimals: int, rows: int) -> None:
    scores = _scores(seed, members=300, nonmembers=600, shift=0.7)
    scores = Scores(np.round(scores.members, decimals), np.round(scores.nonmembers, decimals))
    people = ALONE if rows == 1 else strength.Sides(np.arange(300) // rows, 1000 + np.arange(600) // rows)
    series = strength.curve(scores, people, minimum=10)
    if series is None:
        assert decimals == 0
        return
    x = np.array([point.x for point in series.points]) * 600
    y = np.array([point.y for point in series.points]) * 300
    assert x.min() >= 10 and y.min() > 0
    for counts in (x, y):
        steps = np.diff(counts)
        assert (np.isclose(steps, 0, atol=1e-6) | (steps >= 10 * rows - 1e-6)).all()


def test_those_an_attack_was_fitted_on_set_no_threshold_and_measure_nothing() -> None:
    rng = np.random.default_rng(12)
    members, others = rng.normal(0.3, 1, 500), rng.normal(0, 1, 900)
    fitted = np.arange(900) < 300
    scores = Scores(members, np.where(fitted, 99.0, others), fitted)
    kept = Scores(members, others[300:])
    area, own = (strength.area(one, ALONE, level=0.95, minimum=10) for one in (scores, kept))
    assert area == own and area.n == 1100
    assert strength.curve(scores, ALONE, minimum=10) == strength.curve(kept, ALONE, minimum=10)
    (row,) = strength.resolution(scores, ALONE, (0.1,), level=0.95, minimum=10)
    (plain,) = strength.resolution(kept, ALONE, (0.1,), level=0.95, minimum=10)
    assert row == plain and row.tpr.value is not None
    # Nearly all fitted on: too few are left to set a threshold by.
    (few,) = strength.resolution(Scores(members, others, np.arange(900) < 801), ALONE, (0.1,), level=0.95, minimum=10)
    assert few.tpr.value is None and few.needed_n == 100
