"""Rates per group, and their differences and ratios against the stated reference, exact; disclosure comes after.

Every function returns one Estimate per group; one without a value says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditkit.fairness.cells import Cells
from auditkit.fairness.groups import Standing
from auditkit.fairness.metrics import Metric, mask, rate_counts
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate
from auditkit.stats import bootstrap, mover
from auditkit.stats.intervals import critical, design_effect, wilson_bounds
from auditkit.stats.multiplicity import sidak
from auditkit.subject.types import Floats, Ints

MINIMUM_EVENTS = 5
"""Below this many events in the group or its reference a ratio's interval is not reliable and is not given."""

FIRM_EVENTS = 10
"""Below this many the bootstrap of a ratio covers too seldom (0.90 to 0.93 at 95 %, groups of 100); its limits are then
no narrower than the closed form's (MOVER), with which coverage is at least 0.93."""


@dataclass(frozen=True)
class Rates:
    """One metric on one grouping: counts, fairlearn's values, and why a group has none."""

    values: Floats
    """[G]"""
    events: Ints
    trials: Ints
    why_not: tuple[str, ...]
    """[G] empty where the rate can be estimated."""
    effective: Floats | None = None
    """[G] equally weighted records that would know the rate as well; None without weights."""

    def rate(self, group: int) -> float:
        """The rate from the counts, or from the weights where there are any."""
        return float(self.events[group] / self.trials[group] if self.effective is None else self.values[group])

    @property
    def firm(self) -> Ints | Floats:
        """[G] events that an interval can go by: no more than the effective n has."""
        if self.effective is None:
            return self.events
        return np.asarray(np.minimum(self.events, self.effective * np.nan_to_num(self.values)), dtype=np.float64)

    @property
    def estimable(self) -> Ints:
        """Positions of the groups with a value."""
        return np.array([g for g, why in enumerate(self.why_not) if not why], dtype=np.int64)


def rates(
    metric: Metric,
    values: Floats,
    *,
    cells: Cells,
    state: Standing,
    settings: FairnessSettings,
    minimum_cell: int,
) -> Rates:
    """Gate one metric's values by group size and by the metric's own denominator.

    The denominator needs the minimum cell too, whatever the policy says: "fewer than 1 records" would be a
    count.
    """
    events, trials = rate_counts(metric, cells.records[:-1])
    effective = cells.effective(metric)
    least = max(settings.minimum_denominator, minimum_cell)
    why = []
    for group, n in enumerate(trials.tolist()):
        reason = state.why_not(group, repeats=cells.repeats)
        if not reason and n < least:
            reason = f"not estimable: fewer than {least} {metric.trials_are} in this group"
        if not reason and effective is not None and effective[group] < least:
            reason = f"not estimable: by their weights fewer than {least} effective {metric.trials_are} in this group"
        why.append(reason)
    return Rates(values=values, events=events, trials=trials, why_not=tuple(why), effective=effective)


def rate_estimates(metric: Metric, found: Rates, *, cells: Cells, level: float) -> tuple[Estimate, ...]:
    """[G] Wilson intervals that hold together over the groups of the attribute (Šidák; the groups are disjoint).

    Where persons repeat, n is divided by the design effect, so that a person's second record is not a second
    witness; where records are weighted, by that of the weights (and persons), see `intervals.effective_n`.
    """
    family = max(1, found.estimable.size)
    z = critical(sidak(level=level, family=family))
    out = []
    for group, reason in enumerate(found.why_not):
        if reason:
            out.append(Estimate(value=None, level=level, withheld=reason))
            continue
        method = "Wilson score interval"
        if family > 1:
            method += f", simultaneous over {family} groups (Šidák)"
        effect = design(metric, cells, group)
        if found.effective is not None or cells.repeats:
            whose = "repeated persons" if found.effective is None else cells.divides
            method += f", n divided by the design effect {effect:.2f} of {whose}"
        value, n = float(found.values[group]), int(found.trials[group])
        low, high = wilson_bounds(rate=value, n=n / effect, z=z)
        events = int(found.events[group]) if cells.weighted is None else None
        out.append(Estimate(value=value, low=low, high=high, level=level, n=n, method=method, events=events))
    return tuple(out)


