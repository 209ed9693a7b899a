"""Outsized self-influence: which training records the model rests on for their own sake. A ranking, uncalibrated.

The rule and why. Self-influence is a quadratic form g' H^-1 g in the record's gradient. If the gradient were
about normal over records it would follow a scaled (mixed) chi-square law, and the cube root of such a
variable is close to normal (Wilson & Hilferty, PNAS 1931). So the rule takes cube roots and flags a modified
z-score above 3.5, z = 0.6745 (x - median) / MAD (Iglewicz & Hoaglin 1993): it asks who lies beyond what a
quadratic form of ordinary records would give. On raw values the same cut-off flags the tail of any chi-square
law; on logarithms its long lower tail hides every record. On the
sample lender (logistic model, 4,000 training records, 20 of them planted to be memorised) the three choices flag 622
records raw, none by logarithm, and 20 by cube root, 19 of them planted.

What it is not. No outlier rule tests membership: it says "unlike the other training records", and its share
depends on the transform. Measured elsewhere, such a rule on raw self-influence accused about 5 % of the
records of a model that leaked nothing measurable, and a third of those of one that did. Final self-influence
finds records that are hard to fit; easy-to-fit outliers, which are exposed more often, and near-duplicates,
whose copies carry each other, it misses. Hence `calibration="uncalibrated"`: a rank and a reason to look,
never a probability and never a clearance. `screen_quality` measures on retrained models what the marks are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from auditkit.errors import NumericsError
from auditkit.privacy.composition import compose
from auditkit.privacy.disclosure import isolates, published_rate, small
from auditkit.result import Measurement, Point, Screen, Series
from auditkit.subject.types import Floats, Grouping, Ints, Mask

CUTOFF: Final = 3.5
MEASURE: Final = "privacy.screen_share"
RULE: Final = (
    f"a modified z-score above {CUTOFF} of the cube root of self-influence (median and median absolute "
    "deviation over the training records). An outlier rule: it marks records unlike the others, not records "
    "shown to be exposed."
)
GRID_PER_DECADE: Final = 10


@dataclass(frozen=True)
class Screened:
    """The public part and the restricted arrays of the screen."""

    public: Screen
    rank: Ints | None = None
    """[N] 1 for the largest self-influence; ties share the smaller rank."""
    flag: Mask | None = None
    """[N]"""


def screen(
    self_influence: Floats | None,
    *,
    absent: str,
    labels: Floats | None,
    groupings: Mapping[str, Grouping],
    persons: Ints | None,
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
        level: coverage of the intervals.
        minimum: minimum cell.

    Raises:
        NumericsError: a self-influence is not finite or below zero.
    """
    if self_influence is None or labels is None:
        return Screened(Screen(status="not-applicable", reason=absent, rule=RULE))
    _check(self_influence)
    rank = ranks(self_influence)
    edge = cut(self_influence)
    if edge is None:
        reason = "more than half of the records share one self-influence: the rule has no scale to measure by"
        return Screened(Screen(status="withheld", reason=reason, rule=RULE, n=_shown(len(rank), minimum)), rank)
    flag = np.asarray(self_influence > edge, dtype=np.bool_)
    flagged = published_rate(flag, persons, level=level, minimum=minimum)
    by_group, rows = compose(
        flag,
        groupings=groupings,
        favourable=np.asarray(labels == 1.0),
        persons=persons,
        level=level,
        minimum=minimum,
        measure=MEASURE,
    )
    public = Screen(
        status="assessed",
        rule=RULE,
        cut=_in_medians(edge, self_influence) if len(flag) >= minimum else None,
        n=_shown(len(flag), minimum),
        flagged=flagged,
        by_group=by_group,
        tail=tail(self_influence, flag, persons, minimum=minimum),
        by=rows,
    )
    return Screened(public, rank, flag)


def measurements(public: Screen) -> tuple[Measurement, ...]:
    """The screen's rows for rules and tables: the share flagged over all, then by group."""
    if public.flagged is None:
        return ()
    note = f"{public.calibration}: an outlier rule, not a membership risk"
    whole = Measurement(measure=MEASURE, unit="share", estimate=public.flagged, parts=(note,))
    return (whole, *public.by_group)


def ranks(self_influence: Floats) -> Ints:
    """Rank [N], 1 for the largest; ties share the smaller rank."""
    ordered = np.sort(-self_influence)
    return (np.searchsorted(ordered, -self_influence, side="left") + 1).astype(np.int64)


def cut(self_influence: Floats) -> float | None:
    """Self-influence above which RULE flags: (median + 3.5 MAD / 0.6745)^3 of the cube roots; None when MAD is 0."""
    roots = np.cbrt(self_influence)
    centre = np.median(roots)
    spread = np.median(np.abs(roots - centre))
    return None if spread == 0 else float((centre + CUTOFF * spread / 0.6745) ** 3)


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


def _in_medians(edge: float, self_influence: Floats) -> float | None:
    """The cut on the tail's axis; None when the median is 0."""
    median = float(np.median(self_influence))
    return edge / median if median > 0 else None


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
