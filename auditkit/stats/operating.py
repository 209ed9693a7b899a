"""The true-positive rate at a fixed false-positive rate, with an interval that carries the threshold's own error.

The threshold is read off the negatives, so that two samples err: the positives (how many lie above it) and the
negatives (where it lies). Among equal scores a coin is tossed: between two corners the ROC is a straight line, as it
is for every test that may randomise (Lehmann and Romano, Testing Statistical Hypotheses, section 3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from auditkit.errors import NumericsError
from auditkit.stats.clusters import variance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHOD: Final = (
    "square-and-add along the ROC: the exact limits of the rate at the observed threshold, and the threshold's own "
    "error from the negatives; equal scores are drawn by a coin"
)


@dataclass(frozen=True)
class OperatingPoint:
    """An attacker's rule at one false-positive rate: how surely each record is flagged."""

    fpr: float
    """The false-positive rate asked for; on the negatives the rule meets it exactly."""
    hits: Floats
    """[P] chance that each positive is flagged: 1 above the threshold, 0 below, one share for all at it."""
    alarms: Floats
    """[Q] the same of the negatives; their mean is `fpr`."""
    false: Ints
    """[C] negatives at or above each corner of the ROC, from 0 up."""
    true: Ints
    """[C] positives at or above each corner."""

    @property
    def value(self) -> float:
        """The true-positive rate: the mean of `hits`."""
        return float(self.hits.mean())

    @property
    def share(self) -> float:
        """Share of the records at the threshold that the coin flags; 0 where it is not tossed."""
        between = self.alarms[(self.alarms > 0) & (self.alarms < 1)]
        return float(between[0]) if between.size else 0.0

    def curve(self, fpr: float) -> float:
        """The ROC's true-positive rate at another false-positive rate, on the line between its corners."""
        at, share = _place(self.false, fpr * len(self.alarms))
        count = self.true[at] + share * (self.true[at + 1] - self.true[at])
        return float(count) / len(self.hits)


@dataclass(frozen=True)
class Reach:
    """Limits of a true-positive rate, and what they are made of."""

    low: float
    high: float
    size: float
    """Independent positives that the rate at the observed threshold is worth."""
    negatives: float
    """Independent negatives that the threshold is worth."""
    ends: tuple[float, float]
    """The ROC at the limits of the false-positive rate of the observed threshold."""
    slope: float
    """Of the ROC between those limits."""


def operating_point(*, positives: ArrayLike, negatives: ArrayLike, fpr: float) -> OperatingPoint:
    """The rule that flags the share `fpr` of these negatives, records of higher score first.

    Among equal scores the same share of each is flagged: with Q negatives of which A lie above the value and T at it,
    the share is (fpr Q - A) / T. Positives that lie strictly between two negatives are flagged as far as the next
    negative allows.

    Args:
        positives: [P] scores; negatives: [Q] scores; larger points to positives.
        fpr: inside (0, 1).

    Raises:
        NumericsError: no scores on a side, a NaN among them, or `fpr` outside (0, 1).

    >>> point = operating_point(positives=[1, 1, 1, 1], negatives=[1, 1, 0, 0], fpr=0.25)
    >>> point.value, point.share
    (0.5, 0.5)
    """
    hits, misses = (np.asarray(values, dtype=np.float64).ravel() for values in (positives, negatives))
    if not hits.size or not misses.size or np.isnan(hits).any() or np.isnan(misses).any() or not 0 < fpr < 1:
        message = f"no operating point at false-positive rate {fpr!r} of {hits.size} and {misses.size} scores"
        raise NumericsError(message)
    values = np.unique(np.concatenate([hits, misses]))[::-1]
    true = np.concatenate([[0], hits.size - np.searchsorted(np.sort(hits), values, side="left")])
    false = np.concatenate([[0], misses.size - np.searchsorted(np.sort(misses), values, side="left")])
    at, share = _place(false, fpr * misses.size)
    edge = values[at]
    return OperatingPoint(
        fpr=fpr, false=false, true=true,
        hits=np.where(hits > edge, 1.0, np.where(hits == edge, share, 0.0)),
        alarms=np.where(misses > edge, 1.0, np.where(misses == edge, share, 0.0)),
    )  # fmt: skip


