"""Closed-form intervals of combinations of rates, recovered from the limits of each: MOVER.

The method of variance estimates recovery (Zou and Donner, Stat. Med. 27 (2008) 1693; Newcombe, Stat. Med. 17 (1998)
873 and 890 for single rates and differences): the distance from an estimate to its own limit stands for its error in
that direction, so that score limits keep their asymmetry. The rates combined are taken as independent: right for
disjoint records, an approximation where one person has records in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from auditkit.stats.intervals import critical, wilson_bounds

Side = Literal["lower", "higher"]


@dataclass(frozen=True)
class Bounded:
    """A value and its limits; `high` may be infinite."""

    value: float
    low: float
    high: float


def rate(*, events: int, n: float, z: float, value: float | None = None) -> Bounded:
    """A rate with Wilson's limits; n may be an effective one, the value then is the plain one."""
    own = events / n if value is None else value
    return Bounded(own, *wilson_bounds(rate=own, n=n, z=z))


def mean(a: Bounded, b: Bounded) -> Bounded:
    """(a + b) / 2."""
    middle = (a.value + b.value) / 2
    below = math.hypot(a.value - a.low, b.value - b.low) / 2
    above = math.hypot(a.high - a.value, b.high - b.value) / 2
    return Bounded(middle, middle - below, middle + above)


def difference(a: Bounded, b: Bounded) -> Bounded:
    """A - b; Newcombe's method 10 where both are rates with Wilson's limits."""
    apart = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Bounded(apart, apart - below, apart + above)


def ratio(a: Bounded, b: Bounded) -> Bounded:
    """A / b of positive values: `difference` of their logarithms.

    Where a limit of a part is 0 or infinite, the limit of the ratio on that side is 0 or infinite: the data do not
    bound it. Wrong (too narrow) below about five events on either side.
    """
    found = difference(_log(a), _log(b))
    return Bounded(a.value / b.value, math.exp(found.low), _exp(found.high))


def odds(p: Bounded) -> Bounded:
    """P / (1 - p), limits turned one by one; for two counts x and y with p = x / (x + y) that is x / y."""
    return Bounded(*(end / (1 - end) if end < 1 else math.inf for end in (p.value, p.low, p.high)))


def detectable(*, base: float, n: float, base_n: float, level: float, power: float = 0.8) -> dict[Side, float]:
    """The smallest difference from a rate `base` that a two-sided two-proportion test at `level` finds with `power`.

    On the arcsine scale, where the spread of a rate does not depend on it (Cohen, Statistical Power Analysis, 1988,
    ch. 6): h = (z_level + z_power) sqrt(1/n + 1/base_n), and the other rate is sin²(asin(sqrt(base)) ∓ h / 2). A side
    is absent where not even a rate of 0, or of 1, is far enough away. It says what this many records could show, and
    nothing about the gap that was observed.

    Args:
        base: rate of the reference, in [0, 1]. n, base_n: (effective) records of the group and of the reference.
        level: 1 - the size of the test. power: probability of a significant result.
    """
    # P(Z <= z) = power is the two-sided level 2 power - 1.
    h = (critical(level) + critical(2 * power - 1)) * math.sqrt(1 / n + 1 / base_n)
    angle = math.asin(math.sqrt(min(max(base, 0.0), 1.0)))
    out: dict[Side, float] = {}
    if angle - h / 2 >= 0:
        out["lower"] = base - math.sin(angle - h / 2) ** 2
    if angle + h / 2 <= math.pi / 2:
        out["higher"] = math.sin(angle + h / 2) ** 2 - base
    return out


def _log(a: Bounded) -> Bounded:
    return Bounded(*(math.log(end) if end > 0 else -math.inf for end in (a.value, a.low, a.high)))


def _exp(x: float) -> float:
    return math.inf if math.isinf(x) and x > 0 else math.exp(x)
