"""The strongest of all attacks that were run: what the measures that name no attack mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from auditkit.policy.measures import STRONGEST_AUC as AUC
from auditkit.policy.measures import tpr_at_fpr
from auditkit.privacy import strength
from auditkit.privacy.membership import Attack, Scores
from auditkit.privacy.strength import Sides
from auditkit.result import Estimate, Measurement
from auditkit.stats import operating, roc
from auditkit.stats.largest import joint_level
from auditkit.subject.types import Floats, Ints

SIMULTANEOUS: Final = (
    "the largest of {count} attacks; its interval is simultaneous over them: the lower limit by the joint law of the "
    "attacks on the same records, the upper limit the largest of all; each by {method}"
)


def absent(rates: Sequence[float], reason: str, *, level: float) -> tuple[Measurement, ...]:
    """The rows where no attack was run, and why."""
    nothing = Estimate(value=None, level=level, withheld=reason)
    return (_row(AUC, nothing, unit="score"), *(_row(tpr_at_fpr(rate), nothing) for rate in rates))


def measurements(
    attacks: Mapping[str, Attack], scores: Mapping[str, Scores], sides: Sides, rates: Sequence[float], *, level: float,
    minimum: int,
) -> tuple[Measurement, ...]:  # fmt: skip
    """The strongest attack's AUC and its true-positive rate at each false-positive rate; each row names the attack.

    Args:
        attacks: the attacks by name, in the order in which equals are named.
        scores: of those that were run; at least one. sides: person codes.
        rates: false-positive rates. level: coverage of each row's interval. minimum: minimum cell.

    Attacks are compared by what they measured, and an attack that a rate does not resolve is left out and named.
    """
    titles = {name: attacks[name].title for name in attacks if name in scores}
    rows = [_area(titles, scores, sides, level=level, minimum=minimum)]
    rows += [_rate(titles, scores, sides, rate, level=level, minimum=minimum) for rate in rates]
    return tuple(rows)


def _area(
    titles: Mapping[str, str], scores: Mapping[str, Scores], sides: Sides, *, level: float, minimum: int
) -> Measurement:
    """The largest AUC."""

    def taken(name: str, at: float) -> Estimate:
        return strength.area(scores[name], sides, level=at, minimum=minimum)

    found = {name: taken(name, level) for name in titles}
    values = {name: one.value for name, one in found.items() if one.value is not None}
    if not values:
        return _row(AUC, next(iter(found.values())), unit="score")
    pulls = [
        _spread(scores[name], *roc.auc_pulls(positives=scores[name].members, negatives=_free(scores[name])))
        for name in values
    ]
    estimate, name = _largest(values, pulls, _pooled(sides), taken, level=level)
    return _row(AUC, estimate, unit="score", parts=_told(titles, name, tuple(values)))


def _rate(
    titles: Mapping[str, str], scores: Mapping[str, Scores], sides: Sides, fpr: float, *, level: float, minimum: int
) -> Measurement:
    """The largest true-positive rate at `fpr`."""
    measure = tpr_at_fpr(fpr)
    found = {name: strength.operating(scores[name], sides, fpr, minimum=minimum) for name in titles}
    points = {name: point for name, point in found.items() if point is not None}
    if not points:
        first = scores[next(iter(titles))]
        (row,) = strength.resolution(first, sides, (fpr,), level=level, minimum=minimum)
        return _row(measure, row.tpr)

    def taken(name: str, at: float) -> Estimate:
        return strength.success(points[name], scores[name], sides, level=at, minimum=minimum)

    pulls = [
        _spread(scores[name], *operating.pulls(point, operating.reach(point, level=level).slope))
        for name, point in points.items()
    ]
    values = {name: point.value for name, point in points.items()}
    estimate, name = _largest(values, pulls, _pooled(sides), taken, level=level)
    return _row(measure, estimate, parts=_told(titles, name, tuple(points)))


def _largest(
    values: Mapping[str, float],
    pulls: Sequence[Floats],
    persons: Ints | None,
    taken: Callable[[str, float], Estimate],
    *,
    level: float,
) -> tuple[Estimate, str]:
    """The strongest attack's estimate with the interval of the largest true figure, and the attack's name."""
    strongest = max(values, key=lambda name: values[name])
    own = {name: taken(name, level) for name in values}
    if len(values) == 1:
        return own[strongest], strongest
    together = joint_level(pulls, level=level, persons=persons)
    low = max(_limit(taken(name, together).low, 0.0) for name in values)
    high = max(_limit(one.high, 1.0) for one in own.values())
    best = own[strongest]
    method = SIMULTANEOUS.format(count=len(values), method=best.method)
    return best.model_copy(update={"low": low, "high": high, "method": method}), strongest


def _told(titles: Mapping[str, str], strongest: str, compared: Sequence[str]) -> tuple[str, ...]:
    """Which attack it is, of how many, and which could not be compared."""
    count = len(compared)
    first = f"the only attack measured: {titles[strongest]}"
    if count > 1:
        first = f"the strongest of the {count} attacks measured: {titles[strongest]}"
    left = [title for name, title in titles.items() if name not in compared]
    return (first, f"not resolved for {', '.join(left)}") if left else (first,)


def _spread(scores: Scores, members: Floats, others: Floats) -> Floats:
    """Pulls [N + K] over all records: 0 for the non-members on which the attack was fitted."""
    everyone = np.zeros(len(scores.nonmembers))
    everyone[scores.free] = others
    return np.concatenate([members, everyone])


def _free(scores: Scores) -> Floats:
    """Scores of the non-members on which the attack was not fitted."""
    return scores.nonmembers[scores.free]


def _pooled(sides: Sides) -> Ints | None:
    """Person codes of members, then non-members."""
    if sides.members is None or sides.nonmembers is None:
        return None
    return np.concatenate([sides.members, sides.nonmembers])


def _limit(bound: float | None, otherwise: float) -> float:
    return otherwise if bound is None else bound


def _row(measure: str, estimate: Estimate, *, unit: str = "rate", parts: tuple[str, ...] = ()) -> Measurement:
    return Measurement.model_validate({"measure": measure, "unit": unit, "estimate": estimate, "parts": parts})
