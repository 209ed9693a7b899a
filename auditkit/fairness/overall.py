"""Groups against all records: a group is part of them, so it is set against the others and the result is carried over.

With s the group's share of the denominator and d = p - q its difference from the other records, its difference from all
records is (1 - s) d, and its ratio to all of them p / (s p + (1 - s) q). Group and others are disjoint, so d and p / q
have MOVER limits and the usual tests; that the group equals all records is the same hypothesis as that it equals the
others. That s is itself drawn widens the limits: by z |d| sqrt(s (1 - s) / n) for the difference, likewise for the
logarithm of the ratio. Records of unknown membership are among all records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.disclosure import ratio_step
from auditkit.fairness.disparity import MINIMUM_EVENTS, Rates
from auditkit.fairness.groups import closed_note
from auditkit.fairness.metrics import Metric, mask, rate_counts
from auditkit.fairness.release import Released
from auditkit.fairness.setting import Setting
from auditkit.fairness.weights import Weighted
from auditkit.result import Estimate
from auditkit.stats.intervals import critical, design_effect
from auditkit.stats.mover import Bounded, difference, rate, ratio
from auditkit.stats.multiplicity import sidak
from auditkit.stats.rounding import TOO_FEW, rate_step, rounded
from auditkit.subject.types import Floats

METHOD = "MOVER from Wilson limits of the group and of all other records"


@dataclass(frozen=True)
class Sides:
    """One group and all other records, on one metric."""

    own: float
    """Rate of the group; of the others, below."""
    others: float
    n: tuple[float, float]
    """Effective n of the group and of the others."""
    events: tuple[float, float]
    """Events that an interval can go by, of either."""
    counts: tuple[tuple[int, int], tuple[int, int]]
    """(events, records) of either."""
    share: float
    """Of the group in the denominator, by weight where there are weights."""

    @property
    def records(self) -> int:
        """All records of the denominator."""
        return self.counts[0][1] + self.counts[1][1]

    @property
    def times(self) -> float | None:
        """The group's rate over that of all records; None where that is 0."""
        whole = self.share * self.own + (1 - self.share) * self.others
        return self.own / whole if whole > 0 else None

    def _bounded(self, z: float) -> tuple[Bounded, Bounded]:
        own, others = (rate(events=0, n=n, z=z, value=p) for n, p in zip(self.n, (self.own, self.others), strict=True))
        return own, others

    def _drawn(self, z: float) -> float:
        return z * math.sqrt(self.share * (1 - self.share) / sum(self.n))

    def difference(self, z: float) -> Bounded:
        """Difference (1 - s) (p - q) and its limits."""
        apart, rest = difference(*self._bounded(z)), 1 - self.share
        extra = abs(apart.value) * self._drawn(z)
        below, above = (math.hypot(rest * side, extra) for side in (apart.value - apart.low, apart.high - apart.value))
        value = rest * apart.value
        return Bounded(value, max(-1.0, value - below), min(1.0, value + above))

    def ratio(self, z: float) -> Bounded:
        """Ratio p / (s p + (1 - s) q) and its limits; not below MINIMUM_EVENTS on either side."""
        apart = ratio(*self._bounded(z))
        low, value, high = (math.log(self._carried(r)) for r in (apart.low, apart.value, apart.high))
        extra = abs(apart.value - 1) / (self.share * apart.value + 1 - self.share) * self._drawn(z)
        return Bounded(
            math.exp(value), math.exp(value - math.hypot(value - low, extra)),
            math.exp(value + math.hypot(high - value, extra)),
        )  # fmt: skip

    def _carried(self, r: float) -> float:
        return 1 / self.share if math.isinf(r) else r / (self.share * r + 1 - self.share)


def sides(metric: Metric, found: Rates, setting: Setting, group: int) -> Sides | None:
    """One group and all other records; None where these have no denominator."""
    cells = setting.cells
    (all_events, all_records) = (int(part[0]) for part in rate_counts(metric, setting.everyone.cells.records[:-1]))
    own = int(found.events[group]), int(found.trials[group])
    others = all_events - own[0], all_records - own[1]
    if others[1] <= 0:
        return None
    if found.effective is None or cells.sums is None:
        trials, events = (
            (cells.kinds.sum(axis=1) - cells.kinds[:, group]) @ mask(part) for part in (metric.trials, metric.events)
        )
        effect = design_effect(events=events, trials=trials, counts=cells.persons_of_kind) if cells.repeats else 1.0
        same = cells.sample(metric)
        own_effect = (
            design_effect(events=same.events[:, group], trials=same.trials[:, group], counts=same.counts)
            if cells.repeats else 1.0
        )  # fmt: skip
        return Sides(
            own=found.rate(group), others=others[0] / others[1], n=(own[1] / own_effect, others[1] / effect),
            events=(float(own[0]), float(others[0])), counts=(own, others), share=own[1] / all_records,
        )  # fmt: skip
    rest = _without(cells.sums, group)
    persons = np.array([cells.persons_outside(metric, group)]) if cells.repeats else None
    n = float(rest.effective(metric, persons=persons)[0])
    value, part = float(rest.rates(metric)[0]), cells.sums.sums @ mask(metric.trials)
    if not n:
        return None
    return Sides(
        own=found.rate(group), others=value, n=(float(found.effective[group]), n),
        events=(float(found.firm[group]), min(others[0], n * value)), counts=(own, others),
        share=float(part[group] / part.sum()),
    )  # fmt: skip