def reach(
    point: OperatingPoint, *, level: float, persons: tuple[Ints | None, Ints | None] = (None, None)
) -> Reach:
    """Limits of the population's true-positive rate at exactly the false-positive rate of `point`.

    low  = y - sqrt((y - l)^2 + (y - R(f_l))^2),   high = y + sqrt((u - y)^2 + (R(f_u) - y)^2):

    y is the value; l and u are Clopper and Pearson's limits of a rate y among the positives, as if the threshold were
    known; R is the observed ROC, and f_l and f_u are what the observed threshold's own false-positive rate may be:
    sin^2(arcsin sqrt(f) -+ z / (2 sqrt(m))) with m negatives. So the slope of the ROC, which turns the threshold's
    error into one of the rate, is read off the curve on either side and needs no density. Counted are not records but
    independent ones: a coin tossed among many equal scores makes a rate surer than as many yes-or-no answers, and
    several records of one person make it less sure (both by the variance of the flags).

    Sources: Zou and Donner, Stat. Med. 27 (2008) 1693 (square-and-add of unlike limits); Clopper and Pearson,
    Biometrika 26 (1934) 404; Korn and Graubard, Survey Methodology 24 (1998) 193 (effective size).

    Args:
        point: from `operating_point`.
        level: coverage of the interval; each end errs by about half of the rest.
        persons: codes [P] and [Q] of the persons, or None where each record is its own person.

    Wrong with fewer than about 10 expected false positives, where the curve around them is a handful of steps; and a
    person on both sides is counted on each.
    """
    z = float(stats.norm.ppf(0.5 + level / 2))
    size, negatives = _independent(point.hits, persons[0]), _independent(point.alarms, persons[1])
    angle, step = math.asin(math.sqrt(point.fpr)), z / (2 * math.sqrt(negatives))
    rates = [math.sin(min(max(angle + side * step, 0.0), math.pi / 2)) ** 2 for side in (-1, 1)]
    ends = (point.curve(rates[0]), point.curve(rates[1]))
    low, high = joined(point.value, size=size, ends=ends, level=level)
    return Reach(low, high, size, negatives, ends, (ends[1] - ends[0]) / (rates[1] - rates[0]))


def joined(value: float, *, size: float, ends: tuple[float, float], level: float) -> tuple[float, float]:
    """Square-and-add of the exact limits of a rate `value` among `size` records and of the curve's `ends`."""
    tail = (1 - level) / 2
    events = value * size
    low = float(special.betaincinv(events, size - events + 1, tail)) if value > 0 else 0.0
    high = float(special.betaincinv(events + 1, size - events, 1 - tail)) if value < 1 else 1.0
    return (
        max(0.0, value - math.hypot(value - low, max(value - ends[0], 0.0))),
        min(1.0, value + math.hypot(high - value, max(ends[1] - value, 0.0))),
    )


def pulls(point: OperatingPoint, slope: float) -> tuple[Floats, Floats]:
    """How far each positive [P] and each negative [Q] pulls the rate: (h - y) / P and -slope (a - f) / Q.

    The linear terms of Hsieh and Turnbull's expansion (Ann. Stat. 24 (1996) 25) with the threshold estimated; they add
    up to 0 on each side. For how much attacks on the same records err together, not for an interval of one.
    """
    hits = (point.hits - point.value) / len(point.hits)
    return hits, -slope * (point.alarms - point.fpr) / len(point.alarms)


def _place(false: Ints, count: float) -> tuple[int, float]:
    """The last corner at or below so many negatives, and how far towards the next they reach (0 to below 1)."""
    near = round(count)
    # Float dust: 0.29 * 100 is 28.999999999999996, which are 29 negatives.
    wanted = float(near) if abs(count - near) < 1e-9 * max(1.0, abs(count)) else count
    if wanted >= int(false[-1]):
        return len(false) - 2, 1.0
    at = int(np.searchsorted(false, wanted, side="right")) - 1
    return at, (wanted - int(false[at])) / int(false[at + 1] - false[at])


def _independent(flags: Floats, persons: Ints | None) -> float:
    """Yes-or-no answers that are worth as much as the mean of `flags` [n], by its variance.

    n y(1-y) / v with v the variance of the flags, which have three values at most. For v one record more is counted at
    each value, so that a value nobody has does not make the rate certain. Persons divide by the design effect, which
    is never taken below 1.
    """
    n = len(flags)
    between = (flags > 0) & (flags < 1)
    size = float(n)
    if between.any():
        share, above, tied = float(flags[between][0]), float((flags == 1).sum() + 1), float(between.sum() + 1)
        mean = (above + share * tied) / (n + 3)
        spread = (above + share * share * tied) / (n + 3) - mean * mean
        size *= max(mean * (1 - mean) / spread, 1.0)
    if persons is None or len(np.unique(persons)) == n:
        return size
    apart = float(flags.var())
    if apart <= 0:
        return size * len(np.unique(persons)) / n
    effect = variance((flags - flags.mean()) / n, persons=np.unique(persons, return_inverse=True)[1]) * n / apart
    return size / max(effect, 1.0)
