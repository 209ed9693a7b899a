"""Every group against a rule's threshold, with p-values that are adjusted stepwise: Holm, or Benjamini and Hochberg.

The intervals of a family hold together in one step, which is what a reader of all of them needs, and more than the
verdicts need. Where the policy says `holm` or `bh`, the verdicts of its rules rest on the tests made here: for every
group the two-sided p-value of the hypothesis that its measure is the threshold (`stats.inversion.p_at`, from the score
limits that the other tests use), adjusted over the groups of the rule; at most 1 - level decides for the side on which
the point lies.

* `holm`: the chance of any wrong verdict in the family is at most 1 - level, whatever the dependence, when a verdict
  is "not the threshold"; of a wrong side too where estimates are independent (Shaffer, Ann. Stat. 8 (1980) 1342).
* `bh`: the expected share of wrong verdicts among those given is at most 1 - level for independent estimates
  (Benjamini and Yekutieli, JASA 100 (2005) 71, of directions); with many groups one verdict of them may be wrong.

Closed groups count in the family with a p-value of 1, get no row, and are judged on their rounded simultaneous
interval: each of them then spends no more than its own share, and Holm's bound holds over open and closed together.
A ratio below five events has no row, as it has no interval. Measures of scores, and comparisons with all records
(reference `overall`), have none: their simultaneous intervals decide, as they do for a policy that says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import stats

from auditkit.fairness.composite_metrics import BALANCED, ERRORS, ODDS, TREATMENT
from auditkit.fairness.composites import errors
from auditkit.fairness.disparity import MINIMUM_EVENTS, Rates, design
from auditkit.fairness.metrics import METRICS, Metric
from auditkit.fairness.setting import Setting
from auditkit.policy.schema import Rule
from auditkit.result import ThresholdTest
from auditkit.stats.inversion import p_at
from auditkit.stats.mover import Bounded, difference, mean, odds, rate, ratio
from auditkit.stats.proportions import adjusted

Limits = Callable[[float], Bounded]
"""The interval at a critical value."""
Family = dict[int, Limits]
"""By position of the group."""
IMPACT = "impact_ratio"


def threshold_tests(setting: Setting, every: Mapping[str, Rates], rules: Sequence[Rule]) -> tuple[ThresholdTest, ...]:
    """The tests of every rule on this attribute that asks for an interval; none where verdicts rest on intervals.

    Args:
        every: the gated rates of METRICS. rules: of the policy.
    """
    if setting.settings.multiplicity == "simultaneous":
        return ()
    judged = {(r.measure, r.threshold) for r in rules if r.on == setting.grouping.name and r.proof == "interval"}
    return tuple(test for measure, at in sorted(judged) for test in _tests(setting, every, measure, at))


def _tests(setting: Setting, every: Mapping[str, Rates], measure: str, at: float) -> list[ThresholdTest]:
    compared, family = _family(setting, every, measure.removeprefix("fairness."))
    closed = setting.state.closed
    beside = compared and bool(closed[setting.reference])
    shown = [group for group in family if not closed[group] and not beside]
    p = np.array([p_at(family[group], at=at) for group in shown])
    held = np.ones(len(family) - len(shown))
    right = adjusted(np.concatenate([p, held]), method=setting.settings.multiplicity)
    return [
        ThresholdTest(
            measure=measure, threshold=at, group=setting.grouping.labels[group], family=len(family),
            p=float(own), adjusted_p=float(together),
        )
        for group, own, together in zip(shown, p, right, strict=False)
    ]  # fmt: skip


def _family(setting: Setting, every: Mapping[str, Rates], name: str) -> tuple[bool, Family]:
    """Whether a measure compares with the reference, and its intervals; empty for what is not made of rates."""
    if name in METRICS:
        return False, _of_rates(setting, METRICS[name], every[name], every[name].why_not)
    if name == BALANCED:
        return False, _balanced(setting, every)
    if name == TREATMENT:
        return False, _treatment(setting)
    if name == ODDS:
        return True, _odds(setting, every)
    base, _, kind = ("selection_rate_ratio" if name == IMPACT else name).rpartition("_")
    if base not in {*METRICS, BALANCED, TREATMENT} or kind not in {"difference", "ratio"}:
        return False, {}
    parts = _family(setting, every, base)[1]
    if kind == "ratio" and base in METRICS:
        parts = {group: own for group, own in parts.items() if every[base].firm[group] >= MINIMUM_EVENTS}
    return True, _compared(setting, parts, difference if kind == "difference" else ratio)


def _of_rates(setting: Setting, metric: Metric, found: Rates, why_not: Sequence[str]) -> Family:
    def of(group: int) -> Limits:
        # Once, and not at every critical value: with repeated persons it is a sum over them.
        n = float(found.trials[group]) / design(metric, setting.cells, group)
        events, value = int(found.events[group]), found.rate(group)
        return lambda z: rate(events=events, n=n, z=z, value=value)

    return {group: of(group) for group, reason in enumerate(why_not) if not reason}


def _compared(setting: Setting, parts: Family, made: Callable[[Bounded, Bounded], Bounded]) -> Family:
    base = parts.get(setting.reference)
    if base is None:
        return {}

    def of(own: Limits, base: Limits) -> Limits:
        return lambda z: made(own(z), base(z))

    return {group: of(parts[group], base) for group in setting.compared if group in parts}


def _balanced(setting: Setting, every: Mapping[str, Rates]) -> Family:
    tpr, tnr = (_of_rates(setting, METRICS[m], every[m], every[m].why_not) for m in ("tpr", "tnr"))

    def of(a: Limits, b: Limits) -> Limits:
        return lambda z: mean(a(z), b(z))

    return {group: of(tpr[group], tnr[group]) for group in tpr if group in tnr}


def _treatment(setting: Setting) -> Family:
    found, why_not = errors(setting)

    def of(own: Limits) -> Limits:
        return lambda z: odds(own(z))

    return {group: of(own) for group, own in _of_rates(setting, ERRORS, found, why_not).items()}


def _odds(setting: Setting, every: Mapping[str, Rates]) -> Family:
    """The larger absolute difference, from both at the level's square root (TPR and FPR are of disjoint records)."""
    parts = [
        _compared(setting, _of_rates(setting, METRICS[m], every[m], every[m].why_not), difference)
        for m in ("tpr", "fpr")
    ]

    def of(a: Limits, b: Limits) -> Limits:
        def limits(z: float) -> Bounded:
            error = -math.expm1(math.log1p(-2 * float(stats.norm.sf(z))) / 2)
            found = [part(float(stats.norm.isf(error / 2))) for part in (a, b)]
            least = [0.0 if d.low <= 0 <= d.high else min(abs(d.low), abs(d.high)) for d in found]
            most = [max(abs(d.low), abs(d.high)) for d in found]
            return Bounded(max(abs(d.value) for d in found), max(least), max(most))

        return limits

    return {group: of(parts[0][group], parts[1][group]) for group in parts[0] if group in parts[1]}
