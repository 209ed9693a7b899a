"""From exact figures to what may be printed: closed groups rounded, figures of probabilities to four decimals.

A sum of probabilities is another number for every record that is added, so its last digits would tell which records it
holds; four decimals hide them, and no value of a column has so few digits that it is looked for.
"""

from __future__ import annotations

import math

from auditkit.fairness import disclosure
from auditkit.fairness.groups import closed_note
from auditkit.fairness.membership.sums import Shares
from auditkit.result import Estimate
from auditkit.stats.rounding import TOO_FEW, rate_step, rounded

Released = tuple[Estimate, tuple[str, ...]]
FINE = 1e-4


def rate(exact: Estimate, found: Shares, column: int, *, closed: bool, soft: bool, m: int) -> Released:
    """A rate, its n left out where the group is closed; m is the minimum cell."""
    return _as(exact, rate_step(trials=int(found.trials[column]), minimum=m), closed=closed, soft=soft, m=m,
               bounds=(0.0, 1.0))  # fmt: skip


def difference(exact: Estimate, found: Shares, pair: tuple[int, int], *, closed: bool, soft: bool, m: int) -> Released:
    """A difference, to the coarser of its rates' steps."""
    steps = [rate_step(trials=int(found.trials[column]), minimum=m) for column in pair]
    step = None if None in steps else max(s for s in steps if s is not None)
    return _as(exact, step, closed=closed, soft=soft, m=m, bounds=(-1.0, 1.0))


def ratio(exact: Estimate, found: Shares, pair: tuple[int, int], *, closed: bool, soft: bool, m: int) -> Released:
    """A ratio, to the step that its rates' steps amount to."""
    own, base = (rate_step(trials=int(found.trials[column]), minimum=m) for column in pair)
    step = None
    value = exact.high if exact.value is None else exact.value
    if own is not None and base is not None and value is not None:
        step = disclosure.ratio_step(
            ratio=value, reference_rate=float(found.values[pair[1]]), group_step=own, reference_step=base
        )
    return _as(exact, step, closed=closed, soft=soft, m=m, bounds=(0.0, math.inf))


def _as(
    exact: Estimate, step: float | None, *, closed: bool, soft: bool, m: int, bounds: tuple[float, float]
) -> Released:
    if exact.value is None and exact.low is None:
        return exact, ()
    if not closed:
        return (fine(exact, bounds=bounds) if soft else exact), ()
    if step is None:
        return Estimate(value=None, level=exact.level, withheld=TOO_FEW), (closed_note(m),)
    coarse = rounded(exact, step=step, bounds=bounds).model_copy(update={"n": None})
    return coarse, (f"rounded to {step:g}, limits outwards", closed_note(m))


def fine(exact: Estimate, *, bounds: tuple[float, float]) -> Estimate:
    """To four decimals, limits outwards, cut to bounds; not called rounded, because no reader could tell."""
    return rounded(exact, step=FINE, bounds=bounds).model_copy(update={"events": exact.events, "step": exact.step})
