"""Rates of a group, and means of several: Wilson's limits by an effective n; comparisons by MOVER."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share
from auditkit.stats.intervals import effective_n, wilson_bounds
from auditkit.stats.mover import Bounded
from auditkit.subject.types import Floats, Ints


@dataclass(frozen=True)
class Rate:
    """The mean of one or several rates of one group."""

    rates: tuple[float, ...]
    effective: tuple[float, ...]
    """Equally weighted, independent records that would know each rate as well."""
    widening: float
    """Standard error with what the rates have in common, relative to that without; at least 1."""
    units: Ints
    """[K] the group's units."""
    moved: Floats
    """[K] by how much each unit moves the mean, to first order."""

    @property
    def value(self) -> float:
        """Mean of the rates."""
        return math.fsum(self.rates) / len(self.rates)

    @property
    def events(self) -> float:
        """Fewest events among the rates, by effective n."""
        return min(n * p for n, p in zip(self.effective, self.rates, strict=True))

    @property
    def joint(self) -> float:
        """The effective n of the mean: P (1 - P) / V.

        V is the variance of the mean, with one event and one non-event added to each rate, and P that of theirs.
        Wilson's limits of every rate joined by MOVER fall short here: three rates of 0.8 on 12 to 30 records each are
        so covered in 0.907 of samples instead of 0.95, because each rate's own limits lie further out than the mean
        moves.
        """
        if len(self.rates) == 1:
            return self.effective[0]
        pairs = list(zip(self.rates, self.effective, strict=True))
        smooth = [(n * p + 1) / (n + 2) for p, n in pairs]
        variance = math.fsum(p * (1 - p) / n for p, (_, n) in zip(smooth, pairs, strict=True)) / len(pairs) ** 2
        middle = math.fsum(smooth) / len(smooth)
        return middle * (1 - middle) / (variance * self.widening**2)

    def at(self, z: float) -> Bounded:
        """Value and Wilson's limits by the effective n."""
        return Bounded(self.value, *wilson_bounds(rate=self.value, n=self.joint, z=z))


def rate_of(answers: Answers, shares: tuple[Share, ...], rows: Ints, of: tuple[Ints, Ints]) -> Rate:
    """One group's rates: sum(w part) / sum(w whole) each.

    The effective n is the smaller of Kish's and the linearised one (`stats.intervals.effective_n`); the variance is
    summed unit by unit (record, person or list). Approximate for parts between 0 and 1 (places shared by ties): an
    average has less spread than a rate.

    Args:
        shares: whose mean is estimated; each with a positive denominator among the rows. rows: [N] the group's records.
        of: [K] units, and [N] which of them each record is of.
    """
    known, units = of
    weights = answers.weights[rows]
    rates, effective, moved, alone = [], [], np.zeros(known.size), 0.0
    for share in shares:
        part, whole = weights * share.part[rows], weights * share.whole[rows]
        total = float(whole.sum())
        rate = min(max(float(part.sum()) / total, 0.0), 1.0)
        own, spread = _spread(part - rate * whole, whole, units, alone=answers.unit == "records")
        held = np.bincount(units, weights=whole, minlength=known.size)
        n = effective_n(
            rate=rate, total=total, squares=float((whole**2).sum()), person_squares=float((held**2).sum()),
            spread=spread,
        )  # fmt: skip
        rates.append(rate)
        effective.append(n)
        moved += own / total / len(shares)
        alone += spread / total**2 / len(shares) ** 2
    together = float((moved**2).sum())
    widening = math.sqrt(max(1.0, together / alone)) if len(shares) > 1 and alone > 0 else 1.0
    return Rate(tuple(rates), tuple(effective), widening, known, moved)


def apart(made: Bounded, one: Rate, other: Rate, *, logs: bool) -> Bounded:
    """A difference (or a ratio, on the scale of logarithms) widened by what the two groups' units have in common.

    MOVER takes the groups as independent. Where units stand in both (records of one list: a place that one group wins
    the other loses), the true error is sqrt(1 - 2 cov / (V1 + V2)) times as large; it is never taken as smaller.
    """
    _, first, second = np.intersect1d(one.units, other.units, assume_unique=True, return_indices=True)
    if not first.size or (logs and min(one.value, other.value, made.low) <= 0):
        return made
    by = (one.value, other.value) if logs else (1.0, 1.0)
    a, b = one.moved / by[0], other.moved / by[1]
    total = float((a**2).sum() + (b**2).sum())
    scale = math.sqrt(max(1.0, 1 - 2 * float(a[first] @ b[second]) / total)) if total > 0 else 1.0
    if logs:
        return Bounded(made.value, made.value * (made.low / made.value) ** scale,
                       made.value * (made.high / made.value) ** scale)  # fmt: skip
    low, high = made.value - scale * (made.value - made.low), made.value + scale * (made.high - made.value)
    return Bounded(made.value, max(low, -1.0), min(high, 1.0))


def _spread(residual: Floats, whole: Floats, units: Ints, *, alone: bool) -> tuple[Floats, float]:
    """Residuals summed unit by unit, and their squares' sum.

    Units that hold several records are taken K / (K - 1) times, K those in the denominator; records alone are not, so
    that without weights the effective n is the number of records.
    """
    own = np.asarray(np.bincount(units, weights=residual), dtype=np.float64)
    count = int(np.count_nonzero(np.bincount(units[whole > 0])))
    return own, float((own**2).sum()) * (1.0 if alone else count / max(count - 1, 1))
