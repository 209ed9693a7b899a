"""The largest of several figures measured on the same records, with an interval for the largest true one.

Whoever takes the largest of several takes their luck as well. With limits l_a and u_a of each,

    low = max_a l_a, each l_a good for all figures at once;    high = max_a u_a, each u_a on its own:

the low limit lies above the largest true figure only if some l_a lies above its own, and the high limit lies below it
only if the u_a of the very figure that is truly largest does. So only the low limit pays for the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats
from scipy.stats import qmc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS: Final = 10
"""Logarithm to base 2 of the points drawn in each tail; 1,024 leave the critical value uncertain by about 0.002."""


def joint_level(pulls: Sequence[Floats], *, level: float, persons: Ints | None = None) -> float:
    """Two-sided level at which each of A intervals has to be taken so that all low limits hold together.

    The A figures err by a joint normal law whose correlations are those of the records' pulls (summed by person). The
    critical value c is the (1 + level) / 2 quantile of max_a Z_a; it lies between that of one figure and Bonferroni's.
    The law is drawn by a fixed quasi-random sequence (Sobol), so that equal data give equal figures.

    Source: Hothorn, Bretz and Westfall, Biom. J. 50 (2008) 346 (the max-type joint law of correlated estimates).

    Args:
        pulls: A arrays [n] over the same records; of a record that a figure does not use, 0.
        level: coverage of the interval of the largest.
        persons: [n] codes, or None where each record is its own person.

    Returns:
        The level; `level` itself for one figure.
    """
    count = len(pulls)
    tail = (1 - level) / 2
    if count == 1:
        return level
    ordinary, bonferroni = float(stats.norm.isf(tail)), float(stats.norm.isf(tail / count))
    law = correlation(pulls, persons=persons)
    values, vectors = np.linalg.eigh(law)
    # The sequence begins at 0, where the normal quantile is infinite.
    uniform = qmc.Sobol(count + 1, scramble=False).random_base2(DRAWS)[1:]
    draws = special.ndtri(uniform[:, 1:]) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T

    def excess(critical: float) -> float:
        return _any_above(critical, law, draws, uniform[:, 0]) - tail

    at_ends = excess(ordinary), excess(bonferroni)
    critical = ordinary if at_ends[0] <= 0 else bonferroni
    if at_ends[0] > 0 > at_ends[1]:
        critical = float(optimize.brentq(excess, ordinary, bonferroni, xtol=1e-4))
    return float(2 * stats.norm.cdf(critical) - 1)


def _any_above(critical: float, law: Floats, draws: Floats, uniform: Floats) -> float:
    """P(max_a Z_a > critical) = sum_a P(Z_a > critical) E[1 / N | Z_a > critical], N how many lie above.

    Each Z_a is drawn from its own tail and carries the others along by their correlation, so that no draw is lost
    (Shi, Siegmund and Yakir, J. Am. Stat. Assoc. 102 (2007) 929).

    Args:
        critical: the value. law: [A, A] correlations. draws: [M, A] of that law. uniform: [M] the places in the tail.
    """
    tail = float(stats.norm.sf(critical))
    beyond = special.ndtri(uniform * tail) * -1
    found = 0.0
    for a in range(len(law)):
        moved = draws - law[a] * (draws[:, a] - beyond)[:, None]
        found += float(np.mean(1 / np.maximum((moved > critical).sum(axis=1), 1)))
    return tail * found


def correlation(pulls: Sequence[Floats], *, persons: Ints | None = None) -> Floats:
    """[A, A] correlations of the sums of pulls [n], persons being drawn; a figure without spread correlates with none.

    Args:
        pulls: A arrays [n] of the same records. persons: [n] codes, or None where each record is its own person.
    """
    table = np.stack(pulls)
    if persons is not None:
        codes = np.unique(persons, return_inverse=True)[1]
        table = np.stack([np.bincount(codes, weights=row) for row in table])
    spread = np.sqrt(np.square(table).sum(axis=1))
    scaled = np.divide(table, spread[:, None], out=np.zeros_like(table), where=spread[:, None] > 0)
    law = np.clip(scaled @ scaled.T, -1.0, 1.0)
    np.fill_diagonal(law, 1.0)
    return np.asarray(law, dtype=np.float64)
