"""Rounding that hides small counts: a rate is published to a step that is several records wide, limits outwards."""

from __future__ import annotations

import math

from auditkit.result import Estimate

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
TOO_FEW = "withheld: too few records to publish even a rounded figure"


def rate_step(*, trials: int, minimum: int) -> float | None:
    """The finest step that is at least half a minimum cell of records wide; None when even 0.2 is not."""
    return next((step for step in STEPS if step * trials >= minimum / 2), None)


def rounded(estimate: Estimate, *, step: float, bounds: tuple[float, float]) -> Estimate:
    """The estimate with value rounded to the step, limits rounded outwards and cut to bounds; events withheld."""

    def clean(steps: int) -> float:
        return min(max(round(steps * step, 6), bounds[0]), bounds[1])

    return estimate.model_copy(
        update={
            "value": None if estimate.value is None else clean(round(estimate.value / step)),
            "low": None if estimate.low is None else clean(math.floor(estimate.low / step + 1e-9)),
            "high": None if estimate.high is None else clean(math.ceil(estimate.high / step - 1e-9)),
            "events": None,
            "step": step,
        }
    )


def coarse_rate(estimate: Estimate, *, trials: int, minimum: int) -> Estimate:
    """A rate rounded to the step of its denominator, without n and events; withheld where no step is wide enough."""
    step = rate_step(trials=trials, minimum=minimum)
    if step is None:
        return Estimate(value=None, level=estimate.level, withheld=TOO_FEW)
    return rounded(estimate, step=step, bounds=(0.0, 1.0)).model_copy(update={"n": None})
