"""Tests of two proportions, and p-values of a family put right for their number."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from auditkit.errors import NumericsError

Floats = NDArray[np.float64]
Multiplicity = Literal["simultaneous", "holm", "bh"]


def two_proportion_z(*, rates: tuple[float, float], n: tuple[float, float]) -> float | None:
    """Two-sided p-value of the pooled z test of two rates; None where both are 0 or both 1 (nothing is pooled).

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)), p the pooled rate; its square is Pearson's chi-squared of the table
    of two rows, without continuity correction. n may be effective numbers (n / design effect). Not reliable below
    about five expected events or non-events in a group: Fisher's test is.
    """
    pooled = (rates[0] * n[0] + rates[1] * n[1]) / (n[0] + n[1])
    if pooled <= 0 or pooled >= 1:
        return None
    z = (rates[0] - rates[1]) / math.sqrt(pooled * (1 - pooled) * (1 / n[0] + 1 / n[1]))
    return float(2 * stats.norm.sf(abs(z)))


def fisher(*, events: tuple[int, int], n: tuple[int, int]) -> float:
    """Two-sided p-value of Fisher's exact test (scipy): tables as probable as the observed one or less.

    Exact given both margins, conservative for small counts. Wrong for records that depend on each other.

    Raises:
        NumericsError: events is not between 0 and n.
    """
    if not all(0 <= x <= m for x, m in zip(events, n, strict=True)):
        raise NumericsError(f"{events} events among {n} records are no table")
    table = np.array([[events[0], n[0] - events[0]], [events[1], n[1] - events[1]]])
    return float(stats.fisher_exact(table, alternative="two-sided").pvalue)


def adjusted(p: ArrayLike, *, method: Multiplicity) -> Floats:
    """p-values [K] of one family, put right for their number.

    `simultaneous`: 1 - (1 - p)^K (Šidák, single step), the test that the simultaneous intervals amount to;
    `holm`: Holm's step-down (Scand. J. Stat. 6 (1979) 65), at most as large as Bonferroni's, under any dependence;
    `bh`: Benjamini and Hochberg (JRSS B 57 (1995) 289), which bounds the expected share of false findings among those
    found instead of the chance of one.
    """
    values = np.asarray(p, dtype=np.float64)
    if values.size == 0:
        return values
    if method == "simultaneous":
        return np.asarray(-np.expm1(values.size * np.log1p(-np.minimum(values, 1 - 1e-16))), dtype=np.float64)
    if method == "bh":
        return np.asarray(stats.false_discovery_control(values, method="bh"), dtype=np.float64)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    out = np.empty_like(values)
    out[order] = np.minimum(stepped, 1.0)
    return out
