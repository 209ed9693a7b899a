"""How well an attack tells members from non-members: AUC, success at low false-positive rates, the curve.

The threshold of each false-positive rate is set on one random half of the non-members (whole persons) and
both rates are measured elsewhere: the false-positive rate on the other half, the true-positive rate on the
members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from typing import Final

import numpy as np

from auditkit.privacy.clustered import auc_variance, repeats
from auditkit.privacy.disclosure import published_rate, rows_per_person
from auditkit.privacy.membership import Scores
from auditkit.result import Estimate, Point, ResolutionRow, Series
from auditkit.stats import roc
from auditkit.stats.intervals import critical
from auditkit.subject.persons import support
from auditkit.subject.types import Ints, Mask

EXPECTED_FALSE_POSITIVES: Final = 10
"""False positives the measuring split must be expected to hold before a rate is judged."""
CURVE_POINTS: Final = 60


@dataclass(frozen=True)
class Sides:
    """Person codes of members [N] and non-members [K] in one numbering; None: each record its own person."""

    members: Ints | None
    nonmembers: Ints | None


def needed(false_positive_rate: float) -> int:
    """Non-members the measuring split needs: the least n with n x FPR >= 10 (rounded against float dust)."""
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
    scores: Scores, sides: Sides, setting: Mask, rates: Sequence[float], *, level: float, minimum: int
) -> tuple[ResolutionRow, ...]:
    """True-positive rate and realised false-positive rate at each rate that the data resolve.

    Args:
        scores: the attack's scores.
        sides: person codes.
        setting: [K] non-members that set the threshold, less those on which the attack was fitted; the others measure.
        rates: false-positive rates, each in (0, 1).
        level: coverage of each interval (not simultaneous over the rates).
        minimum: minimum cell.

    A rate is judged only if at least 10 false positives are expected in the measuring half; otherwise both
    estimates have no value and the row tells how many measuring records would be needed. The threshold itself
    is random: with few setting records the realised rate strays from the nominal one, which is why it is
    reported with its interval. Discrete scores realise at most the nominal rate on the setting half, because
    "above" is strict.
    """
    return tuple(_one_rate(scores, sides, setting, fpr, level=level, minimum=minimum) for fpr in rates)


def _one_rate(scores: Scores, sides: Sides, setting: Mask, fpr: float, *, level: float, minimum: int) -> ResolutionRow:
    """One row of `resolution`."""
    aims = setting if scores.fitted is None else setting & ~scores.fitted
    measuring, least = int((~setting).sum()), needed(fpr)
    if measuring < least or not aims.any() or _persons(scores, sides) < minimum:
        reason = f"at a false-positive rate of {fpr!r} the measuring half needs at least {least:,} non-members"
        if measuring >= least:
            reason = _few(minimum)
        missing = Estimate(value=None, level=level, withheld=reason)
        return ResolutionRow(
            false_positive_rate=fpr, tpr=missing, realised_fpr=missing,
            expected_false_positives=measuring * fpr, needed_n=least if measuring < least else None,
        )  # fmt: skip
    threshold = roc.threshold_at_fpr(scores.nonmembers[aims], fpr)
    measured = scores.nonmembers[~setting] > threshold
    others = None if sides.nonmembers is None else sides.nonmembers[~setting]
    return ResolutionRow(
        false_positive_rate=fpr,
        tpr=published_rate(scores.members > threshold, sides.members, level=level, minimum=minimum),
        realised_fpr=published_rate(measured, others, level=level, minimum=minimum),
        expected_false_positives=measuring * fpr,
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
    kept = ~scores.fitted
    others = None if sides.nonmembers is None else sides.nonmembers[kept]
    return Scores(scores.members, scores.nonmembers[kept]), Sides(sides.members, others)


def _persons(scores: Scores, sides: Sides) -> int:
    """Persons on the smaller side."""
    members = support(np.ones(len(scores.members), dtype=np.bool_), sides.members)
    return min(members, support(np.ones(len(scores.nonmembers), dtype=np.bool_), sides.nonmembers))


def _few(minimum: int) -> str:
    """Why nothing is said about so small a side."""
    return f"fewer than {minimum} persons or records on one side"
