"""Balanced accuracy, equalised odds and treatment equality again, from pandas' counts and scipy's Wilson limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_bootstrap import Limits, added, simultaneous
from tests.policies.real.recompute_data import (
    LEVEL,
    MINIMUM_CELL,
    MINIMUM_DENOMINATOR,
    REPLICATES,
    Attribute,
    Ints,
)
from tests.policies.real.recompute_fairness import (
    MINIMUM_EVENTS,
    TEXT,
    Shown,
    closed_entry,
    gate,
    key,
    row,
)
from tests.policies.real.recompute_rates import STEPS, entry, step_of, wilson_limits

Triple = tuple[float, float, float]
"""Value, low, high."""


def expected_composites(attribute: Attribute, shown: Shown, generator: np.random.Generator) -> dict[str, Any]:
    """Rows of every composite; of all records, where the attribute has no name, without comparisons."""
    out = _balanced(attribute, shown) | _treatment(attribute, shown)
    return out | (_odds(attribute, shown, generator) if attribute.name else {})


def mover(a: Triple, b: Triple, sign: int) -> Triple:
    """a + sign b, each distance from a value to its own limit standing for its error on that side."""
    low_b, high_b = (b[1], b[2]) if sign > 0 else (b[2], b[1])
    value = a[0] + sign * b[0]
    below = math.sqrt((a[0] - a[1]) ** 2 + (b[0] - low_b) ** 2)
    return value, value - below, value + math.sqrt((a[2] - a[0]) ** 2 + (high_b - b[0]) ** 2)


def rate(events: int, n: int, level: float) -> Triple:
    """A rate with Wilson's limits."""
    return (events / n, *wilson_limits(int(events), int(n), level))


def logarithm(triple: Triple) -> Triple:
    """Value and limits as logarithms."""
    return tuple(math.log(x) for x in triple)  # type: ignore[return-value]


def _balanced(attribute: Attribute, shown: Shown) -> dict[str, Any]:
    (hits, positives, known), (misses, negatives, also) = (gate(shown, m) for m in ("tpr", "tnr"))
    usable, n = known & also, positives + negatives
    steps = [max(step_of(int(a)) or 9, step_of(int(b)) or 9) for a, b in zip(positives, negatives, strict=True)]

    def of(g: int, level: float) -> Triple:
        twice = mover(rate(hits[g], positives[g], level), rate(misses[g], negatives[g], level), 1)
        return twice[0] / 2, twice[1] / 2, twice[2] / 2

    def release(found: dict[str, Any], groups: Sequence[int], low: float) -> dict[str, Any]:
        closed = [steps[g] for g in groups if shown.closed[g]]
        if not closed:
            return found
        return closed_entry(found, max(closed) if max(closed) < 9 else None, (low, 1.0), None)

    out, family = {}, max(1, int(usable.sum()))
    for g, label in enumerate(attribute.labels):
        found = _made(of(g, LEVEL ** (1 / family)), int(n[g]), family) if usable[g] else _nothing()
        out[key("fairness.balanced_accuracy", attribute.name, label)] = row(release(found, [g], 0.0), *STEPS)

    def apart(g: int, level: float) -> Triple:
        return mover(of(g, level), of(attribute.base, level), -1)

    for g, found in _compared(attribute, usable, n, apart).items():
        name = key("fairness.balanced_accuracy_difference", attribute.name, attribute.labels[g])
        out[name] = row(release(found, [g, attribute.base], -1.0), *STEPS)
    return out