def comparisons(
    metric: Metric,
    found: Rates,
    *,
    cells: Cells,
    reference: int,
    settings: FairnessSettings,
    generator: np.random.Generator,
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
    """[G] differences (group - reference) and [G] ratios (group / reference); the reference's own are placeholders.

    Intervals by bootstrap over the cells (over persons where they repeat), simultaneous over the attribute's
    compared groups. A ratio keeps its value and loses its interval below 5 events on either side; below 10 its interval
    is widened to the closed form's.
    """
    blank = Estimate(value=None, level=settings.level)
    why = _why_not(found, reference=reference)
    out = [[blank.model_copy(update={"withheld": reason}) for reason in why] for _ in range(2)]
    compared = np.array([g for g, reason in enumerate(why) if not reason and g != reference], dtype=np.int64)
    if compared.size == 0:
        return tuple(out[0]), tuple(out[1])
    sample = cells.drawn_from(metric)
    extra = bootstrap.added(level=settings.level, family=compared.size)
    drawn = bootstrap.resampled(sample, extra=extra, replicates=settings.replicates, generator=generator)
    enough = compared[found.firm[compared] >= MINIMUM_EVENTS]
    if found.firm[reference] < MINIMUM_EVENTS:
        enough = enough[:0]
    for position, scale, family in ((0, "difference", compared), (1, "ratio", enough)):
        if family.size == 0:
            continue
        band = bootstrap.compare(
            sample=sample,
            drawn=drawn,
            groups=family,
            reference=reference,
            scale="difference" if scale == "difference" else "ratio",
            level=settings.level,
        )
        method = _method(cells, family=family.size, replicates=settings.replicates)
        for group, low, high in zip(family.tolist(), band.low.tolist(), band.high.tolist(), strict=True):
            out[position][group] = blank.model_copy(update={"low": low, "high": high, "method": method})
        few = [g for g in family.tolist() if min(found.firm[g], found.firm[reference]) < FIRM_EVENTS]
        if position == 1 and few:
            z = critical(sidak(level=settings.level, family=family.size))
            closed = {g: _closed(metric, found, g, cells=cells, z=z) for g in (*few, reference)}
            out[1] = [
                widened(e, mover.ratio(closed[g], closed[reference])) if g in few else e for g, e in enumerate(out[1])
            ]
    for group in compared.tolist():
        out[0][group], out[1][group] = _with_values(out[0][group], out[1][group], found, group, reference)
    return tuple(out[0]), tuple(out[1])


def design(metric: Metric, cells: Cells, group: int) -> float:
    """The design effect of weights and repeated persons on one group's rate; 1 where there are neither."""
    effective = cells.effective(metric)
    if effective is not None:
        return float(cells.records[group] @ mask(metric.trials)) / float(effective[group])
    if not cells.repeats:
        return 1.0
    sample = cells.sample(metric)
    return design_effect(events=sample.events[:, group], trials=sample.trials[:, group], counts=sample.counts)


def _closed(metric: Metric, found: Rates, group: int, *, cells: Cells, z: float) -> mover.Bounded:
    n = float(found.trials[group]) / design(metric, cells, group)
    return mover.rate(events=int(found.events[group]), n=n, z=z, value=found.rate(group))


def widened(estimate: Estimate, closed: mover.Bounded) -> Estimate:
    """A ratio's interval, no narrower than the closed form on either side; one without limits stays as it is."""
    if estimate.low is None or estimate.high is None:
        return estimate
    method = f"{estimate.method}; no narrower than the closed form (MOVER), for under {FIRM_EVENTS} events"
    low, high = min(estimate.low, closed.low), max(estimate.high, closed.high)
    return estimate.model_copy(update={"low": low, "high": high, "method": method})


def _with_values(
    difference: Estimate, ratio: Estimate, found: Rates, group: int, reference: int
) -> tuple[Estimate, Estimate]:
    """The two comparisons with fairlearn's point values and n = records of group and reference."""
    own, base = float(found.values[group]), float(found.values[reference])
    n = int(found.trials[group] + found.trials[reference])
    refused = (
        ""
        if ratio.low is not None
        else (f"interval refused: fewer than {MINIMUM_EVENTS} events in the group or in its reference")
    )
    quotient = own / base if base > 0 else None
    return (
        difference.model_copy(update={"value": own - base, "n": n}),
        ratio.model_copy(update={"value": quotient, "n": n, "withheld": refused}),
    )


def _why_not(found: Rates, *, reference: int) -> tuple[str, ...]:
    if reference < 0:
        return ("the reference is not among the groups",) * len(found.why_not)
    if found.why_not[reference]:
        return (f"reference: {found.why_not[reference]}",) * len(found.why_not)
    return found.why_not


def _method(cells: Cells, *, family: int, replicates: int) -> str:
    what = "persons" if cells.repeats else "cells"
    if cells.sums is not None:
        what = f"cells of effective counts, by the design effects of {cells.divides}"
    together = f", simultaneous over {family} groups (max-t)" if family > 1 else ""
    return f"bootstrap over {what}, {replicates:,} replicates{together}; n is group and reference"
