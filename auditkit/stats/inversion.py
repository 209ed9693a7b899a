"""p-values from intervals: how surely an interval leaves a value out."""

from __future__ import annotations

from collections.abc import Callable

from scipy import stats

from auditkit.stats.mover import Bounded

MOST = 8.0
"""Critical value beyond which nothing is told apart: p is then given as 1.2e-15, never as 0."""
_STEPS = 60


def p_at(limits: Callable[[float], Bounded], *, at: float) -> float:
    """Two-sided p-value of the hypothesis that the parameter is `at`: 2 P(Z > z*), z* where a limit just reaches it.

    The interval at z holds `at` exactly where the p-value is above 2 P(Z > z): test and interval agree by
    construction (Casella and Berger, Statistical Inference, 2002, 9.2.1). For one rate with Wilson's limits it is the
    score test; for a difference with Newcombe's limits, and for what else MOVER makes, the test that belongs to
    them. Limits must widen as z grows; z* is found by bisection to 1e-17.

    Args:
        limits: the interval at a critical value z > 0. at: the value tested.
    """
    value = limits(1e-9).value
    if value == at:
        return 1.0

    def holds(z: float) -> bool:
        found = limits(z)
        return found.low <= at <= found.high

    low, high = 0.0, MOST
    if not holds(high):
        return float(2 * stats.norm.sf(MOST))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return float(2 * stats.norm.sf((low + high) / 2))
