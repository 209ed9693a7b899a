"""One group against the reference: p-values, what could have been found, and whether the two are shown to be alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auditkit.fairness.composites import bounded
from auditkit.fairness.disparity import MINIMUM_EVENTS, Rates, design
from auditkit.fairness.metrics import METRICS
from auditkit.fairness.overall import Sides, against_all, base_rate, reasons, released
from auditkit.fairness.release import SMALL_CELL, release_difference, release_ratio
from auditkit.fairness.setting import Setting
from auditkit.result import Estimate, PairTest
from auditkit.stats.intervals import critical
from auditkit.stats.mover import Bounded, detectable, difference, ratio
from auditkit.stats.multiplicity import sidak
from auditkit.stats.proportions import adjusted, fisher, two_proportion_z
from auditkit.stats.rounding import rate_step

POWER = 0.8
RATIO = (0.8, 1.25)


@dataclass(frozen=True)
class _Tested:
    """p-values of one pair; Fisher's is None where persons repeat or records are weighted."""

    z: float | None
    fisher: float | None

    @property
    def leading(self) -> float:
        """The one that is adjusted; 1 where both rates are 0, or both 1."""
        if self.fisher is not None:
            return self.fisher
        return 1.0 if self.z is None else self.z


def pairs(setting: Setting, name: str, found: Rates) -> tuple[PairTest, ...]:
    """Every group but the reference, on one metric; groups without a value have a row that says why."""
    reference = setting.reference
    if setting.whole is not None:
        return _against_all(setting, name, found)
    if reference < 0:
        return tuple(_nothing(setting, name, g, "the reference is not among the groups") for g in setting.compared)
    base = f"reference: {found.why_not[reference]}" if found.why_not[reference] else ""
    why = {group: base or found.why_not[group] for group in setting.compared}
    tested = {group: _p(setting, name, found, group) for group, reason in why.items() if not reason}
    right = adjusted(np.array([test.leading for test in tested.values()]), method=setting.settings.multiplicity)
    level = sidak(level=setting.settings.level, family=max(1, len(tested)))
    known = dict(zip(tested, right.tolist(), strict=True))
    return tuple(
        _pair(setting, name, found, group, tested[group], adjusted_p=known[group], level=level)
        if group in tested
        else _nothing(setting, name, group, reason)
        for group, reason in why.items()
    )


def _against_all(setting: Setting, name: str, found: Rates) -> tuple[PairTest, ...]:
    """Every group against all records, by way of the others; rows of closed groups are rounded as their rates are."""
    known, m, metric = reasons(METRICS[name], found, setting), setting.minimum_cell, METRICS[name]
    p = {group: _p_apart(own, exact=_independent(setting, found)) for group, (_, own) in enumerate(known) if own}
    right = adjusted(np.array([test.leading for test in p.values()]), method=setting.settings.multiplicity)
    level = sidak(level=setting.settings.level, family=max(1, len(p)))
    corrected = dict(zip(p, right.tolist(), strict=True))
    differences, ratios = against_all(metric, found, setting=setting, level=_level(setting), together=False)
    rows, margin = [], setting.settings.equivalence_margin
    for group, (reason, own) in enumerate(known):
        if own is None:
            rows.append(_nothing(setting, name, group, reason))
            continue
        closed = bool(setting.state.closed[group])
        apart, _ = released(differences[group], (found,), group, setting=setting, scale="difference")
        base = base_rate(metric, setting)
        times, _ = released(ratios[group], (found,), group, setting=setting, scale="ratio", base=base)
        found_sides = detectable(base=own.others, n=own.n[0], base_n=own.n[1], level=level, power=POWER)
        rows.append(PairTest(
            measure=f"fairness.{name}", group=setting.grouping.labels[group],
            n=None if closed else own.counts[0][1], reference_n=None if closed else own.records,
            z_p=None if closed else p[group].z, fisher_p=None if closed else p[group].fisher,
            adjusted_p=None if closed else corrected[group],
            withheld=f"p-values withheld: {SMALL_CELL} {m} persons" if closed else "",
            detectable=None if closed or not found_sides else (1 - own.share) * max(found_sides.values()),
            difference=apart, ratio=times,
            within_margin=_within(apart, -margin, margin), within_ratio=_within(times, *RATIO),
        ))  # fmt: skip
    return tuple(rows)


def _p_apart(own: Sides, *, exact: bool) -> _Tested:
    """Of the group and the others; Fisher's only of independent records that count once."""
    z = two_proportion_z(rates=(own.own, own.others), n=own.n)
    events, records = zip(*own.counts, strict=True)
    return _Tested(z, fisher(events=events, n=records) if exact else None)


