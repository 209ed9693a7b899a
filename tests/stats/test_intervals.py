from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.stats.intervals import clopper_pearson, critical, design_effect, wilson, wilson_bounds

RATES = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(RATES, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_both_intervals_equal_scipys(rate: tuple[int, int], level: float) -> None:
    events, n = rate
    test = stats.binomtest(events, n)
    for mine, method in (
        (wilson(events=events, n=n, level=level), "wilson"),
        (clopper_pearson(events=events, n=n, level=level), "exact"),
    ):
        theirs = test.proportion_ci(level, method=method)
        assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        assert (mine.value, mine.n, mine.events, mine.level) == (events / n, n, events, level)


def test_wilson_by_hand() -> None:
    # 15 of 40 at z = 1.96: centre (0.375 + 3.8416/80) / (1 + 3.8416/40) = 0.385953
    low, high = wilson_bounds(rate=0.375, n=40, z=1.96)
    assert (low + high) / 2 == pytest.approx(0.385953, abs=1e-6)
    assert (low, high) == pytest.approx((0.2422, 0.5297), abs=1e-4)


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_coverage_by_exact_enumeration(n: int) -> None:
    z = critical(0.95)
    events = np.arange(n + 1)
    limits = np.array([wilson_bounds(rate=x / n, n=n, z=z) for x in events])
    exact = np.array([(e.low, e.high) for e in (clopper_pearson(events=int(x), n=n, level=0.95) for x in events)])
    grid = np.arange(0.02, 0.5001, 0.01)
    weight = stats.binom.pmf(events[:, None], n, grid)
    reached = {
        name: (weight * ((bounds[:, :1] <= grid) & (grid <= bounds[:, 1:]))).sum(axis=0)
        for name, bounds in (("wilson", limits), ("exact", exact))
    }
    assert reached["wilson"].mean() >= 0.945
    assert reached["wilson"].min() >= 0.91
    assert reached["exact"].min() >= 0.95 - 1e-12


def test_no_records_give_a_reason_and_no_number() -> None:
    for estimate in (wilson(events=0, n=0, level=0.95), clopper_pearson(events=0, n=0, level=0.95)):
        assert estimate.value is None
        assert "no records" in estimate.withheld


@pytest.mark.parametrize(("events", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_what_is_no_rate_is_refused(events: int, n: int, level: float) -> None:
    with pytest.raises(NumericsError):
        wilson(events=events, n=n, level=level)
    with pytest.raises(NumericsError):
        clopper_pearson(events=events, n=n, level=level)


def test_design_effect_of_persons_who_repeat_themselves() -> None:
    # Every person has two records that agree: half as many witnesses.
    agree = design_effect(events=np.array([2, 0]), trials=np.array([2, 2]), counts=np.array([300, 700]))
    assert agree == pytest.approx(2.0)
    # One record each: none lost (the small-sample factor m / (m - 1) shows).
    single = design_effect(events=np.array([1, 0]), trials=np.array([1, 1]), counts=np.array([300, 700]))
    assert single == pytest.approx(1.0, abs=0.002)
    # Nothing observed about agreement: the worst is assumed, sum(t²) / sum(t) = (4 * 10 + 10) / 30.
    silent = design_effect(events=np.array([0, 0]), trials=np.array([2, 1]), counts=np.array([10, 10]))
    assert silent == pytest.approx(50 / 30)
