"""Rates and their intervals by scipy's own routines, as the entries of `audit.json` they ought to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.policies.real.claims import Near

Claim = float | Near | None
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
MINIMUM_CELL = 10


def entry(
    value: Claim = None, low: Claim = None, high: Claim = None, *, level: float, n: int | None = None, **more: Any
) -> dict[str, Any]:
    """One estimate; `more` may claim events, method and withheld."""
    return {"value": value, "low": low, "high": high, "level": level, "n": n, "events": None, "step": 0.0, **more}


def wilson_limits(events: int, n: int, level: float) -> tuple[float, float]:
    """Wilson's score limits."""
    ends = stats.binomtest(events, n).proportion_ci(confidence_level=level, method="wilson")
    return float(ends.low), float(ends.high)


def exact_limits(events: int, n: int, level: float) -> tuple[float, float]:
    """The limits of Clopper and Pearson."""
    ends = stats.binomtest(events, n).proportion_ci(confidence_level=level, method="exact")
    return float(ends.low), float(ends.high)


def wilson(events: int, n: int, level: float) -> dict[str, Any]:
    """A rate with Wilson's interval."""
    return entry(events / n, *wilson_limits(events, n, level), level=level, n=n, events=events)


def exact(events: int, n: int, level: float) -> dict[str, Any]:
    """A rate with the interval of Clopper and Pearson."""
    return entry(events / n, *exact_limits(events, n, level), level=level, n=n, events=events)


def banded(hits: NDArray[np.bool_], level: float, minimum: int) -> dict[str, Any]:
    """A rate as it may be printed: only a band when 1 to `minimum` - 1 records are hit, or are not."""
    events, n = int(hits.sum()), len(hits)
    edge = exact_limits(minimum - 1, n, level)[1]
    if 0 < events < minimum:
        return entry(None, 0.0, edge, level=level, n=n)
    if 0 < n - events < minimum:
        return entry(None, 1 - edge, 1.0, level=level, n=n)
    return exact(events, n, level)


def step_of(trials: int) -> float | None:
    """The finest step at least half a minimum cell of records wide."""
    return next((step for step in STEPS if step * trials >= MINIMUM_CELL / 2), None)