def _treatment(attribute: Attribute, shown: Shown) -> dict[str, Any]:
    """FN / FP, from the share of FN among both; nothing of a closed group."""
    fp, fn = shown.cells[:-1, 1], shown.cells[:-1, 2]
    usable = shown.assessed & (fp + fn >= max(MINIMUM_DENOMINATOR, MINIMUM_CELL))
    usable &= np.minimum(fp, fn) >= MINIMUM_EVENTS

    def of(g: int, level: float) -> Triple:
        return tuple(x / (1 - x) for x in rate(fn[g], fp[g] + fn[g], level))  # type: ignore[return-value]

    out, family = {}, max(1, int(usable.sum()))
    for g, label in enumerate(attribute.labels):
        seen = usable[g] and not shown.closed[g]
        found = _made(of(g, LEVEL ** (1 / family)), int(fp[g] + fn[g]), family) if seen else _nothing()
        out[key("fairness.treatment_equality", attribute.name, label)] = row(found)

    def times(g: int, level: float) -> Triple:
        logs = mover(logarithm(of(g, level)), logarithm(of(attribute.base, level)), -1)
        return tuple(math.exp(x) for x in logs)  # type: ignore[return-value]

    for g, found in _compared(attribute, usable, fp + fn, times).items():
        closed = shown.closed[g] or shown.closed[attribute.base]
        name = key("fairness.treatment_equality_ratio", attribute.name, attribute.labels[g])
        out[name] = row(_nothing() if closed else found)
    return out


def _compared(
    attribute: Attribute, usable: Any, n: Ints, make: Callable[[int, float], Triple]
) -> dict[int, dict[str, Any]]:
    """Every group but the reference, at the level of its family."""
    if not attribute.name:
        return {}
    base, groups = attribute.base, [g for g in range(len(attribute.labels)) if g != attribute.base]
    family = max(1, sum(bool(usable[g]) for g in groups))
    level = LEVEL ** (1 / family)
    return {
        g: _made(make(g, level), int(n[g] + n[base]), family) if usable[g] and usable[base] else _nothing()
        for g in groups
    }


def _odds(attribute: Attribute, shown: Shown, generator: np.random.Generator) -> dict[str, Any]:
    """The larger absolute difference, with the limits that both differences have at the root of the level."""
    base, limits, gates = attribute.base, [], [gate(shown, m) for m in ("tpr", "fpr")]
    for events, trials, usable in gates:
        family = [g for g in np.flatnonzero(usable) if g != base] if usable[base] else []
        limits.append(
            simultaneous(
                events=events, trials=trials, base=base, family=family, extra=added(LEVEL**0.5, len(family)),
                ratio=False, level=LEVEL**0.5, replicates=REPLICATES, generator=generator,
            )
        )  # fmt: skip
    out = {}
    for g, label in enumerate(attribute.labels):
        if g == base:
            continue
        found = _nothing()
        if g in limits[0] and g in limits[1]:
            found = _larger(gates, (limits[0][g], limits[1][g]), g, base, len(limits[0]))
            parts = [step_of(int(gates[k][1][h])) for k in (0, 1) for h in (g, base) if shown.closed[h]]
            if parts:
                step = None if None in parts else max(s for s in parts if s)
                found = closed_entry(found, step, (0.0, 1.0), None)
        out[key("fairness.equalised_odds_difference", attribute.name, label)] = row(found, *STEPS)
    return out


def _larger(gates: list[Any], limits: tuple[Limits, Limits], g: int, base: int, family: int) -> dict[str, Any]:
    values = [events[g] / trials[g] - events[base] / trials[base] for events, trials, _ in gates]
    below = [end for limit in limits for end in (limit.low, _minus(limit.high))]
    above = [end for limit in limits for end in (_minus(limit.low), limit.high)]
    low = Near(max(0.0, *(end.low for end in below)), max(0.0, *(end.high for end in below)))
    high = Near(max(end.low for end in above), max(end.high for end in above))
    n = sum(int(trials[g] + trials[base]) for _, trials, _ in gates)
    method = Says(LEVEL**0.5, REPLICATES, family)
    return entry(max(map(abs, values)), low, high, level=LEVEL, n=n, method=method, withheld=TEXT)


def _minus(near: Near) -> Near:
    return Near(-near.high, -near.low)


def _made(triple: Triple, n: int, family: int) -> dict[str, Any]:
    return entry(*triple, level=LEVEL, n=n, method=Says(family), withheld=TEXT)


def _nothing() -> dict[str, Any]:
    return entry(level=LEVEL, withheld=TEXT)
