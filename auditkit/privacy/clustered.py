"""Means, rates and AUC when several records belong to one person: the person is the unit that was drawn.

Records of one person are alike, so intervals that count them as independent are too narrow. Each function
takes `persons`, one code per record (or None: every record its own person), and sums residuals within a
person before squaring them. With one record per person every formula reduces to the usual one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

from auditkit.result import Estimate
from auditkit.stats.intervals import clopper_pearson
from auditkit.subject.types import Floats, Ints, Mask


@dataclass(frozen=True)
class Mean:
    """A mean, the variance of that mean, and the number of persons it rests on."""

    value: float
    variance: float
    persons: int
    n: int


def repeats(persons: Ints | None) -> bool:
    """Whether any person has more than one record."""
    return persons is not None and len(np.unique(persons)) < len(persons)


def person_sums(values: Floats, persons: Ints | None) -> Floats:
    """Sum of values [n] within each person."""
    if persons is None:
        return values
    inverse = np.unique(persons, return_inverse=True)[1]
    return np.asarray(np.bincount(inverse, weights=values), dtype=np.float64)


def mean(values: Floats, persons: Ints | None) -> Mean:
    """Mean of values [n] with its variance G/(G-1) sum_g (sum_{i in g} (x_i - mean)/n)^2 over G persons.

    With one record per person that is s^2/n. Source: Liang & Zeger, Biometrika 1986 (independence working
    matrix). Too small when there are few persons (below about 30) or one person has most of the records.
    """
    n = len(values)
    centre = float(np.mean(values))
    sums = person_sums((values - centre) / n, persons)
    groups = len(sums)
    variance = float(groups / (groups - 1) * np.sum(sums**2)) if groups > 1 else float("inf")
    return Mean(value=centre, variance=variance, persons=groups, n=n)


def rate(hits: Mask, persons: Ints | None, *, level: float) -> Estimate:
    """Share of hits [n] with a Clopper–Pearson interval, or Korn and Graubard's where persons repeat.

    Korn–Graubard: Clopper–Pearson at the effective size n* = min(n, p(1-p)/variance of the clustered mean);
    at a share of 0 or 1, where that variance is 0, n* is the number of persons. Conservative by construction.
    Sources: Clopper & Pearson, Biometrika 1934; Korn & Graubard, Survey Methodology 1998.
    """
    n, events = len(hits), int(np.sum(hits))
    if not repeats(persons) or n == 0:
        return clopper_pearson(events=events, n=n, level=level)
    value = events / n
    clustered = mean(hits.astype(np.float64), persons)
    size = float(clustered.persons)
    if clustered.variance > 0:
        size = min(float(n), value * (1 - value) / clustered.variance)
    low, high = exact_limits(value * size, size, level=level)
    method = "Korn–Graubard interval (Clopper–Pearson at the effective number of persons)"
    return Estimate(value=value, low=low, high=high, level=level, n=n, events=events, method=method)


def exact_limits(events: float, size: float, *, level: float) -> tuple[float, float]:
    """Clopper–Pearson limits of events/size by beta quantiles; both may be fractional effective numbers."""
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, events, size - events + 1)) if events > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, events + 1, size - events)) if events < size else 1.0
    return low, high


def difference(one: Mean, other: Mean, *, level: float) -> tuple[float, float, float]:
    """`one - other` with Welch's interval on persons: (value, low, high).

    Degrees of freedom by Satterthwaite with G-1 per side. Wrong for very skewed values in small samples.
    Source: Welch, Biometrika 1947.
    """
    value = one.value - other.value
    variance = one.variance + other.variance
    if variance == 0.0:
        return value, value, value
    parts = one.variance**2 / (one.persons - 1) + other.variance**2 / (other.persons - 1)
    half = float(stats.t.ppf((1 + level) / 2, variance**2 / parts)) * sqrt(variance)
    return value, value - half, value + half


def auc_variance(*, positives: Floats, negatives: Floats, persons: tuple[Ints, Ints]) -> float:
    """Variance of the AUC with records clustered in persons, who may stand on both sides.

    Structural components V10_i = P(x_i > Y) + P(x_i = Y)/2 and V01_j likewise; their centred sums by person,
    squared: G/(G-1) sum_g (sum_{i in g} (V10_i - A)/m + sum_{j in g} (V01_j - A)/n)^2.
    Sources: DeLong et al., Biometrics 1988; Obuchowski, Biometrics 1997.
    """
    ordered_negatives, ordered_positives = np.sort(negatives), np.sort(positives)
    beats = _mid_rank_share(positives, ordered_negatives)
    beaten = 1 - _mid_rank_share(negatives, ordered_positives)
    area = float(beats.mean())
    pull = np.concatenate([(beats - area) / len(positives), (beaten - area) / len(negatives)])
    sums = person_sums(pull, np.concatenate(persons))
    return float(len(sums) / (len(sums) - 1) * np.sum(sums**2))


def _mid_rank_share(values: Floats, ordered: Floats) -> Floats:
    """Share of `ordered` below each value, ties counting one half."""
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return (below + upto) / (2 * len(ordered))
