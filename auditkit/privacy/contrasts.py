"""One rate less another, of the same records or of others, as it may be published."""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from auditkit.privacy.clustered import exact_limits, rate
from auditkit.privacy.disclosure import published_rate, rows_per_person, small
from auditkit.result import Estimate
from auditkit.subject.persons import support
from auditkit.subject.types import Ints, Mask

DIFFERENCE: Final = "square-and-add (Zou and Donner) of exact limits by person"
GAIN: Final = "paired; exact limits of the shares that only one of the two guesses rightly, at half the error each"


def beside(
    hit: Mask, plain: Mask, persons: Ints | None, *, level: float, minimum: int
) -> tuple[Estimate, Estimate]:
    """The baseline's rate, and the attack's above it; withheld where the two differ by a few persons only.

    A few whom only one of the two guesses rightly enter the interval as every such number would.
    """
    only, lost = hit & ~plain, plain & ~hit
    apart = [support(part, persons) for part in (only, lost)]
    if small(max(apart), minimum) or support(np.ones(len(hit), dtype=np.bool_), persons) < minimum:
        reason = f"attack and baseline differ in fewer than {minimum} persons or records"
        nothing = Estimate(value=None, level=level, withheld=reason)
        return nothing, nothing
    without = published_rate(plain, persons, level=level, minimum=minimum)
    if not without.known:
        return without, Estimate(value=None, level=level, withheld=without.withheld)
    value = float(hit.mean() - plain.mean())
    low, high = _gained(only, lost, persons, level=(1 + level) / 2, minimum=minimum)
    return without, Estimate(value=value, low=low, high=high, level=level, n=len(hit), method=GAIN)


def _gained(only: Mask, lost: Mask, persons: Ints | None, *, level: float, minimum: int) -> tuple[float, float]:
    """Limits of the share of `only` less that of `lost`; where one of them is few they tell their difference alone."""
    if small(support(only, persons), minimum):
        low, high = _gained(lost, only, persons, level=level, minimum=minimum)
        return -high, -low
    if not small(support(lost, persons), minimum):
        more, less = (rate(part, persons, level=level) for part in (only, lost))
        return _of(more.low) - _of(less.high), _of(more.high) - _of(less.low)
    n, size = len(only), float(support(np.ones(len(only), dtype=np.bool_), persons))
    between, most = float(only.sum() - lost.sum()), float((minimum - 1) * rows_per_person(persons))
    ends = [
        exact_limits(min(max(count, 0.0), n) / n * size, size, level=level) for count in (between, between + most, most)
    ]
    return ends[0][0] - ends[2][1], ends[1][1]


def difference(one: Estimate, other: Estimate, level: float) -> Estimate:
    """`one` less `other`, independent rates."""
    if one.value is None or other.value is None:
        reason = one.withheld or other.withheld
        return Estimate(value=None, level=level, withheld=reason)
    p, q = one.value, other.value
    low = p - q - sqrt((p - _of(one.low)) ** 2 + (_of(other.high) - q) ** 2)
    high = p - q + sqrt((_of(one.high) - p) ** 2 + (q - _of(other.low)) ** 2)
    n = (one.n or 0) + (other.n or 0)
    return Estimate(value=p - q, low=low, high=high, level=level, n=n, method=DIFFERENCE)


def _of(limit: float | None) -> float:
    if limit is None:
        message = "a rate over records has limits"
        raise AssertionError(message)
    return limit