def base_rate(metric: Metric, setting: Setting) -> float:
    """The rate of all records; 0 where nothing is in its denominator."""
    mass = setting.everyone.cells.mass[0]
    trials = float(mass @ mask(metric.trials))
    return float(mass @ mask(metric.events)) / trials if trials > 0 else 0.0


def _without(weighted: Weighted, group: int) -> Weighted:
    """All records but the group's, as one group."""

    def rest(values: Floats) -> Floats:
        return np.stack([values.sum(axis=0) - values[group], np.zeros_like(values[0])])

    return Weighted(rest(weighted.sums), rest(weighted.squares), rest(weighted.products))


def reasons(metric: Metric, found: Rates, setting: Setting) -> tuple[tuple[str, Sides | None], ...]:
    """[G] why a group is not compared, and its sides; empty where it is."""
    least = max(setting.settings.minimum_denominator, setting.minimum_cell)
    out = []
    for group, reason in enumerate(found.why_not):
        own = None if reason else sides(metric, found, setting, group)
        if reason or (own is not None and min(own.counts[1][1], own.n[1]) >= least):
            out.append((reason, own))
        else:
            out.append((f"not estimable: fewer than {least} {metric.trials_are} outside this group", None))
    return tuple(out)


def against_all(
    metric: Metric, found: Rates, *, setting: Setting, level: float | None = None, together: bool = True
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
    """[G] differences (group - all records) and [G] ratios (group / all records), simultaneous by Šidák.

    A ratio keeps its value and loses its interval below 5 events in the group or among the others.

    Args:
        level: together, over the groups; that of the settings if not given. together: False for each by itself.
    """
    level = setting.settings.level if level is None else level
    known = reasons(metric, found, setting)
    family = sum(own is not None for _, own in known) if together else 1
    z = critical(sidak(level=level, family=max(1, family)))
    method = METHOD + (f", simultaneous over {family} groups (Šidák)" if family > 1 else "") + setting.effects
    differences, ratios = [], []
    for reason, own in known:
        if own is None:
            differences.append(Estimate(value=None, level=level, withheld=reason))
            ratios.append(differences[-1])
            continue
        apart = own.difference(z)
        blank = Estimate(value=own.times, level=level, n=own.records, method=method)
        differences.append(blank.model_copy(update={"value": apart.value, "low": apart.low, "high": apart.high}))
        if min(own.events) < MINIMUM_EVENTS:
            few = f"interval refused: fewer than {MINIMUM_EVENTS} events in the group or among the other records"
            ratios.append(blank.model_copy(update={"method": "", "withheld": few}))
            continue
        times = own.ratio(z)
        ratios.append(blank.model_copy(update={"value": times.value, "low": times.low, "high": times.high}))
    return tuple(differences), tuple(ratios)


def released(
    estimate: Estimate, found: tuple[Rates, ...], group: int, *, setting: Setting, scale: str, base: float = 1.0
) -> Released:
    """A comparison with all records as it may be shown: rounded where the group, or all records, are closed.

    Args:
        found: what it is made of. scale: `difference`, `ratio`, or `gap` (a difference without its sign). base: the
        rate of all records, for a ratio.
    """
    closed = bool(setting.state.closed[group]), bool(setting.everyone.state.closed[0])
    if estimate.value is None or not any(closed):
        return estimate, ()
    m, steps = setting.minimum_cell, []
    for rates in found:
        steps += [rate_step(trials=int(rates.trials[group]), minimum=m) if any(closed) else 0.0]
    step = None if None in steps else max(s for s in steps if s is not None)
    if step is not None and scale == "ratio":
        step = ratio_step(ratio=estimate.value, reference_rate=base, group_step=step, reference_step=0.0)
    if step is None:
        return Estimate(value=None, level=estimate.level, withheld=TOO_FEW), (closed_note(m),)
    bounds = {"difference": (-1.0, 1.0), "ratio": (0.0, math.inf), "gap": (0.0, 1.0)}[scale]
    coarse = rounded(estimate, step=step, bounds=bounds).model_copy(update={"n": None})
    return coarse, (f"rounded to {step:g}, limits outwards", closed_note(m))
