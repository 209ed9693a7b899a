"""Two groups compared within strata: Mantel and Haenszel's pooled odds ratio and difference, and their tests.

Legend: per stratum k, x1 of n1 have the event in the group and x0 of n0 in the reference; N = n1 + n0. Strata without
records of one of the two say nothing and are left out. Records are taken as independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.stats.mover import Bounded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Strata:
    """Counts [K] of the strata with records of both."""

    x1: Floats
    n1: Floats
    x0: Floats
    n0: Floats

    @property
    def size(self) -> Floats:
        """[K] N."""
        return self.n1 + self.n0


def strata(*, events: Ints, trials: Ints) -> Strata:
    """From events and trials [K, 2], group then reference.

    Raises:
        NumericsError: no stratum has records of both.
    """
    both = (trials > 0).all(axis=1)
    if not both.any():
        raise NumericsError("no stratum has records of both groups")
    x, n = events[both].astype(np.float64), trials[both].astype(np.float64)
    return Strata(x[:, 0], n[:, 0], x[:, 1], n[:, 1])


def odds_ratio(found: Strata, *, z: float) -> Bounded | None:
    """Pooled odds ratio sum(x1 (n0 - x0) / N) / sum(x0 (n1 - x1) / N), and its limits; None where either sum is 0.

    Mantel and Haenszel, JNCI 22 (1959) 719; the variance of its logarithm is that of Robins, Breslow and Greenland
    (Biometrics 42 (1986) 311), right for few large and for many small strata. It means one thing only where the strata
    share an odds ratio, see `heterogeneity`.
    """
    a, b, c, d = found.x1, found.n1 - found.x1, found.x0, found.n0 - found.x0
    p, q = (a + d) / found.size, (b + c) / found.size
    r, s = a * d / found.size, b * c / found.size
    if r.sum() == 0 or s.sum() == 0:
        return None
    value = float(r.sum() / s.sum())
    parts = ((p * r).sum() / r.sum() ** 2, (p * s + q * r).sum() / (r.sum() * s.sum()), (q * s).sum() / s.sum() ** 2)
    half = z * math.sqrt(sum(parts) / 2)
    return Bounded(value, value * math.exp(-half), value * math.exp(half))


def risk_difference(found: Strata, *, z: float) -> Bounded:
    """Pooled difference of the rates, weights n1 n0 / N, with limits by Sato's variance, cut to [-1, 1].

    Greenland and Robins, Biometrics 41 (1985) 55; Sato, Biometrics 45 (1989) 1323, right for few large and for many
    small strata.
    """
    w = found.n1 * found.n0 / found.size
    value = float(((found.x1 * found.n0 - found.x0 * found.n1) / found.size).sum() / w.sum())
    p = found.n1**2 * found.x0 - found.n0**2 * found.x1 + found.n1 * found.n0 * (found.n0 - found.n1) / 2
    q = (found.x1 * (found.n0 - found.x0) + found.x0 * (found.n1 - found.x1)) / (2 * found.size)
    half = z * math.sqrt(max(0.0, value * float((p / found.size**2).sum()) + float(q.sum()))) / float(w.sum())
    return Bounded(value, max(-1.0, value - half), min(1.0, value + half))


def cmh(found: Strata) -> float | None:
    """p-value of the Cochran–Mantel–Haenszel test that the two are alike within strata; None where nothing varies.

    (sum(x1 - E))² / sum(V), E and V of the hypergeometric law of each stratum, chi-squared with one degree of freedom,
    without continuity correction (Agresti, Categorical Data Analysis, 2002, 6.3.2).
    """
    hits = found.x1 + found.x0
    expected = found.n1 * hits / found.size
    spread = found.n1 * found.n0 * hits * (found.size - hits) / (found.size**2 * np.maximum(found.size - 1, 1))
    if spread.sum() == 0:
        return None
    return float(stats.chi2.sf((found.x1 - expected).sum() ** 2 / spread.sum(), 1))


def heterogeneity(found: Strata, *, ratio: float) -> float | None:
    """p-value of Breslow and Day's test that the strata share one odds ratio, with Tarone's correction.

    Breslow and Day, Statistical Methods in Cancer Research I (1980) 142; Tarone, Biometrika 72 (1985) 91. None where
    fewer than two strata have both events and non-events. Not reliable where many strata are small.
    """
    hits = found.x1 + found.x0
    used = (hits > 0) & (hits < found.size)
    if used.sum() < 2:
        return None
    n1, n0, x1, t = found.n1[used], found.n0[used], found.x1[used], hits[used]
    fitted = _fitted(n1, n0, t, ratio=ratio)
    spread = 1 / (1 / fitted + 1 / (n1 - fitted) + 1 / (t - fitted) + 1 / (n0 - t + fitted))
    statistic = ((x1 - fitted) ** 2 / spread).sum() - (x1 - fitted).sum() ** 2 / spread.sum()
    return float(stats.chi2.sf(max(0.0, float(statistic)), int(used.sum()) - 1))


def _fitted(n1: Floats, n0: Floats, t: Floats, *, ratio: float) -> Floats:
    """Events of the group that the margins and one odds ratio imply: e (n0 - t + e) = ratio (n1 - e) (t - e)."""
    a, b, c = 1 - ratio, n0 - t + ratio * (n1 + t), -ratio * n1 * t
    # The stable form of the root that lies between the margins; right for ratio = 1 too.
    return np.asarray(-2 * c / (b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0))), dtype=np.float64)
