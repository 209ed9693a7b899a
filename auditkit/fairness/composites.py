"""What is made of two rates, with intervals: balanced accuracy, equalised odds, treatment equality.

Each needs both of its denominators: where one group lacks one of them, there is no value, and never a zero or a one in
its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from auditkit.fairness.composite_metrics import BALANCED, ERRORS, ODDS, TREATMENT
from auditkit.fairness.disparity import MINIMUM_EVENTS, Rates, comparisons, design, rates
from auditkit.fairness.metrics import METRICS, Metric, rate_counts
from auditkit.fairness.overall import against_all, released
from auditkit.fairness.release import release_mean, release_odds
from auditkit.fairness.setting import Setting
from auditkit.result import Estimate, Measurement
from auditkit.stats.intervals import critical
from auditkit.stats.mover import Bounded, difference, mean, odds, rate, ratio
from auditkit.stats.multiplicity import sidak


def composites(
    setting: Setting, every: Mapping[str, Rates], generator: np.random.Generator | None = None
) -> Iterator[Measurement]:
    """Every composite of every group, and its comparison with the reference where a generator is given.

    Args:
        every: the gated rates of METRICS. generator: of the bootstrap of equalised odds; None for all records, which
        have no reference.
    """
    compared = generator is not None
    yield from _balanced(setting, every, compared=compared)
    yield from _treatment(setting, compared=compared)
    if generator is not None:
        yield from _odds(setting, every, generator) if setting.whole is None else _odds_overall(setting, every)


def bounded(metric: Metric, found: Rates, setting: Setting, group: int, *, z: float) -> Bounded:
    """A group's rate with Wilson's limits at z, n divided by the design effect where persons repeat."""
    return rate(
        events=int(found.events[group]), n=found.trials[group] / design(metric, setting.cells, group), z=z,
        value=found.rate(group),
    )  # fmt: skip


def _balanced(setting: Setting, every: Mapping[str, Rates], *, compared: bool) -> Iterator[Measurement]:
    """Mean of the two rates by MOVER; differences of the means likewise, each family held together by Šidák."""
    pair = ("tpr", "tnr")
    why = [next((every[m].why_not[g] for m in pair if every[m].why_not[g]), "") for g in _groups(setting)]

    def of(group: int, z: float) -> Bounded:
        return mean(*(bounded(METRICS[m], every[m], setting, group, z=z) for m in pair))

    def release(estimate: Estimate, *groups: int) -> tuple[Estimate, tuple[str, ...]]:
        low = 0.0 if len(groups) == 1 else -1.0
        found = tuple(every[m] for m in pair)
        return release_mean(estimate, found, groups, state=setting.state, bounds=(low, 1.0), m=setting.minimum_cell)

    n = np.sum([every[m].trials for m in pair], axis=0)
    family = sum(not reason for reason in why)
    for group, reason in enumerate(why):
        z = critical(sidak(level=setting.settings.level, family=max(1, family)))
        exact = _withheld(setting, reason)
        if not reason:
            exact = _estimate(setting, of(group, z), n=int(n[group]), method=_method(setting, "the two rates", family))
        yield _row(setting, BALANCED, group, release(exact, group))
    for group, reason, z, family in _families(setting, why) if compared else ():
        exact = _withheld(setting, reason)
        if not reason:
            apart = difference(of(group, z), of(setting.reference, z))
            both = int(n[group] + n[setting.reference])
            exact = _estimate(setting, apart, n=both, method=_method(setting, "the four rates", family))
        row = release(exact, group, setting.reference)
        yield _row(setting, f"{BALANCED}_difference", group, row, unit="points", compared=True)


def errors(setting: Setting) -> tuple[Rates, list[str]]:
    """The share of errors that are unfavourable, and why a group has no odds of it."""
    events, trials = rate_counts(ERRORS, setting.cells.records[:-1])
    weighted = setting.cells.weighted
    share = np.where(trials > 0, events / np.maximum(trials, 1), np.nan) if weighted is None else weighted.rates(ERRORS)
    found = rates(
        ERRORS, share, cells=setting.cells, state=setting.state, settings=setting.settings,
        minimum_cell=setting.minimum_cell,
    )  # fmt: skip
    few = np.minimum(events, trials - events) < MINIMUM_EVENTS
    if found.effective is not None:
        few |= found.effective * np.nan_to_num(np.minimum(share, 1 - share)) < MINIMUM_EVENTS
    rare = f"not estimable: fewer than {MINIMUM_EVENTS} errors of one of the two kinds in this group"
    return found, [reason or (rare if few[group] else "") for group, reason in enumerate(found.why_not)]


def _treatment(setting: Setting, *, compared: bool) -> Iterator[Measurement]:
    """FN / FP as the odds of an error being unfavourable; exact counts only, so nothing of a closed group."""
    found, why = errors(setting)
    trials = found.trials

    def of(group: int, z: float) -> Bounded:
        return odds(bounded(ERRORS, found, setting, group, z=z))

    family = sum(not reason for reason in why)
    for group, reason in enumerate(why):
        z = critical(sidak(level=setting.settings.level, family=max(1, family)))
        exact = _withheld(setting, reason)
        if not reason:
            method = _method(setting, "the share of errors that are unfavourable", family)
            exact = _estimate(setting, of(group, z), n=int(trials[group]), method=method)
        shown = release_odds(exact, (group,), state=setting.state, m=setting.minimum_cell)
        yield _row(setting, TREATMENT, group, shown, unit="ratio")
    for group, reason, z, family in _families(setting, why) if compared else ():
        exact = _withheld(setting, reason)
        if not reason:
            times = ratio(of(group, z), of(setting.reference, z))
            both = int(trials[group] + trials[setting.reference])
            exact = _estimate(setting, times, n=both, method=_method(setting, "the two shares, as logarithms", family))
        shown = release_odds(exact, (group, setting.reference), state=setting.state, m=setting.minimum_cell)
        yield _row(setting, f"{TREATMENT}_ratio", group, shown, unit="ratio", compared=True)


def _odds(setting: Setting, every: Mapping[str, Rates], generator: np.random.Generator) -> Iterator[Measurement]:
    """The larger absolute difference; its interval holds where those of both differences hold together.

    Both families are taken at the square root of the level: TPR and FPR are of disjoint records. From differences in
    [a, b] and [c, d] the larger absolute one lies between the larger of their least absolute values and that of their
    largest, so the interval reaches down to 0 exactly where neither difference excludes 0.
    """
    settings = setting.settings.model_copy(update={"level": setting.settings.level**0.5})
    pair = ("tpr", "fpr")
    parts = [
        comparisons(
            METRICS[m], every[m], cells=setting.cells, reference=setting.reference, settings=settings, generator=child
        )[0]
        for m, child in zip(pair, generator.spawn(2), strict=True)
    ]
    for group in setting.compared:
        exact = _larger(setting, parts[0][group], parts[1][group])
        shown = release_mean(
            exact, tuple(every[m] for m in pair), (group, setting.reference), state=setting.state, bounds=(0.0, 1.0),
            m=setting.minimum_cell,
        )  # fmt: skip
        yield _row(setting, ODDS, group, shown, unit="points", compared=True)


def _odds_overall(setting: Setting, every: Mapping[str, Rates]) -> Iterator[Measurement]:
    """As `_odds`, with the differences from all records."""
    found, level = tuple(every[m] for m in ("tpr", "fpr")), setting.settings.level**0.5
    tpr, fpr = (
        against_all(METRICS[m], every[m], setting=setting, level=level)[0] for m in ("tpr", "fpr")
    )
    for group in setting.compared:
        exact = _larger(setting, tpr[group], fpr[group])
        yield _row(
            setting, ODDS, group, released(exact, found, group, setting=setting, scale="gap"), unit="points",
            compared=True,
        )  # fmt: skip


def _larger(setting: Setting, a: Estimate, b: Estimate) -> Estimate:
    reason = a.withheld or b.withheld
    ends = [(e.value, e.low, e.high) for e in (a, b)]
    known = [(v, lo, hi) for v, lo, hi in ends if v is not None and lo is not None and hi is not None]
    if reason or len(known) < 2:
        return _withheld(setting, reason)
    least = [0.0 if low <= 0 <= high else min(abs(low), abs(high)) for _, low, high in known]
    most = [max(abs(low), abs(high)) for _, low, high in known]
    found = Bounded(max(abs(value) for value, _, _ in known), max(least), max(most))
    method = f"from both differences, each at level {setting.settings.level**0.5:.4f}: {a.method}"
    return _estimate(setting, found, n=(a.n or 0) + (b.n or 0), method=method)


def _families(setting: Setting, why: list[str]) -> Iterator[tuple[int, str, float, int]]:
    """Every group but the reference: why it is not compared, the critical value of its family, and the family's size.

    Comparisons share the reference; Šidák's inequality (JASA 62 (1967) 626) holds for them all the same.
    """
    reference = setting.reference
    base = setting.no_reference if reference < 0 else why[reference]
    reasons = {g: why[g] if reference >= 0 and not why[reference] else _of_reference(base) for g in setting.compared}
    family = sum(not reason for reason in reasons.values())
    z = critical(sidak(level=setting.settings.level, family=max(1, family)))
    for group, reason in reasons.items():
        yield group, reason, z, family


def _of_reference(reason: str) -> str:
    return reason if reason.startswith(("the reference", "not computed against")) else f"reference: {reason}"


def _groups(setting: Setting) -> range:
    return range(len(setting.grouping.labels))


def _withheld(setting: Setting, reason: str) -> Estimate:
    return Estimate(value=None, level=setting.settings.level, withheld=reason)


def _estimate(setting: Setting, found: Bounded, *, n: int, method: str) -> Estimate:
    return Estimate(value=found.value, low=found.low, high=found.high, level=setting.settings.level, n=n, method=method)


def _method(setting: Setting, of: str, family: int) -> str:
    words = f"MOVER from Wilson limits of {of}"
    words += f", simultaneous over {family} groups (Šidák)" if family > 1 else ""
    return words + setting.effects


def _row(
    setting: Setting,
    name: str,
    group: int,
    released: tuple[Estimate, tuple[str, ...]],
    *,
    unit: str = "rate",
    compared: bool = False,
) -> Measurement:
    estimate, parts = released
    return Measurement.model_validate(
        {
            "measure": f"fairness.{name}", "on": setting.grouping.name, "group": setting.grouping.labels[group],
            "reference": setting.grouping.reference if compared else "", "unit": unit, "estimate": estimate,
            "parts": parts,
        }
    )  # fmt: skip
