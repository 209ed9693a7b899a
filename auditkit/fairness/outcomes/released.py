"""From exact estimates of an outcome to what may be printed: closed groups' figures are rounded, quantiles always."""

from __future__ import annotations

import math

import numpy as np

from auditkit.fairness import disclosure
from auditkit.fairness.groups import closed_note
from auditkit.fairness.outcomes.answers import Share
from auditkit.fairness.outcomes.gates import Scene, largest, spread
from auditkit.fairness.outcomes.quantiles import Quantile
from auditkit.fairness.outcomes.registry import Method
from auditkit.result import Estimate
from auditkit.stats.rounding import TOO_FEW, rate_step
from auditkit.subject.types import Floats, Ints

Released = tuple[Estimate, tuple[str, ...]]
DOMINANCE = 0.3
"""Of the largest person's error, spread over the group: how wide a rounding step is at least (twice the p % rule)."""
NICE = (1.0, 2.0, 5.0)
LARGEST = 1e6
"""A step this many times the value's own size says nothing."""


def at_least(width: float) -> float | None:
    """The finest of 1, 2, 5 x 10^k that is at least `width`; None where that is not a number."""
    if not math.isfinite(width) or width <= 0:
        return None
    power = 10.0 ** math.floor(math.log10(width))
    step = next((nice * power for nice in NICE if nice * power >= width * (1 - 1e-12)), 10 * power)
    return float(f"{step:.6g}")


def step_of(scene: Scene, method: Method, shares: tuple[Share, ...], group: int) -> float | None:
    """The step of a group's own figure: 0 where it is open, None where no figure may be shown.

    A rate's is at least half a minimum cell of persons wide (`rounding.rate_step`). An average's is so many times what
    one record moves it, and wide enough that the largest error of one person is not found from it.
    """
    if not scene.state.closed[group]:
        return 0.0
    if method.estimator == "rate":
        return rate_step(trials=scene.trials(shares, group), minimum=scene.minimum_cell)
    rows, answers = scene.rows[group], scene.answers
    width = scene.minimum_cell / 2 * spread(answers, shares[0], rows) / len(rows)
    if answers.kind == "number":
        width = max(width, DOMINANCE * largest(answers, rows)[0] / float(answers.weights[rows].sum()))
    return at_least(width)


def quantile_step(scene: Scene, found: Quantile, estimate: Estimate, group: int) -> float | None:
    """The step of a quantile: around its value and its limits so wide that each cell holds the minimum of persons.

    An exact quantile is one record's error.
    """
    rows = scene.rows[group]
    errors, persons = scene.answers.error[rows], scene.answers.persons[rows]
    ends = [x for x in (estimate.value, estimate.low, estimate.high) if x is not None]
    reach = float(found.errors[-1] - found.errors[0])
    step = at_least(reach / 1e4)
    while step is not None and step <= 2 * reach:
        if all(_held(errors, persons, math.floor(x / step + 0.5) * step, step) >= scene.minimum_cell for x in ends):
            return step
        step = at_least(step * 1.01)
    # All errors are equal: everybody has this one.
    return at_least(abs(ends[0]) * 1e-3) if reach == 0 and ends and ends[0] else (0.0 if reach == 0 else None)


def _held(errors: Floats, persons: Ints, middle: float, step: float) -> int:
    """Persons within half a step of the middle."""
    near = np.abs(errors - middle) <= step / 2
    return int(np.unique(persons[near]).size)


def joined_step(steps: tuple[float | None, float | None], values: tuple[float, float], kind: str) -> float | None:
    """The step of a difference or a ratio of two figures with these steps and values."""
    own, base = steps
    if own is None or base is None:
        return None
    if kind == "difference" or not own + base:
        return max(own, base)
    if not values[1] > 0:
        return None
    return disclosure.ratio_step(
        ratio=values[0] / values[1], reference_rate=values[1], group_step=own, reference_step=base
    )


def shown(
    estimate: Estimate, *, step: float | None, bounds: tuple[float, float], scene: Scene, closed: bool
) -> Released:
    """The estimate, rounded to the step with limits outwards; without n where a group is closed."""
    note = (closed_note(scene.minimum_cell),) if closed else ()
    if estimate.value is None:
        return estimate, ()
    if step == 0.0:
        return (estimate.model_copy(update={"n": None}), note) if closed else (estimate, ())
    if step is None or step > LARGEST * max(abs(estimate.value), 1.0):
        return Estimate(value=None, level=estimate.level, withheld=TOO_FEW), note
    found = estimate.model_copy(
        update={
            "value": _on(step, round(estimate.value / step), bounds),
            "low": None if estimate.low is None else _on(step, math.floor(estimate.low / step + 1e-9), bounds),
            "high": None if estimate.high is None else _on(step, math.ceil(estimate.high / step - 1e-9), bounds),
            "step": step,
        }
    )
    why = f"rounded to {step:g}, limits outwards"
    return (found.model_copy(update={"n": None}) if closed else found), (why, *note)


def _on(step: float, steps: int, bounds: tuple[float, float]) -> float:
    """So many steps as a number without the last bits' noise, cut to bounds."""
    return min(max(float(f"{steps * step:.12g}"), bounds[0]), bounds[1])
