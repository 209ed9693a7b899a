"""Whether two lots of rows share more groups of equal rows than a random division of all rows would give.

Under the hypothesis that lots A and B are a random division of one pool, a group of m equal rows gives A_g rows to A
and m - A_g to B, with A_g binomial before the sizes of the lots are fixed. The statistic is

    C = sum_g A_g (m_g - A_g) / m_g,

which is 1/2 for a pair that is parted and 0 for one that is not. For groups of many rows it is, up to a constant and a
sign, the chi-squared statistic of homogeneity, so that lots which agree too well give a large C as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEEPEST: Final = 100.0
"""Largest tilt tried: beyond it exp(-tilt / 2) is nothing beside any level."""
NOTABLE: Final = 2.0
"""Standard deviations above its mean below which no bound is worth computing: the p-value is then told as 1."""


@dataclass(frozen=True)
class _Law:
    """Every outcome of one group of each size: [T] outcomes, the sizes' outcomes one after another."""

    starts: Ints
    """[S] where a size's outcomes begin."""
    groups: Floats
    """[S] groups of the size."""
    log_chance: Floats
    """[T]"""
    parted: Floats
    """[T] A (m - A) / m."""
    excess: Floats
    """[T] A - m rho; sums to 0 over all groups, as the sizes of the lots are fixed."""


def parted(first: Ints, second: Ints) -> float:
    """C of groups with these numbers of rows [G] in the two lots."""
    size = first + second
    return float((first * second / np.maximum(size, 1)).sum())


def parted_p_value(first: Ints, second: Ints) -> float:
    """Upper bound of the chance of a C at least this large, if the lots were a random division of all rows.

    With s >= 0 and any u, Markov's inequality gives P(C >= c and sum A = n) <= exp(-s c) E exp(s C + u (sum A - n)),
    the groups independent binomials; this is minimised over s and u and divided by P(sum A = n). So it is a bound, not
    an approximation: a true division gives a value of at most p in at most the share p of cases. It is about ten
    times the exact tail. Values that are not notably above the mean are told as 1.

    Args:
        first: [G] rows of the group in lot A. second: [G] rows of it in lot B.
    """
    size = (first + second)[first + second > 0]
    total, share = int(size.sum()), float(first.sum()) / max(int(size.sum()), 1)
    if not 0 < share < 1 or size.max(initial=0) < 2:
        return 1.0
    found, law = parted(first, second), _law(size, share)
    if not _notable(law, found):
        return 1.0

    def bound(tilt: Floats) -> tuple[float, Floats]:
        exponent = law.log_chance + tilt[0] * law.parted + tilt[1] * law.excess
        top = np.maximum.reduceat(exponent, law.starts)
        weight = np.exp(exponent - np.repeat(top, np.diff([*law.starts, len(exponent)])))
        mass = np.add.reduceat(weight, law.starts)
        value = float((law.groups * (top + np.log(mass))).sum()) - tilt[0] * found
        slopes = [
            float((law.groups * np.add.reduceat(weight * part, law.starts) / mass).sum())
            for part in (law.parted, law.excess)
        ]
        return value, np.array([slopes[0] - found, slopes[1]])

    best = optimize.minimize(
        bound, np.array([0.1, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, STEEPEST), (-STEEPEST, STEEPEST)]
    )
    fixed = float(stats.binom.logpmf(int(first.sum()), total, share))
    return float(np.exp(min(0.0, float(best.fun) - fixed)))


def _law(size: Ints, share: float) -> _Law:
    sizes, groups = np.unique(size, return_counts=True)
    counts = [np.arange(m + 1, dtype=np.float64) for m in sizes]
    chances = [stats.binom.logpmf(count, m, share) for count, m in zip(counts, sizes, strict=True)]
    return _Law(
        starts=np.concatenate([[0], np.cumsum(sizes + 1)[:-1]]).astype(np.int64), groups=groups.astype(np.float64),
        log_chance=np.concatenate(chances),
        parted=np.concatenate([count * (m - count) / m for count, m in zip(counts, sizes, strict=True)]),
        excess=np.concatenate([count - m * share for count, m in zip(counts, sizes, strict=True)]),
    )  # fmt: skip


def _notable(law: _Law, found: float) -> bool:
    """Whether C lies more than NOTABLE deviations above its mean, the lots' sizes taken as fixed."""
    chance = np.exp(law.log_chance)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(chance * values, law.starts))

    centre = mean(law.parted)
    spread = float((law.groups * (mean(law.parted**2) - centre**2)).sum())
    common = float((law.groups * mean(law.parted * law.excess)).sum())
    other = float((law.groups * mean(law.excess**2)).sum())
    left = max(spread - common**2 / other, 0.0)
    return found - float((law.groups * centre).sum()) > NOTABLE * float(np.sqrt(left)) + 1e-9
