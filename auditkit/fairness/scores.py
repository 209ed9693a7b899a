"""Scores by group: how well they tell the labels apart, how far the groups' means are apart, and their distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from auditkit.fairness.scored import Scored, compared, rows
from auditkit.result import Estimate, Measurement, Point, Series
from auditkit.stats import roc, weighted
from auditkit.stats.clusters import variance
from auditkit.stats.intervals import critical
from auditkit.stats.mover import Bounded, difference
from auditkit.subject.types import Floats, Mask

EDGES = np.linspace(0.0, 1.0, 11)


def measurements(scored: Scored) -> Iterator[Measurement]:
    """`fairness.auc` of every group; its difference and the standardised difference of scores to the reference."""
    family = f"simultaneous over the {sum(not scored.why_not(g) for g in scored.groups)} groups (Šidák)"
    reference = scored.setting.reference

    def auc(group: int, level: float) -> Estimate:
        found = area(scored, group, level)
        return found.model_copy(update={"method": f"{found.method}, {family}"})

    def apart(group: int, level: float) -> Estimate:
        own, base = (_bounded(area(scored, g, level)) for g in (group, reference))
        n = int(scored.of(group).sum() + scored.of(reference).sum())
        made = difference(own, base)
        method = "MOVER from the two DeLong intervals, simultaneous over the groups (Šidák)"
        return Estimate(value=made.value, low=made.low, high=made.high, level=level, n=n, method=method)

    def smd(group: int, level: float) -> Estimate:
        return standardised(scored, group, level)

    yield from rows(scored, "auc", auc, unit="score", bounds=(0.0, 1.0))
    if scored.setting.grouping.name:
        yield from compared(scored, "auc_difference", apart, unit="points", bounds=(-1.0, 1.0))
        yield from compared(scored, "standardised_difference", smd, unit="score", bounds=(-math.inf, math.inf))


def area(scored: Scored, group: int, level: float) -> Estimate:
    """AUC of one group, with DeLong's interval; persons are kept together where they repeat."""
    own = scored.of(group)
    hits, misses = own & (scored.truth == 1), own & (scored.truth == 0)
    if scored.weights is not None:
        return _weighted_area(scored, group, hits, misses, level)
    persons = (scored.persons[hits], scored.persons[misses]) if scored.setting.cells.repeats else None
    return roc.auc(positives=scored.score[hits], negatives=scored.score[misses], level=level, persons=persons)


def _weighted_area(scored: Scored, group: int, hits: Mask, misses: Mask, level: float) -> Estimate:
    """AUC of weighted records; the variance is the larger of two, see `stats.weighted`."""
    both = (hits, misses)
    w, persons = (scored.weigh(hits), scored.weigh(misses)), (scored.persons[hits], scored.persons[misses])
    found = weighted.area(*(scored.score[part] for part in both), weights=w, persons=persons)
    low, high = weighted.limits(found, z=critical(level), size=scored.effective(group))
    method = f"DeLong variance of weighted records{_over(scored)}, interval on the logit scale"
    n = int(hits.sum() + misses.sum())
    return Estimate(value=found.value, low=low, high=high, level=level, n=n, method=method)


def _over(scored: Scored) -> str:
    return " over persons" if scored.setting.cells.repeats else ""


def standardised(scored: Scored, group: int, level: float) -> Estimate:
    """(mean of the group - mean of the reference) / s, s² the mean of the two variances.

    Cohen (1988) with the average variance (Austin, Stat. Med. 28 (2009) 3083). The interval is symmetric, its variance
    from influence values: no normal scores are assumed, and persons are kept together. Wrong for scores that are
    nearly constant in both groups: s then rests on a few records.
    """
    parts = [scored.of(g) for g in (group, scored.setting.reference)]
    own, base = (scored.score[part] for part in parts)
    w = [scored.weigh(part) * part.sum() / scored.weigh(part).sum() for part in parts]
    if scored.weights is None:
        middle, spread = (own.mean(), base.mean()), (own.var(), base.var())
    else:
        middle = np.average(own, weights=w[0]), np.average(base, weights=w[1])
        spread = (
            np.average((own - middle[0]) ** 2, weights=w[0]),
            np.average((base - middle[1]) ** 2, weights=w[1]),
        )
    n = int(own.size + base.size)
    s = math.sqrt((spread[0] + spread[1]) / 2)
    if s == 0:
        return Estimate(value=None, level=level, withheld="not estimable: the scores of both groups are constant")
    d = float(middle[0] - middle[1]) / s
    moved = np.concatenate(
        [
            _moved(x, m, v, d=sign * d, s=s) * sign * share
            for x, m, v, sign, share in zip((own, base), middle, spread, (1, -1), w, strict=True)
        ]
    )
    persons = np.concatenate([scored.persons[part] for part in parts])
    half = critical(level) * math.sqrt(variance(moved, persons=persons))
    by = " of weighted records" * (scored.weights is not None) + _over(scored)
    method = f"variance from influence values{by}, simultaneous over the groups (Šidák)"
    return Estimate(value=d, low=d - half, high=d + half, level=level, n=n, method=method)


def _moved(x: Floats, mean: float, spread: float, *, d: float, s: float) -> Floats:
    """Influence of each record on (mean - ...) / s."""
    return np.asarray(((x - mean) / s - d / (4 * s * s) * ((x - mean) ** 2 - spread)) / x.size, dtype=np.float64)


def distribution(scored: Scored, group: int) -> Series:
    """Share of the group's records below each tenth of the scale; every step holds no record, or the minimum cell.

    Edges that would part fewer are left out, so no count below the minimum follows from two shares.
    """
    own = scored.of(group)
    values, persons, w = scored.score[own], scored.persons[own], scored.weigh(own)
    points, last = [Point(x=0.0, y=0.0)], 0.0
    for edge in EDGES[1:].tolist():
        below = (values < edge) if edge < 1 else np.ones(values.size, dtype=bool)
        inside, rest = below & (values >= last), ~below
        few = any(0 < np.unique(persons[part]).size < scored.setting.minimum_cell for part in (inside, rest))
        if not few:
            points.append(Point(x=round(edge, 6), y=float(below @ w / w.sum())))
            last = edge
    return Series(
        name="Score distribution", x_label="Score", y_label="Share of records below", points=tuple(points),
        n=int(values.size), method=f"every step holds no record or at least {scored.setting.minimum_cell} persons",
    )  # fmt: skip


def _bounded(estimate: Estimate) -> Bounded:
    ends = estimate.value, estimate.low, estimate.high
    return Bounded(*(float("nan") if end is None else end for end in ends))
