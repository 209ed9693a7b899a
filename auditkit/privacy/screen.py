"""Outsized self-influence: which training records the model rests on for their own sake, by a test against the reserve.

The largest self-influences of a model that memorises nothing have a tail too: an outlier rule on the training records
marked a third of those of a network that memorises all of them. So each training record is held against the
self-influence that reserve records would have at the same curvature had they been learned from (`influence.unseen`),
with a fitted tail beyond the largest of these (`tails`), and marked where it survives Benjamini-Hochberg over all
training records at the policy's level. Without a reserve, or where the estimator gives no such reference, the records
are ranked and none is marked.

What it is not. Self-influence is no membership probability. It finds records that are hard to fit; easy-to-fit
outliers, which are exposed more often, and near-duplicates, whose copies carry each other, it misses. `screen_quality`
measures on retrained models what the marks are worth. Records of one person count one by one. Wrong where the reserve
is of another population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.privacy.composition import compose
from auditkit.privacy.disclosure import isolates, published_rate, small
from auditkit.privacy.tails import tail_p
from auditkit.privacy.whom import Piece, shares_by_slice
from auditkit.result import Estimate, Measurement, Point, Screen, Series
from auditkit.subject.types import Floats, Grouping, Ints, Mask

MEASURE: Final = "privacy.screen_share"
RANKED: Final = "Records are ranked by self-influence, and none is marked."
NO_REFERENCE: Final = (
    "insufficient evidence: whether a self-influence is outsized is judged against records that the model did not "
    "learn from, and there is no labelled reserve, or the influence estimator gives no self-influence of such records"
)
LEAST_REFERENCE: Final = 30
"""Reserve records below which nothing is marked."""
GRID_PER_DECADE: Final = 10


@dataclass(frozen=True)
class Reference:
    """What training records are held against, and how."""

    self_influence: Floats
    """[K] what reserve records would have, had the model learned from them; the unit of the training records'."""
    level: float
    """Of Benjamini-Hochberg over all training records: the policy's."""
    generator: np.random.Generator
    """Draws bootstrap samples of the tail."""


@dataclass(frozen=True)
class Screened:
    """The public part and the restricted arrays of the screen."""

    public: Screen
    rank: Ints | None = None
    """[N] 1 for the largest self-influence; ties share the smaller rank."""
    flag: Mask | None = None
    """[N]"""
    p: Floats | None = None
    """[N]"""
    reference: Floats | None = None
    """[K] self-influence of the reserve."""


def screen(
    self_influence: Floats | None,
    *,
    absent: str,
    labels: Floats | None,
    groupings: Mapping[str, Grouping],
    persons: Ints | None,
    reference: Reference | None = None,
    slices: Sequence[Piece] = (),
    level: float,
    minimum: int,
) -> Screened:
    """Rank and flag the training records by self-influence, and say who is flagged as aggregates.

    Args:
        self_influence: [N] at least 0, any unit; None when it could not be computed.
        absent: why it could not be computed.
        labels: [N] 1.0 favourable, 0.0 not; None when there are no training records.
        groupings: protected attributes and intersections, codes [N].
        persons: [N] person codes, or None.
        reference: of the reserve; None: nothing is marked. slices: the policy's filters on training records.
        level: coverage of the intervals.
        minimum: minimum cell.

    Raises:
        NumericsError: a self-influence is not finite or below zero.
    """
    if self_influence is None or labels is None:
        return Screened(Screen(status="not-applicable", reason=absent, rule=RANKED))
    _check(self_influence)
    rank = ranks(self_influence)
    if reference is None or len(reference.self_influence) < LEAST_REFERENCE:
        nobody = np.zeros(len(rank), dtype=np.bool_)
        few = f"insufficient evidence: the reserve holds fewer than {LEAST_REFERENCE} records"
        reason = NO_REFERENCE if reference is None else few
        public = Screen(
            status="assessed", rule=RANKED, n=_shown(len(rank), minimum),
            flagged=Estimate(value=None, level=level, withheld=reason),
            tail=tail(self_influence, nobody, persons, minimum=minimum),
        )  # fmt: skip
        return Screened(public, rank)
    others = reference.self_influence
    _check(others)
    p = tail_p(self_influence, others, reference.generator)
    flag = np.asarray(stats.false_discovery_control(p, method="bh") <= reference.level, dtype=np.bool_)
    flagged = published_rate(flag, persons, level=level, minimum=minimum)
    favourable = np.asarray(labels == 1.0)
    by_group, rows = compose(
        flag, groupings=groupings, favourable=favourable, persons=persons, level=level, minimum=minimum,
        measure=MEASURE,
    )  # fmt: skip
    public = Screen(
        status="assessed",
        rule=_rule(reference.level, len(others)),
        cut=_in_medians(self_influence, flag) if len(flag) >= minimum else None,
        n=_shown(len(flag), minimum),
        flagged=flagged,
        by_group=by_group,
        slices=shares_by_slice(
            flag, slices, groupings=groupings, favourable=favourable, persons=persons, level=level, minimum=minimum
        ),
        tail=tail(self_influence, flag, persons, minimum=minimum),
        by=rows,
    )
    return Screened(public, rank, flag, p, others)


