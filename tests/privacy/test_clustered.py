from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.privacy import clustered


def test_without_persons_the_difference_is_welchs() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.gamma(1.0, 1.0, 80), rng.gamma(2.0, 1.0, 50)
    value, low, high = clustered.difference(clustered.mean(one, None), clustered.mean(other, None), level=0.9)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert value == pytest.approx(one.mean() - other.mean())


def test_singletons_change_nothing_and_copies_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 60)
    alone = clustered.mean(values, None)
    assert clustered.mean(values, np.arange(60)).variance == pytest.approx(alone.variance)
    copied = clustered.mean(np.repeat(values, 3), np.repeat(np.arange(60), 3))
    assert copied.variance == pytest.approx(alone.variance)
    assert copied.persons == 60


@given(events=st.integers(0, 40), n=st.integers(1, 40))
def test_exact_limits_are_clopper_pearsons(events: int, n: int) -> None:
    events = min(events, n)
    expected = stats.binomtest(events, n).proportion_ci(0.95, method="exact")
    assert clustered.exact_limits(events, n, level=0.95) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("n", "share"), [(200, 0.01), (2000, 0.01), (50, 0.3)])
def test_clopper_pearson_covers_at_least_its_level(n: int, share: float) -> None:
    counts = np.arange(n + 1)
    limits = [clustered.rate(np.arange(n) < count, None, level=0.95) for count in counts if count <= 4 * n * share + 20]
    mass = stats.binom.pmf(counts[: len(limits)], n, share)
    inside = [estimate.low <= share <= estimate.high for estimate in limits]  # type: ignore[operator]
    assert float(mass[inside].sum()) >= 0.95 - 1e-6


def test_rates_of_persons_with_several_records_hold_their_level_where_row_counting_does_not() -> None:
    rng = np.random.default_rng(3)
    persons = np.repeat(np.arange(150), 4)
    by_person = by_row = 0
    for _ in range(400):
        hits = np.repeat(rng.random(150) < 0.15, 4)
        one, naive = clustered.rate(hits, persons, level=0.95), clustered.rate(hits, None, level=0.95)
        by_person += one.low <= 0.15 <= one.high  # type: ignore[operator]
        by_row += naive.low <= 0.15 <= naive.high  # type: ignore[operator]
    assert by_person / 400 >= 0.93
    assert by_row / 400 < 0.8


def test_a_rate_of_zero_rests_on_persons_not_on_their_records() -> None:
    none = clustered.rate(np.zeros(100, dtype=bool), np.repeat(np.arange(20), 5), level=0.95)
    assert none.high == pytest.approx(clustered.exact_limits(0, 20, level=0.95)[1])
    assert none.n == 100


def test_auc_variance_reduces_to_delong_and_counts_persons_once() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(0.3, 1, 120), rng.normal(0, 1, 90)
    alone = clustered.auc_variance(positives=x, negatives=y, persons=(np.arange(120), np.arange(120, 210)))
    above = (x[:, None] > y[None, :]).mean(axis=1)
    below = (x[:, None] > y[None, :]).mean(axis=0)
    delong = above.var(ddof=1) / 120 + below.var(ddof=1) / 90
    assert alone == pytest.approx(delong, rel=0.01)
    tripled = clustered.auc_variance(
        positives=np.repeat(x, 3),
        negatives=np.repeat(y, 3),
        persons=(np.repeat(np.arange(120), 3), np.repeat(np.arange(120, 210), 3)),
    )
    assert tripled == pytest.approx(alone, rel=1e-9)
