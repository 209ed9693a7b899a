"""How well an attack tells members from non-members: AUC, success at low false-positive rates, the curve.

The threshold of each false-positive rate is read off all non-members on which the attack was not fitted, and the
interval of the members' rate carries the error of that threshold (`stats.operating`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from typing import Final

import numpy as np

from auditkit.privacy.clustered import auc_variance, exact_limits, repeats
from auditkit.privacy.disclosure import rows_per_person
from auditkit.privacy.membership import Scores
from auditkit.result import Estimate, Point, ResolutionRow, Series
from auditkit.stats import roc
from auditkit.stats.intervals import critical
from auditkit.stats.operating import METHOD, OperatingPoint, joined, operating_point, reach
from auditkit.subject.persons import support
from auditkit.subject.types import Ints, Mask

EXPECTED_FALSE_POSITIVES: Final = 10
"""False positives that the non-members must hold before a rate is judged."""
REALISED: Final = "met on these non-members by construction; exact limits of the threshold's own rate"
CURVE_POINTS: Final = 60


@dataclass(frozen=True)
class Sides:
    """Person codes of members [N] and non-members [K] in one numbering; None: each record its own person."""

    members: Ints | None
    nonmembers: Ints | None


def needed(false_positive_rate: float) -> int:
    """Non-members that a rate needs: the least n with n x FPR >= 10 (rounded against float dust)."""
    return ceil(round(EXPECTED_FALSE_POSITIVES / false_positive_rate, 6))


def area(scores: Scores, sides: Sides, *, level: float, minimum: int) -> Estimate:
    """AUC with DeLong's interval on the logit scale; with Obuchowski's variance where persons repeat.

    Non-members on which the attack was fitted count neither here nor in `curve`.
    """
    scores, sides = _unfitted(scores, sides)
    plain = roc.auc(positives=scores.members, negatives=scores.nonmembers, level=level)
    if _persons(scores, sides) < minimum:
        return Estimate(value=None, level=level, method=plain.method, withheld=_few(minimum))
    value = plain.value
    if sides.members is None or sides.nonmembers is None or value is None or not 0 < value < 1:
        return plain
    if not repeats(sides.members) and not repeats(sides.nonmembers):
        return plain
    variance = auc_variance(
        positives=scores.members,
        negatives=scores.nonmembers,
        persons=(sides.members, sides.nonmembers),
    )
    if variance <= 0:
        return plain
    half = critical(level) * sqrt(variance) / (value * (1 - value))
    centre = log(value / (1 - value))
    low, high = (1 / (1 + exp(-(centre + side * half))) for side in (-1, 1))
    method = "Obuchowski's variance by person, interval on the logit scale"
    return Estimate(value=value, low=low, high=high, level=level, n=plain.n, method=method)


def halve(count: int, persons: Ints | None, generator: np.random.Generator) -> Mask:
    """A random half of `count` records as a mask [count]; records of one person fall on the same side."""
    codes = np.arange(count) if persons is None else np.unique(persons, return_inverse=True)[1]
    order = generator.permutation(int(codes.max(initial=-1)) + 1)
    rows_before = np.cumsum(np.bincount(codes, minlength=len(order))[order])
    chosen = order[rows_before <= count // 2]
    return np.isin(codes, chosen)


def resolution(
    scores: Scores, sides: Sides, rates: Sequence[float], *, level: float, minimum: int
) -> tuple[ResolutionRow, ...]:
    """True-positive rate at each false-positive rate that the data resolve, and where the threshold itself may lie.

    Args:
        scores: the attack's scores. sides: person codes.
        rates: false-positive rates, each in (0, 1).
        level: coverage of each interval (not simultaneous over the rates). minimum: minimum cell.

    A rate is judged only if the non-members hold at least 10 false positives at it; otherwise both estimates have no
    value and the row tells how many would be needed. Among equal scores a coin is tossed, so that every rate is met
    exactly on these non-members; `realised_fpr` says what it may be in their population.
    """
    return tuple(_one_rate(scores, sides, fpr, level=level, minimum=minimum) for fpr in rates)


def operating(scores: Scores, sides: Sides, fpr: float, *, minimum: int) -> OperatingPoint | None:
    """The attacker's rule at a false-positive rate; None where the data do not resolve it.

    Non-members on which the attack was fitted set no threshold.
    """
    scores, sides = _unfitted(scores, sides)
    if len(scores.nonmembers) < needed(fpr) or _persons(scores, sides) < minimum:
        return None
    return operating_point(positives=scores.members, negatives=scores.nonmembers, fpr=fpr)


def success(point: OperatingPoint, scores: Scores, sides: Sides, *, level: float, minimum: int) -> Estimate:
    """The true-positive rate of `point` as it may be printed: a band where it tells of fewer than `minimum` persons.

    Counted are persons whom the rule flags (or passes over); who stands at the threshold counts by the coin's share.
    The band's interval holds that of every rate that it may stand for.
    """
    _, sides = _unfitted(scores, sides)
    codes = (sides.members, sides.nonmembers)
    found = reach(point, level=level, persons=codes)
    total = support(np.ones(len(point.hits), dtype=np.bool_), sides.members)
    flagged = support(point.hits == 1, sides.members)
    flagged_or_tied = support(point.hits > 0, sides.members)
    count = flagged + point.share * (flagged_or_tied - flagged)
    by = ", by person" if repeats(sides.members) or repeats(sides.nonmembers) else ""
    frame = Estimate(value=None, level=level, n=len(point.hits), method=METHOD + by)
    few, most_of_all = 0 < count < minimum, 0 < total - count < minimum
    if not few and not most_of_all:
        return frame.model_copy(update={"value": point.value, "low": found.low, "high": found.high})
    most = min(float((minimum - 1) * rows_per_person(sides.members)), float(total)) / total
    if few:
        ends = (0.0, joined(most, size=float(total), ends=(0.0, most + max(found.ends[1], most)), level=level)[1])
    else:
        near = 1 - most
        ends = (joined(near, size=float(total), ends=(near - 1 + min(found.ends[0], near), 1.0), level=level)[0], 1.0)
    reason = f"fewer than {minimum} {'are' if few else 'are not'} counted; the interval covers every such number"
    return frame.model_copy(
        update={"low": ends[0], "high": ends[1], "method": f"{frame.method}, banded", "withheld": reason}
    )


def _one_rate(scores: Scores, sides: Sides, fpr: float, *, level: float, minimum: int) -> ResolutionRow:
    """One row of `resolution`."""
    point = operating(scores, sides, fpr, minimum=minimum)
    free, least = int(scores.free.sum()), needed(fpr)
    if point is None:
        reason = _few(minimum)
        if free < least:
            reason = f"at a false-positive rate of {fpr!r} at least {least:,} non-members are needed; {free:,} measure"
        missing = Estimate(value=None, level=level, withheld=reason)
        return ResolutionRow(
            false_positive_rate=fpr, tpr=missing, realised_fpr=missing,
            expected_false_positives=free * fpr, needed_n=least if free < least else None,
        )  # fmt: skip
    _, unfitted = _unfitted(scores, sides)
    size = reach(point, level=level, persons=(unfitted.members, unfitted.nonmembers)).negatives
    low, high = exact_limits(fpr * size, size, level=level)
    return ResolutionRow(
        false_positive_rate=fpr,
        tpr=success(point, scores, sides, level=level, minimum=minimum),
        realised_fpr=Estimate(value=fpr, low=low, high=high, level=level, n=free, method=REALISED),
        expected_false_positives=free * fpr,
    )


def curve(scores: Scores, sides: Sides, *, minimum: int) -> Series | None:
    """ROC where all non-members together resolve the false-positive rate; steps of at least `minimum` persons.

    None when fewer than two points can be shown. For log-log axes: no point lies on an axis.
    """
    scores, sides = _unfitted(scores, sides)
    step = minimum * max(rows_per_person(sides.members), rows_per_person(sides.nonmembers))
    points = roc.curve(
        positives=scores.members, negatives=scores.nonmembers, max_points=CURVE_POINTS, minimum_count=step
    )
    floor = EXPECTED_FALSE_POSITIVES / len(scores.nonmembers)
    shown: tuple[Point, ...] = tuple(point for point in points if point.x >= floor and point.y > 0)
    if len(shown) < 2:
        return None
    return Series(
        name="Attack ROC",
        x_label="False-positive rate",
        y_label="True-positive rate",
        points=shown,
        n=len(scores.members) + len(scores.nonmembers),
        method=f"all members and non-members; each step holds none or at least {minimum} persons of a side",
    )


def _unfitted(scores: Scores, sides: Sides) -> tuple[Scores, Sides]:
    """Without the non-members on which the attack was fitted: on them it would look better than it is."""
    if scores.fitted is None:
        return scores, sides
    kept = scores.free
    others = None if sides.nonmembers is None else sides.nonmembers[kept]
    return Scores(scores.members, scores.nonmembers[kept]), Sides(sides.members, others)


def _persons(scores: Scores, sides: Sides) -> int:
    """Persons on the smaller side."""
    members = support(np.ones(len(scores.members), dtype=np.bool_), sides.members)
    return min(members, support(np.ones(len(scores.nonmembers), dtype=np.bool_), sides.nonmembers))


def _few(minimum: int) -> str:
    """Why nothing is said about so small a side."""
    return f"fewer than {minimum} persons or records on one side"
