"""How many records would decide: the n at which an interval lets go of the threshold, at the same value."""

from __future__ import annotations

import math
from typing import Literal

from auditkit.result import Estimate

Scale = Literal["rate", "points", "ratio"]


def needed(*, estimate: Estimate, threshold: float, scale: Scale) -> int | None:
    """Records at which `estimate` would lie wholly on one side of `threshold`, at the same value and make-up.

    Rates use Wilson's own condition, |p - p0| > z sqrt(p0 (1 - p0) / n), with z read back from the interval
    (so that simultaneous and clustered intervals keep their width); for Clopper–Pearson it is an
    approximation from below. Differences and ratios use width ~ 1 / sqrt(n), ratios on the log scale. Both
    say what the present sample suggests, not what a new one will show: the value itself moves.

    Returns:
        None when the interval decides already, when the value is the threshold, when there is no interval or
        no n, or when no n would decide.
    """
    value, low, high, n = estimate.value, estimate.low, estimate.high, estimate.n
    if value is None or low is None or high is None or not n:
        return None
    if not low <= threshold <= high or value == threshold:
        return None
    if scale == "rate":
        factor = _rate(value=value, bound=(low, high), threshold=threshold)
    else:
        factor = _scaled(value=value, bound=(low, high), threshold=threshold, log=scale == "ratio")
    return None if factor is None else max(n + 1, math.floor(n * factor) + 1)


def _rate(*, value: float, bound: tuple[float, float], threshold: float) -> float | None:
    """Solve n' / n = [(p - b)² / (b (1 - b))] p0 (1 - p0) / (p - p0)²; bounds b solve Wilson."""
    inner = [b for b in bound if 0 < b < 1 and b != value]
    if not inner or not 0 < threshold < 1:
        return None
    spread = max((value - b) ** 2 / (b * (1 - b)) for b in inner)
    return spread * threshold * (1 - threshold) / (value - threshold) ** 2


def _scaled(*, value: float, bound: tuple[float, float], threshold: float, log: bool) -> float | None:
    near = bound[0] if value > threshold else bound[1]
    if log:
        if min(value, near, threshold) <= 0:
            return None
        value, near, threshold = math.log(value), math.log(near), math.log(threshold)
    return ((value - near) / (value - threshold)) ** 2
