"""Strata: the Berkeley admissions, coverage, and the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from auditkit.errors import NumericsError
from auditkit.stats.intervals import critical
from auditkit.stats.stratified import Strata, cmh, heterogeneity, odds_ratio, risk_difference, strata

# Bickel, Hammel and O'Connell, Science 187 (1975) 398: admitted and rejected men, then women, by department.
MEN = np.array([[512, 313], [353, 207], [120, 205], [138, 279], [53, 138], [22, 351]])
WOMEN = np.array([[89, 19], [17, 8], [202, 391], [131, 244], [94, 299], [24, 317]])
Z = critical(0.95)


def berkeley() -> Strata:
    return strata(
        events=np.stack([MEN[:, 0], WOMEN[:, 0]], axis=1), trials=np.stack([MEN.sum(axis=1), WOMEN.sum(axis=1)], axis=1)
    )


def test_berkeley_as_r_prints_it() -> None:
    """mantelhaen.test(UCBAdmissions): 0.9046968, 0.7719074 to 1.0603298; without correction X² = 1.5246."""
    found = odds_ratio(berkeley(), z=Z)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.9046968, 0.7719074, 1.0603298), abs=5e-7)
    assert cmh(berkeley()) == pytest.approx(stats.chi2.sf(1.5246, 1), abs=1e-4)


def test_the_fitted_tables_have_the_common_odds_ratio() -> None:
    own = berkeley()
    found = odds_ratio(own, z=Z)
    assert found is not None
    total, spread, excess = 0.0, [], []
    for x1, n1, x0, n0 in zip(own.x1, own.n1, own.x0, own.n0, strict=True):
        t = x1 + x0

        def off(e: float, n1: float = n1, n0: float = n0, t: float = t) -> float:
            return float(e * (n0 - t + e) - found.value * (n1 - e) * (t - e))  # type: ignore[union-attr]

        e = optimize.brentq(off, max(0.0, t - n0), min(n1, t))
        v = 1 / (1 / e + 1 / (n1 - e) + 1 / (t - e) + 1 / (n0 - t + e))
        total += (x1 - e) ** 2 / v
        spread.append(v)
        excess.append(x1 - e)
    wanted = stats.chi2.sf(total - sum(excess) ** 2 / sum(spread), 5)
    assert heterogeneity(own, ratio=found.value) == pytest.approx(wanted, rel=1e-6)
    assert wanted == pytest.approx(0.002, abs=1e-3)


def test_one_stratum_is_the_plain_table() -> None:
    own = strata(events=np.array([[30, 55]]), trials=np.array([[100, 120]]))
    ratio, apart = odds_ratio(own, z=Z), risk_difference(own, z=Z)
    assert ratio is not None and ratio.value == pytest.approx((30 / 70) / (55 / 65))
    assert apart.value == pytest.approx(30 / 100 - 55 / 120)
    plain = stats.chi2_contingency([[30, 70], [55, 65]], correction=False).statistic
    assert cmh(own) == pytest.approx(stats.chi2.sf(plain * 219 / 220, 1))
    assert heterogeneity(own, ratio=ratio.value) is None


def test_the_limits_cover_and_the_tests_keep_their_size() -> None:
    draw = np.random.default_rng(3)
    n1, n0, base = np.array([40, 60, 25, 80]), np.array([80, 30, 90, 70]), np.array([0.2, 0.5, 0.7, 0.35])
    held, rejected, uneven, repeats = 0, 0, 0, 1_500
    for _ in range(repeats):
        same = Strata(draw.binomial(n1, base) * 1.0, n1 * 1.0, draw.binomial(n0, base) * 1.0, n0 * 1.0)
        apart = Strata(draw.binomial(n1, base + 0.1) * 1.0, n1 * 1.0, draw.binomial(n0, base) * 1.0, n0 * 1.0)
        limits, ratio, p = risk_difference(apart, z=Z), odds_ratio(same, z=Z), cmh(same)
        assert ratio is not None and p is not None
        held += limits.low <= 0.1 <= limits.high
        rejected += p <= 0.05
        uneven += (heterogeneity(same, ratio=ratio.value) or 1) <= 0.05
    band = 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert held / repeats == pytest.approx(0.95, abs=band)
    assert rejected / repeats <= 0.05 + band
    assert uneven / repeats <= 0.05 + band


def test_what_cannot_be_estimated_is_not() -> None:
    none = strata(events=np.array([[0, 0], [0, 0]]), trials=np.array([[10, 10], [5, 9]]))
    assert odds_ratio(none, z=Z) is None and cmh(none) is None and heterogeneity(none, ratio=1.0) is None
    assert strata(events=np.array([[1, 0], [2, 3]]), trials=np.array([[5, 0], [9, 9]])).x1.size == 1
    with pytest.raises(NumericsError):
        strata(events=np.array([[1, 0]]), trials=np.array([[5, 0]]))