def _independent(setting: Setting, found: Rates) -> bool:
    return not setting.cells.repeats and found.effective is None


def _nothing(setting: Setting, name: str, group: int, reason: str) -> PairTest:
    nothing = Estimate(value=None, level=_level(setting), withheld=reason)
    label = setting.grouping.labels[group]
    return PairTest(measure=f"fairness.{name}", group=label, withheld=reason, difference=nothing, ratio=nothing)


def _level(setting: Setting) -> float:
    """Of the intervals of equivalence: two one-sided tests at 1 - level are one interval at 1 - 2 (1 - level)."""
    return round(2 * setting.settings.level - 1, 12)


def _p(setting: Setting, name: str, found: Rates, group: int) -> _Tested:
    both = (group, setting.reference)
    n = tuple(float(found.trials[g]) / design(METRICS[name], setting.cells, g) for g in both)
    rates = tuple(found.rate(g) for g in both)
    z = two_proportion_z(rates=(rates[0], rates[1]), n=(n[0], n[1]))
    if setting.cells.repeats or found.effective is not None:
        return _Tested(z, None)
    events, trials = ([int(counts[g]) for g in both] for counts in (found.events, found.trials))
    return _Tested(z, fisher(events=(events[0], events[1]), n=(trials[0], trials[1])))


def _pair(
    setting: Setting, name: str, found: Rates, group: int, tested: _Tested, *, adjusted_p: float, level: float
) -> PairTest:
    reference, m = setting.reference, setting.minimum_cell
    closed = bool(setting.state.closed[[group, reference]].any())
    apart, times = _equivalence(setting, name, found, group)
    shown, _ = release_difference(apart, found, group, reference, state=setting.state, m=m)
    ratio_shown, _ = release_ratio(times, found, group, reference, state=setting.state, m=m)
    margin = setting.settings.equivalence_margin
    return PairTest(
        measure=f"fairness.{name}",
        group=setting.grouping.labels[group],
        n=None if closed else int(found.trials[group]),
        reference_n=None if closed else int(found.trials[reference]),
        z_p=None if closed else tested.z,
        fisher_p=None if closed else tested.fisher,
        adjusted_p=None if closed else adjusted_p,
        withheld=f"p-values withheld: {SMALL_CELL} {m} persons" if closed else "",
        detectable=_detectable(setting, name, found, group, level=level),
        difference=shown,
        ratio=ratio_shown,
        within_margin=_within(shown, -margin, margin),
        within_ratio=_within(ratio_shown, *RATIO),
    )


def _equivalence(setting: Setting, name: str, found: Rates, group: int) -> tuple[Estimate, Estimate]:
    """Difference and ratio with the intervals of two one-sided tests, each pair by itself.

    Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657. That all groups are alike is then shown at the same level,
    without adjustment: it says that each of them is.
    """
    level, reference = _level(setting), setting.reference
    z = critical(level)
    own, base = (bounded(METRICS[name], found, setting, g, z=z) for g in (group, reference))
    n = int(found.trials[group] + found.trials[reference])
    words = setting.effects

    def estimate(made: Bounded, method: str) -> Estimate:
        return Estimate(value=made.value, low=made.low, high=made.high, level=level, n=n, method=method + words)

    apart = estimate(difference(own, base), "Newcombe's hybrid score interval")
    if min(found.firm[group], found.firm[reference]) < MINIMUM_EVENTS:
        why = f"fewer than {MINIMUM_EVENTS} events in the group or in its reference"
        return apart, Estimate(value=None, level=level, withheld=why)
    return apart, estimate(ratio(own, base), "MOVER of the logarithms of Wilson limits")


def _within(estimate: Estimate, low: float, high: float) -> bool | None:
    if estimate.low is None or estimate.high is None:
        return None
    return low <= estimate.low and estimate.high <= high


def _detectable(setting: Setting, name: str, found: Rates, group: int, *, level: float) -> float | None:
    """The larger of both sides' smallest difference that is found; rounded up to the groups' steps where one is closed.

    None where no difference would be found on either side, or where no step is wide enough to show it.
    """
    both = (group, setting.reference)
    n = [float(found.trials[g]) / design(METRICS[name], setting.cells, g) for g in both]
    base = found.rate(setting.reference)
    sides = detectable(base=base, n=n[0], base_n=n[1], level=level, power=POWER)
    if not sides:
        return None
    largest = max(sides.values())
    closed = [g for g in both if setting.state.closed[g]]
    if not closed:
        return largest
    steps = [rate_step(trials=int(found.trials[g]), minimum=setting.minimum_cell) for g in closed]
    if None in steps:
        return None
    step = max(s for s in steps if s is not None)
    return round(math.ceil(largest / step - 1e-9) * step, 6)
