"""Shuffled groups: the exact distribution, the null, and persons that stay whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.stats.permutation import Shuffled, draw, widest_gap

ONE, NONE = np.array([0, 1]), np.array([1, 1])
"""Events and trials of one record without the event, and of one with it."""


def test_two_groups_give_the_hypergeometric_probability() -> None:
    persons = np.array([[7, 4], [3, 8]])
    found = widest_gap(events=ONE, trials=NONE, persons=persons, replicates=200_000, generator=np.random.default_rng(0))
    x = np.arange(0, 11)
    gaps = np.abs(x / 10 - (11 - x) / 12)
    exact = stats.hypergeom.pmf(x, 22, 11, 10)[gaps >= found.gap - 1e-12].sum()
    assert found.gap == pytest.approx(8 / 12 - 3 / 10)
    assert (found.highest, found.lowest) == (1, 0)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 200_000))


def test_draws_keep_both_margins_and_their_means() -> None:
    kinds, sizes = np.array([50, 30, 20]), np.array([60, 25, 15])
    drawn = draw(kinds=kinds, sizes=sizes, replicates=20_000, generator=np.random.default_rng(1))
    assert (drawn.sum(axis=1) == kinds).all() and (drawn.sum(axis=2) == sizes).all()
    np.testing.assert_allclose(drawn.mean(axis=0), np.outer(sizes, kinds) / 100, atol=0.08)
    with pytest.raises(NumericsError):
        draw(kinds=kinds, sizes=sizes[:2], replicates=1, generator=np.random.default_rng(1))


def test_it_rejects_no_more_often_than_its_size_under_the_null() -> None:
    """Five groups of one rate: fairlearn's percentile interval of the largest gap never holds 0 here."""
    generator = np.random.default_rng(7)
    sizes = np.array([400, 300, 150, 100, 50])
    rejected = 0
    for _ in range(400):
        hits = generator.binomial(sizes, 0.4)
        persons = np.stack([sizes - hits, hits])
        found = widest_gap(events=ONE, trials=NONE, persons=persons, replicates=499, generator=generator)
        rejected += found.p <= 0.05
    assert 0.02 <= rejected / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_persons_with_several_records_are_moved_whole() -> None:
    """Ten records of a person are one witness: the p-value is that of persons, not that of records."""
    events, trials = np.array([0, 10]), np.array([10, 10])
    persons = np.array([[12, 8], [8, 12]])
    whole = widest_gap(
        events=events, trials=trials, persons=persons, replicates=20_000, generator=np.random.default_rng(2)
    )
    single = widest_gap(events=ONE, trials=NONE, persons=persons, replicates=20_000, generator=np.random.default_rng(2))
    rows = widest_gap(
        events=ONE, trials=NONE, persons=10 * persons, replicates=20_000, generator=np.random.default_rng(2)
    )
    assert whole.p == single.p
    assert rows.p < 0.001 and whole.p > 0.2


def test_of_two_gaps_the_wider_counts_shuffle_by_shuffle() -> None:
    a, b = Shuffled(0.2, 0, 1, np.array([0.1, 0.3, 0.0])), Shuffled(0.1, 2, 3, np.array([0.25, 0.1, 0.05]))
    both = a.wider(b)
    assert (both.gap, both.highest, both.lowest) == (0.2, 0, 1)
    assert both.p == pytest.approx((1 + 2) / 4)


def test_a_gap_needs_two_groups_with_records() -> None:
    for persons in (np.array([[5], [5]]), np.array([[5, 0], [5, 0]])):
        with pytest.raises(NumericsError):
            widest_gap(events=ONE, trials=NONE, persons=persons, replicates=9, generator=np.random.default_rng(0))
