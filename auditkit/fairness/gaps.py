"""Tests beside the intervals, attribute by attribute: widest gaps by permutation, and every pair with the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from auditkit.fairness.composite_metrics import ODDS
from auditkit.fairness.composites import bounded
from auditkit.fairness.disparity import Rates
from auditkit.fairness.metrics import METRICS
from auditkit.fairness.pairs import POWER, RATIO, pairs
from auditkit.fairness.release import release_mean
from auditkit.fairness.setting import Setting
from auditkit.fairness.thresholds import threshold_tests
from auditkit.fairness.weights import widest_alike
from auditkit.policy.schema import Rule
from auditkit.result import AttributeTests, Estimate, GapTest
from auditkit.stats.intervals import critical
from auditkit.stats.mover import difference
from auditkit.stats.multiplicity import sidak
from auditkit.stats.permutation import Shuffled, widest_gap
from auditkit.subject.types import Ints

TESTED = ("selection_rate", "tpr", "fpr", "ppv", "npv", "accuracy", "base_rate")
"""The others are complements of these: their gaps, and p-values, are the same."""
COARSE = 100
"""p-values that rest on a closed group are rounded up to one part in so many."""
SEVERAL = "not tested: records of one person are in several groups"
ONE = "not tested: fewer than two groups can be assessed"


@dataclass(frozen=True)
class _Gap:
    """The widest gap of one metric, or why there is none."""

    groups: Ints
    """Positions of the groups that can be assessed."""
    found: Shuffled | None
    low: float = 0.0
    high: float = 0.0
    why_not: str = ""


def inference(
    setting: Setting, every: Mapping[str, Rates], generator: np.random.Generator, *, rules: Sequence[Rule] = ()
) -> AttributeTests:
    """Every test on one attribute.

    Args:
        every: the gated rates of METRICS. generator: of the shuffles. rules: see `threshold_tests`.
    """
    level, root = setting.settings.level, setting.settings.level**0.5
    out = []
    for name, child in zip(TESTED, generator.spawn(len(TESTED)), strict=True):
        groups = _groups(setting, (every[name],))
        gap = _gap(setting, name, every[name], groups, level=level, generator=child)
        out.append(_test(setting, name, (every[name],), gap))
    pair = ("tpr", "fpr")
    found = tuple(every[name] for name in pair)
    groups = _groups(setting, found)
    tpr, fpr = (
        _gap(setting, name, every[name], groups, level=root, generator=child)
        for name, child in zip(pair, generator.spawn(2), strict=True)
    )
    out.append(_test(setting, ODDS, found, _wider(tpr, fpr)))
    return AttributeTests(
        on=setting.grouping.name,
        reference=setting.grouping.reference,
        multiplicity=setting.settings.multiplicity,
        power=POWER,
        margin=setting.settings.equivalence_margin,
        ratio_low=RATIO[0],
        ratio_high=RATIO[1],
        gaps=tuple(out),
        pairs=tuple(test for name in TESTED for test in pairs(setting, name, every[name])),
        thresholds=threshold_tests(setting, every, rules),
    )


def _groups(setting: Setting, found: tuple[Rates, ...]) -> Ints:
    """The groups that can be assessed; closed ones are left out where two others remain, so that figures stay exact."""
    every = [g for g in range(len(setting.grouping.labels)) if not any(rates.why_not[g] for rates in found)]
    open_ = [g for g in every if not setting.state.closed[g]]
    return np.array(open_ if len(open_) > 1 else every, dtype=np.int64)


def _gap(
    setting: Setting, name: str, found: Rates, groups: Ints, *, level: float, generator: np.random.Generator
) -> _Gap:
    if groups.size < 2:
        return _Gap(groups, None, why_not=ONE)
    if setting.cells.several(METRICS[name], groups):
        return _Gap(groups, None, why_not=SEVERAL)
    replicates = setting.settings.replicates
    if found.effective is not None:
        own = found.values[groups], found.effective[groups]
        shuffled = widest_alike(*own, replicates=replicates, generator=generator)
    else:
        events, trials, persons = _kinds(setting, name, groups)
        shuffled = widest_gap(
            events=events, trials=trials, persons=persons, replicates=replicates, generator=generator
        )
    low, high = _limits(setting, name, found, groups.tolist(), level=level)
    return _Gap(groups, shuffled, min(low, shuffled.gap), max(high, shuffled.gap))


def _kinds(setting: Setting, name: str, groups: Ints) -> tuple[Ints, Ints, Ints]:
    """Events [K] and trials [K] of one person of each kind, and persons [K, G] of it; of persons in one group each."""
    sample = setting.cells.sample(METRICS[name])
    inside = sample.trials[:, groups] > 0
    used = inside.any(axis=1)
    own = np.stack([part[:, groups][used].sum(axis=1) for part in (sample.events, sample.trials)])
    kinds, where = np.unique(own, axis=1, return_inverse=True)
    persons = np.zeros((kinds.shape[1], groups.size), dtype=np.int64)
    np.add.at(persons, (where.ravel(), inside[used].argmax(axis=1)), sample.counts[used])
    return kinds[0], kinds[1], persons


def _limits(setting: Setting, name: str, found: Rates, groups: list[int], *, level: float) -> tuple[float, float]:
    """Limits of the widest gap from those of all pairs, which hold together (Šidák over the pairs).

    Every absolute difference lies in its interval's absolute values, so the widest lies between the largest of their
    least and the largest of their largest; it reaches down to 0 where no pair excludes 0.
    """
    family = len(groups) * (len(groups) - 1) // 2
    z = critical(sidak(level=level, family=family))
    own = {group: bounded(METRICS[name], found, setting, group, z=z) for group in groups}
    apart = [difference(own[a], own[b]) for a, b in combinations(groups, 2)]
    least = max(0.0 if d.low <= 0 <= d.high else min(abs(d.low), abs(d.high)) for d in apart)
    return least, max(max(abs(d.low), abs(d.high)) for d in apart)


def _wider(a: _Gap, b: _Gap) -> _Gap:
    """Of two gaps, both needed, the wider."""
    if a.found is None or b.found is None:
        return _Gap(a.groups, None, why_not=a.why_not or b.why_not)
    return _Gap(a.groups, a.found.wider(b.found), max(a.low, b.low), max(a.high, b.high))


def _test(setting: Setting, name: str, found: tuple[Rates, ...], gap: _Gap) -> GapTest:
    """The row as it may be shown: rounded where any group tested is closed."""
    level, groups = setting.settings.level, tuple(gap.groups.tolist())
    out = len(setting.grouping.labels) - int(setting.state.empty.sum()) - len(groups)
    if gap.found is None:
        nothing = Estimate(value=None, level=level, withheld=gap.why_not)
        return GapTest(measure=f"fairness.{name}", groups=len(groups), left_out=out, gap=nothing, withheld=gap.why_not)
    n = sum(int(rates.trials[list(groups)].sum()) for rates in found)
    method = f"from MOVER limits of all pairs of {len(groups)} groups, simultaneous (Šidák)"
    exact = Estimate(value=gap.found.gap, low=gap.low, high=gap.high, level=level, n=n, method=method)
    shown, _ = release_mean(exact, found, groups, state=setting.state, bounds=(0.0, 1.0), m=setting.minimum_cell)
    closed = bool(setting.state.closed[list(groups)].any())
    p = gap.found.p
    what = f"permutation of {'persons' if setting.cells.repeats else 'records'} over the groups"
    if setting.cells.sums is not None:
        what = "binomials of one common rate with the groups' effective n"
    return GapTest(
        measure=f"fairness.{name}",
        groups=len(groups),
        left_out=out,
        highest=setting.grouping.labels[groups[gap.found.highest]],
        lowest=setting.grouping.labels[groups[gap.found.lowest]],
        gap=shown,
        p=math.ceil(p * COARSE - 1e-9) / COARSE if closed else p,
        method=f"{what}, {gap.found.shuffles.size:,} shuffles"
        + (f", rounded up to {1 / COARSE:g}" if closed else ""),
    )
