"""From exact estimates to what may be printed: rule 2 of `disclosure`, applied to rates, differences and ratios."""

from __future__ import annotations

from auditkit.fairness import disclosure
from auditkit.fairness.cells import Cells
from auditkit.fairness.disparity import Rates
from auditkit.fairness.groups import Standing, closed_note
from auditkit.result import Estimate
from auditkit.stats.rounding import TOO_FEW, rate_step, rounded

Released = tuple[Estimate, tuple[str, ...]]
"""An estimate fit to print, and the caveats of its row."""
SMALL_CELL = "a cell of the group or of its reference, or one that would follow from it, is below"


def release_rate(estimate: Estimate, found: Rates, group: int, *, cells: Cells, state: Standing, m: int) -> Released:
    """A rate as it is, or rounded without its counts when its group is closed; m is the minimum cell."""
    if estimate.value is None or not state.closed[group]:
        return estimate, ()
    step = _step(found, group, state=state, m=m)
    # The denominator of a selection rate is the group itself, whose count the table of groups shows anyway.
    whole = int(found.trials[group]) == int(cells.group_records[group])
    shown = estimate.n if whole and not state.hidden[group] else None
    return _round(estimate, step=step, n=shown, bounds=(0.0, 1.0), m=m)


def release_difference(
    estimate: Estimate, found: Rates, group: int, reference: int, *, state: Standing, m: int
) -> Released:
    """A difference, rounded to the coarser of the two groups' steps when either is closed."""
    if estimate.value is None or not (state.closed[group] or state.closed[reference]):
        return estimate, ()
    steps = [_step(found, g, state=state, m=m) for g in (group, reference)]
    step = None if None in steps else max(s for s in steps if s is not None)
    return _round(estimate, step=step, n=None, bounds=(-1.0, 1.0), m=m)


def release_ratio(estimate: Estimate, found: Rates, group: int, reference: int, *, state: Standing, m: int) -> Released:
    """A ratio, rounded to the step that the two groups' steps amount to when either is closed."""
    if estimate.value is None or not (state.closed[group] or state.closed[reference]):
        return estimate, ()
    own, base = (_step(found, g, state=state, m=m) for g in (group, reference))
    step = None
    if own is not None and base is not None:
        step = disclosure.ratio_step(
            ratio=estimate.value,
            reference_rate=float(found.values[reference]),
            group_step=own,
            reference_step=base,
        )
    return _round(estimate, step=step, n=None, bounds=(0.0, float("inf")), m=m)


def release_mean(
    estimate: Estimate,
    found: tuple[Rates, ...],
    groups: tuple[int, ...],
    *,
    state: Standing,
    bounds: tuple[float, float],
    m: int,
) -> Released:
    """What is made of several rates of one or two groups, rounded to the coarsest of their steps if one is closed."""
    if estimate.value is None or not state.closed[list(groups)].any():
        return estimate, ()
    steps = [_step(rates, group, state=state, m=m) for rates in found for group in groups]
    step = None if None in steps else max(s for s in steps if s is not None)
    return _round(estimate, step=step, n=None, bounds=bounds, m=m)


def release_odds(estimate: Estimate, groups: tuple[int, ...], *, state: Standing, m: int) -> Released:
    """A ratio of two counts as it is, or withheld when a group is closed: rounded, it would still tell the counts."""
    if estimate.value is None or not state.closed[list(groups)].any():
        return estimate, ()
    return Estimate(value=None, level=estimate.level, withheld=f"withheld: {SMALL_CELL} {m} persons"), ()


def _step(found: Rates, group: int, *, state: Standing, m: int) -> float | None:
    """Rounding step of one group's rate: 0 when open, None when it cannot be published."""
    if not state.closed[group]:
        return 0.0
    return rate_step(trials=int(found.trials[group]), minimum=m)


def _round(estimate: Estimate, *, step: float | None, n: int | None, bounds: tuple[float, float], m: int) -> Released:
    if step is None:
        return Estimate(value=None, level=estimate.level, withheld=TOO_FEW), (closed_note(m),)
    coarse = rounded(estimate, step=step, bounds=bounds).model_copy(update={"n": n})
    return coarse, (f"rounded to {step:g}, limits outwards", closed_note(m))
