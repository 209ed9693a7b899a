"""Weighted means and areas, and how far they are known: the larger of two variances, as for weighted rates.

The sandwich variance sums what each record moves the statistic by, person by person; it is too small where the few
records that count happen to be light. Kish's is the spread of the values over the effective number of records, too
small where heavy records differ from light ones. The larger of both is taken; see `intervals.effective_n`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.stats.clusters import variance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LARGEST = 1e100
"""Weights whose largest lies above this, or below its inverse, are too large (or small) to be squared."""


@dataclass(frozen=True)
class Known:
    """A value and its standard error."""

    value: float
    error: float


def kish(weights: Floats) -> float:
    """Effective number of records, (sum w)² / sum w²; 0 without weight."""
    squares = float((weights**2).sum())
    return float(weights.sum()) * (float(weights.sum()) / squares) if squares > 0 else 0.0


def mean(values: Floats, weights: Floats, *, persons: Ints) -> Known:
    """sum(w x) / sum(w).

    Args:
        values, weights: [N]. persons: [N] codes from 0.

    Raises:
        NumericsError: no record has a weight.
    """
    total = _total(weights)
    value = float((weights * values).sum()) / total
    moved = weights * (values - value) / total
    spread = float((weights * (values - value) ** 2).sum()) / total
    return Known(value, math.sqrt(max(variance(moved, persons=persons), spread / kish(weights))))


def area(positives: Floats, negatives: Floats, *, weights: tuple[Floats, Floats], persons: tuple[Ints, Ints]) -> Known:
    """Area under the ROC curve, sum of v w [x > y] (ties half) over the sum of v w; sklearn's with `sample_weight`.

    The parts of a record are its placement value among the other class (DeLong, Biometrics 44 (1988) 837), weighted.

    Args:
        positives: [P] scores. negatives: [Q]. weights, persons: [P] and [Q] of each.

    Raises:
        NumericsError: one of the classes has no weight.
    """
    v, w = weights
    one, other = _total(v), _total(w)
    above = _placed(positives, negatives, w) / other
    below = 1 - _placed(negatives, positives, v) / one
    value = float(np.clip((v * above).sum() / one, 0.0, 1.0))
    moved = np.concatenate([v * (above - value) / one, w * (below - value) / other])
    clustered = variance(moved, persons=np.concatenate(persons))
    plain = sum(
        float((own * (placed - value) ** 2).sum()) / total / kish(own)
        for own, placed, total in ((v, above, one), (w, below, other))
    )
    return Known(value, math.sqrt(max(clustered, plain)))


def limits(found: Known, *, z: float, size: float) -> tuple[float, float]:
    """Limits of an area, symmetric on the logit scale; Jeffreys' of `size` records if it is 0, 1 or without error."""
    if found.error < 1e-12 or min(found.value, 1 - found.value) < 1e-12:
        ends = stats.beta.interval(2 * stats.norm.cdf(z) - 1, size * found.value + 0.5, size * (1 - found.value) + 0.5)
        return min(float(ends[0]), found.value), max(float(ends[1]), found.value)
    half = z * found.error / (found.value * (1 - found.value))
    centre = math.log(found.value / (1 - found.value))
    low, high = (0.5 * (1 + math.tanh(end / 2)) for end in (centre - half, centre + half))
    return low, high


def _placed(own: Floats, others: Floats, weights: Floats) -> Floats:
    """[N] weight of the others below each of own, ties half."""
    order = np.argsort(others, kind="stable")
    ranked, summed = others[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    ends = (summed[np.searchsorted(ranked, own, side=side)] for side in ("left", "right"))
    return np.asarray(sum(ends) / 2, dtype=np.float64)


def _total(weights: Floats) -> float:
    total = float(weights.sum())
    if total <= 0:
        raise NumericsError("no record has a weight")
    return total


def relative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same weights [N], of which the largest counts as 1 where their squares would overflow or vanish.

    Only ratios of sample weights matter to a rate, its effective n and its interval.
    """
    largest = float(np.nanmax(weights, initial=0.0))
    return weights if 1 / LARGEST < largest < LARGEST or not largest else weights / largest
