"""What of the slices found holds on records that the search never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from auditkit.result import Estimate
from auditkit.stats.intervals import critical, design_effect, wilson_bounds
from auditkit.stats.mover import Bounded, difference
from auditkit.subject.types import Floats, Ints, Mask


@dataclass(frozen=True)
class Confirmation:
    """One slice on the confirming half."""

    inside: Estimate
    """Mean of the outcome in the slice."""
    outside: Estimate
    excess: Estimate
    """Inside minus outside; the intervals of all slices tested cover together."""
    p: float
    """One-sided: how often a slice that is like the rest would lie as far above it."""
    adjusted: float
    """After Benjamini and Hochberg over the slices tested."""


def confirm(masks: Sequence[Mask], outcome: Floats, persons: Ints | None, *, level: float) -> tuple[Confirmation, ...]:
    """Test each slice against the rest of the confirming half.

    Args:
        masks: [M] of each slice. outcome: [M] 0.0 or 1.0. persons: [M] codes, or None where every record is its own.
        level: coverage of the intervals, together over the slices (Bonferroni, because slices overlap).

    One-sided by Fisher's exact test; where persons repeat, by the standard score of the difference of the two rates
    with its variance over persons (the linearised, "sandwich" form), because Fisher's counts records as independent.
    Interval of the excess: Newcombe's, of two Wilson intervals (Statist. Med. 17 (1998) 873, method 10), with n divided
    by the design effect where persons repeat.
    """
    several = persons is not None and len(np.unique(persons)) < len(persons)
    own = persons if several else None
    tested = [_tested(mask, outcome, own, level=1 - (1 - level) / len(masks)) for mask in masks]
    if not tested:
        return ()
    adjusted = stats.false_discovery_control([row[3] for row in tested], method="bh")
    return tuple(
        Confirmation(inside, outside, excess, p, float(q))
        for (inside, outside, excess, p), q in zip(tested, adjusted, strict=True)
    )


def _tested(
    mask: Mask, outcome: Floats, persons: Ints | None, *, level: float
) -> tuple[Estimate, Estimate, Estimate, float]:
    inside = _rate(outcome, mask, persons, level=level)
    outside = _rate(outcome, ~mask, persons, level=level)
    if persons is None:
        hits, rest = int(outcome[mask].sum()), int(outcome[~mask].sum())
        # P[hits or more of the slice's records | margins]
        p = float(stats.hypergeom.sf(hits - 1, len(mask), hits + rest, int(mask.sum())))
    else:
        p = float(stats.norm.sf(_score(mask, outcome, persons)))
    return inside, outside, _newcombe(inside, outside, level=level), min(p, 1.0)


def _rate(outcome: Floats, mask: Mask, persons: Ints | None, *, level: float) -> Estimate:
    n, events = int(mask.sum()), int(outcome[mask].sum())
    if n == 0:
        return Estimate(value=None, level=level, withheld="no records on the confirming half")
    effect = 1.0 if persons is None else _effect(outcome[mask], persons[mask])
    low, high = wilson_bounds(rate=events / n, n=n / effect, z=critical(level))
    method = "Wilson score interval" + ("" if persons is None else f", n divided by the design effect {effect:.2f}")
    return Estimate(value=events / n, low=low, high=high, level=level, n=n, events=events, method=method)


def _newcombe(inside: Estimate, outside: Estimate, *, level: float) -> Estimate:
    bounded = [_bounded(rate) for rate in (inside, outside)]
    if bounded[0] is None or bounded[1] is None:
        return Estimate(value=None, level=level, withheld=inside.withheld or outside.withheld)
    apart = difference(bounded[0], bounded[1])
    n = (inside.n or 0) + (outside.n or 0)
    method = "Newcombe's interval (Wilson)"
    return Estimate(value=apart.value, low=apart.low, high=apart.high, level=level, n=n, method=method)


def _bounded(rate: Estimate) -> Bounded | None:
    if rate.value is None or rate.low is None or rate.high is None:
        return None
    return Bounded(rate.value, rate.low, rate.high)


def _effect(outcome: Floats, persons: Ints) -> float:
    """Factor by which repeated persons widen the variance of a rate; at least 1."""
    _, code = np.unique(persons, return_inverse=True)
    trials, events = np.bincount(code), np.bincount(code, weights=outcome).astype(np.int64)
    return design_effect(events=events, trials=trials, counts=np.ones_like(trials))


def _score(mask: Mask, outcome: Floats, persons: Ints) -> float:
    """Standard score of the difference of the rates, with residuals under equality summed over persons."""
    share = float(mask.mean())
    if share in (0.0, 1.0):
        return 0.0
    residual = (mask - share) * (outcome - outcome.mean())
    _, code = np.unique(persons, return_inverse=True)
    total = np.bincount(code, weights=residual)
    spread = float(np.sqrt((total**2).sum()))
    return float(residual.sum()) / spread if spread > 0 else 0.0
