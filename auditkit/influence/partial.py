"""Curvatures fitted on a part of the training records, and how far the scores rest on which part.

Factors and eigenvalues are means over records, so their sampling error falls with the root of their number. The same
curvature is fitted once more on a quarter of the part; with f records fitted, q of them in the quarter, and d the
relative difference between the two sets of scores, the part itself is off by about

    d · sqrt((1/f − 1/N) / (1/q − 1/f))

because the quarter lies inside the part. Wrong when: the error does not fall with the root of the number yet (a factor
wider than the quarter has records); it is then overestimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from auditkit.influence.arithmetic import fast_float32
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.problem import Problem
from auditkit.influence.sampling import thinned
from auditkit.pieces import Nothing
from auditkit.result import Quality

FITTED = 20_000
"""Records from which block curvatures are fitted."""
SETTLED = 0.1
"""Estimated relative error of the scores from fitting on a part above which the report warns."""


def fit_part(problem: Problem, records: int, fit: Callable[[Problem], BlockCurvature]) -> BlockCurvature:
    """Fit on `records` of the problem's records, and on a quarter of these; on all where there are no more.

    Raises:
        Whatever `fit` raises.
    """
    part = thinned(problem, records)
    with fast_float32(problem.targets.device):
        found = fit(part)
        if part is problem:
            return found
        quarter = fit(replace(thinned(part, max(1, records // 4)), keep=Nothing()))
    return replace(found, quarter=quarter)


def fit_quality(n: int, part: BlockCurvature, scores: float, own: float | None) -> tuple[Quality, ...]:
    """How far the scores rest on the records that the curvature was fitted on.

    Args:
        n: all records. part: fitted on some of them. scores: relative difference of the slice's scores where it is
            largest, between the part and its quarter. own: the same of self-influence, where it was asked for.
    """
    if part.quarter is None:
        return ()
    fitted, fourth = part.problem.n, part.quarter.problem.n
    if fitted <= fourth:
        text = f"The curvature is fitted on {fitted:,} of {n:,} records, too few to say how far scores rest on them."
        return (Quality(name="records fitted", value=None, text=text, warns=True),)
    factor = (max(0.0, 1 / fitted - 1 / n) / (1 / fourth - 1 / fitted)) ** 0.5
    worst = factor * max(scores, own or 0.0)
    text = (
        f"The curvature is fitted on {fitted:,} of {n:,} records, chosen by content. Fitted on {fourth:,} of these, "
        f"scores differ by {scores:.3f} of their norm for the slice where it is largest"
        + ("" if own is None else f", self-influence by {own:.3f}")
        + f"; against all records the difference is estimated at {worst:.3f}."
    )
    return (Quality(name="records fitted", value=worst, text=text, warns=worst > SETTLED),)
