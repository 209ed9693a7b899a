"""Paired differences: closed forms where they are known, persons that stay whole, and measured coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from auditkit.stats.intervals import critical
from auditkit.stats.paired import (
    Rate,
    clustered_mcnemar,
    effective,
    limits,
    mcnemar,
    moved,
    tallied,
    wald_p,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Z = critical(0.95)
# Four slots of records in one denominator: event under neither, before only, after only, both.
NEITHER, LOST, GAINED, BOTH = range(4)
BEFORE, AFTER = (Rate(np.array(e, dtype=float), np.ones(4)) for e in ([0, 1, 0, 1], [0, 0, 1, 1]))
# Four slots of predictive values: in the denominator before only and after only, each without and with the event.
OWN = Rate(np.array([0.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0]))
OTHER = Rate(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))


def slots(*counts: int) -> Ints:
    return np.repeat(np.arange(len(counts)), counts)


def interval(counts: tuple[int, ...], before: Rate, after: Rate, z: float = Z) -> tuple[float, float, float]:
    found = tallied(slots(*counts), slots=len(counts), weights=None, persons=None)
    change = moved(found, before, after, z=z)
    value = [float(r.events @ found.weight / (r.trials @ found.weight)) for r in (before, after)]
    return (value[1] - value[0], *limits(change, found, value=value[1] - value[0], z=z, bound=1.0))


def test_one_denominator_is_bonett_and_price() -> None:
    lost, gained, n = 7, 15, 90
    extra = Z * Z / 4
    b, c, total = lost + extra, gained + extra, n + 2 * extra
    middle = (c - b) / total
    half = Z * math.sqrt((b + c - (c - b) ** 2 / total) / total**2)
    value, low, high = interval((48, lost, gained, 20), BEFORE, AFTER)
    assert value == pytest.approx(8 / 90)
    assert (low, high) == pytest.approx((middle - half, middle + half))


def test_disjoint_denominators_are_agresti_and_caffo() -> None:
    extra = Z * Z / 4
    p = [(12 + extra) / (50 + 2 * extra), (30 + extra) / (60 + 2 * extra)]
    half = Z * math.sqrt(sum(q * (1 - q) / (n + 2 * extra) for q, n in zip(p, (50, 60), strict=True)))
    _, low, high = interval((38, 12, 30, 30), OWN, OTHER)
    assert (low, high) == pytest.approx((p[1] - p[0] - half, p[1] - p[0] + half))


def test_limits_hold_the_value_and_stay_within_bounds() -> None:
    for counts in ((0, 0, 30, 0), (0, 30, 0, 0), (30, 0, 0, 0), (0, 0, 0, 30)):
        value, low, high = interval(counts, BEFORE, AFTER)
        assert -1 <= low <= value <= high <= 1
        assert low < high


def test_mcnemar_is_the_sign_test_of_the_discordant() -> None:
    assert mcnemar(3, 12) == pytest.approx(stats.binomtest(3, 15).pvalue)
    assert mcnemar(0, 0) == 1.0


def test_persons_without_repeats_change_nothing_but_the_test() -> None:
    slot = slots(48, 7, 15, 20)
    one = tallied(slot, slots=4, weights=None, persons=None)
    each = tallied(slot, slots=4, weights=None, persons=np.arange(len(slot)))
    assert moved(one, BEFORE, AFTER, z=Z).error(one) == pytest.approx(moved(each, BEFORE, AFTER, z=Z).error(each))
    assert clustered_mcnemar(each, BEFORE, AFTER) == pytest.approx(stats.chi2.sf((15 - 7) ** 2 / (15 + 7), 1))
    assert effective(each, BEFORE) == pytest.approx(90)


def test_a_person_written_twice_is_no_second_witness() -> None:
    slot = slots(480, 70, 150, 200)
    persons = np.arange(len(slot))
    once = tallied(slot, slots=4, weights=None, persons=persons)
    twice = tallied(np.tile(slot, 2), slots=4, weights=None, persons=np.tile(persons, 2))
    assert clustered_mcnemar(twice, BEFORE, AFTER) == pytest.approx(clustered_mcnemar(once, BEFORE, AFTER))
    assert effective(twice, BEFORE) == pytest.approx(900)
    errors = [moved(found, BEFORE, AFTER, z=1e-3).error(found) for found in (once, twice)]
    assert errors[1] == pytest.approx(errors[0], rel=1e-6)
    alone = tallied(np.tile(slot, 2), slots=4, weights=None, persons=None)
    assert moved(alone, BEFORE, AFTER, z=1e-3).error(alone) == pytest.approx(errors[0] / math.sqrt(2), rel=1e-6)


def test_weights_count_by_proportion_only() -> None:
    rng = np.random.default_rng(3)
    slot, weights = rng.integers(0, 4, 300), rng.uniform(0.2, 4.0, 300)
    found = [tallied(slot, slots=4, weights=weights * scale, persons=None) for scale in (1.0, 50.0)]
    changes = [moved(one, BEFORE, AFTER, z=Z) for one in found]
    assert changes[0].middle == pytest.approx(changes[1].middle)
    assert changes[0].error(found[0]) == pytest.approx(changes[1].error(found[1]))
    assert clustered_mcnemar(found[0], BEFORE, AFTER) == pytest.approx(clustered_mcnemar(found[1], BEFORE, AFTER))
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert effective(found[0], BEFORE) <= kish + 1e-9


def test_equal_weights_are_no_weights() -> None:
    slot = slots(40, 9, 16, 25)
    plain, equal = (
        tallied(slot, slots=4, weights=None if w is None else np.full(len(slot), w), persons=None) for w in (None, 3.0)
    )
    a, b = moved(plain, BEFORE, AFTER, z=Z), moved(equal, BEFORE, AFTER, z=Z)
    assert (a.middle, a.error(plain)) == pytest.approx((b.middle, b.error(equal)))


def test_the_p_value_belongs_to_the_interval() -> None:
    found = tallied(slots(40, 5, 18, 30), slots=4, weights=None, persons=None)
    change = moved(found, BEFORE, AFTER, z=Z)
    z = abs(change.middle) / change.error(found)
    assert wald_p(change, found) == pytest.approx(2 * stats.norm.sf(z))


def coverage(
    before: Rate, after: Rate, shares: list[float], truth: float, n: int, *, replicates: int, seed: int
) -> float:
    rng = np.random.default_rng(seed)
    met = done = 0
    for counts in rng.multinomial(n, shares, size=replicates):
        if min(float(r.trials @ counts) for r in (before, after)) < 10:
            continue
        _, low, high = interval(tuple(int(k) for k in counts), before, after)
        met += low - 1e-12 <= truth <= high + 1e-12
        done += 1
    return met / max(done, 1)


def paired_shares(p: float, d: float, rho: float) -> list[float]:
    q = p + d
    both = min(max(p * q + rho * math.sqrt(p * (1 - p) * q * (1 - q)), 0.0, p + q - 1), p, q)
    return [1 - p - q + both, p - both, q - both, both]


def predictive_shares(p: float, d: float, shared: float) -> tuple[list[float], float]:
    """Six slots: in one denominator, the other, or both, each without and with the event."""
    alone = (1 - shared) / 2
    cells = [alone * (1 - p), alone * p, alone * (1 - p - d), alone * (p + d), shared * (1 - p), shared * p]
    return cells, ((alone * (p + d) + shared * p) - (alone * p + shared * p)) / (alone + shared)


SIX = (
    Rate(np.array([0.0, 1, 0, 0, 0, 1]), np.array([1.0, 1, 0, 0, 1, 1])),
    Rate(np.array([0.0, 0, 0, 1, 0, 1]), np.array([0.0, 0, 1, 1, 1, 1])),
)


def grid(replicates: int, sizes: tuple[int, ...], rates: tuple[float, ...]) -> list[float]:
    found = []
    for n in sizes:
        for k, p in enumerate(rates):
            for d in (0.0, 0.1):
                for rho in (0.0, 0.8):
                    shares = paired_shares(p, d, rho)
                    found.append(coverage(BEFORE, AFTER, shares, d, n, replicates=replicates, seed=k))
                shares, truth = predictive_shares(p, d, 0.6)
                found.append(coverage(*SIX, shares, truth, n, replicates=replicates, seed=k))
    return found


def test_coverage_small() -> None:
    found = grid(150, (40, 200), (0.05, 0.4))
    assert np.mean(found) >= 0.94
    assert min(found) >= 0.88


@pytest.mark.prove
def test_coverage(record_property: Callable[[str, object], None]) -> None:
    found = grid(2000, (30, 100, 1000), (0.02, 0.05, 0.1, 0.3, 0.5))
    record_property("mean coverage of paired differences", round(float(np.mean(found)), 4))
    record_property("least coverage of paired differences", round(min(found), 4))
    assert np.mean(found) >= 0.945
    assert min(found) >= 0.91