def _rule(level: float, count: int) -> str:
    return (
        f"self-influence beyond what the {count:,} records of the reserve would have, had the model learned from them, "
        f"by Benjamini–Hochberg at level {level:g} over all training records; beyond the largest of the reserve by a "
        "generalised Pareto tail. It marks records on which the model rests for their own sake, not records shown to "
        "be exposed."
    )


def measurements(public: Screen) -> tuple[Measurement, ...]:
    """The screen's rows for rules and tables: the share flagged over all, then by group."""
    if public.flagged is None:
        return ()
    note = f"{public.calibration}: a test against the reserve, not a membership risk"
    whole = Measurement(measure=MEASURE, unit="share", estimate=public.flagged, parts=(note,))
    return (whole, *public.by_group)


def ranks(self_influence: Floats) -> Ints:
    """Rank [N], 1 for the largest; ties share the smaller rank."""
    ordered = np.sort(-self_influence)
    return (np.searchsorted(ordered, -self_influence, side="left") + 1).astype(np.int64)


def tail(self_influence: Floats, flag: Mask, persons: Ints | None, *, minimum: int) -> Series | None:
    """Share of records at or above x times the median self-influence, for log-log axes.

    The x are fixed steps (a tenth of a decade), never data values; a step is kept only if the persons above
    it, and those between it and every step kept and the flagged set, number 0 or at least the minimum cell,
    so the curve ends where the last such group ends and shows no extreme. None when the median is 0 or fewer
    than two steps remain.
    """
    median = float(np.median(self_influence))
    if median <= 0:
        return None
    scaled = self_influence / median
    steps = int(np.ceil(np.log10(max(float(scaled.max()), 1.0)) * GRID_PER_DECADE)) + 1
    nobody = np.zeros(len(flag), dtype=np.bool_)
    kept: list[Mask] = [nobody, ~nobody, flag]
    points: list[Point] = []
    for step in reversed(range(steps)):
        x = 10 ** (step / GRID_PER_DECADE)
        above = np.asarray(scaled >= x, dtype=np.bool_)
        if not above.any() or any(isolates(above, other, persons, minimum) for other in kept):
            continue
        kept.append(above)
        points.append(Point(x=x, y=float(above.mean())))
    if len(points) < 2:
        return None
    return Series(
        name="Tail of self-influence",
        x_label="Self-influence, multiples of its median",
        y_label="Share of training records at or above",
        points=tuple(reversed(points)),
        n=len(self_influence),
        method=f"steps that hold fewer than {minimum} persons are merged; the largest values are not shown",
    )


def _in_medians(self_influence: Floats, flag: Mask) -> float | None:
    """Where marks begin on the tail's axis: the middle of the two records about it, on the logarithm; None without."""
    median = float(np.median(self_influence))
    if median <= 0 or not flag.any() or flag.all():
        return None
    edge = np.sqrt(self_influence[flag].min() * max(float(self_influence[~flag].max()), 0.0))
    return float(edge) / median


def _shown(count: int, minimum: int) -> int | None:
    """A count that may be printed."""
    return None if small(count, minimum) else count


def _check(values: Floats) -> None:
    """Self-influence must be finite and not below zero (up to rounding)."""
    if not np.isfinite(values).all():
        message = f"self-influence is not finite for {int((~np.isfinite(values)).sum())} training records"
        raise NumericsError(message)
    if len(values) and float(values.min()) < -1e-9 * float(np.abs(values).max()):
        message = "self-influence is below zero for some training records: the curvature is not positive definite"
        raise NumericsError(message)
