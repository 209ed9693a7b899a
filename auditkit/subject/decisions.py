"""Where a score meets the decision threshold: one comparison, in the score's own precision, for every door.

A score is the favourable decision if it is at least the threshold t, both in the precision p of the score:

    decision = 1 if score >= t_p else 0,    t_p = t rounded to the nearest number of precision p

So a float32 score that prints as 0.7 is at least 0.7, as numpy has it for a float32 array and a Python number (NEP 50),
though as a float64 it is 0.699999988. float32 numbers that were copied into a float64 array are known by this: every
one of them is a float32 number. Numbers of 11 binary digits or fewer (float16, bfloat16) are *not* known by their
values, because shares of few votes (k of 1,024 trees) look the same: theirs is the dtype's, or stated.
Wrong when: a float64 model gives float32 numbers only, and one of them is the threshold's float32 neighbour from below.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auditkit.policy.schema import Model
from auditkit.subject.types import Floats

DEFAULT_THRESHOLD: Final = 0.5
"""Decides where neither the policy states a threshold nor the model decides by itself."""


def threshold_of(model: Model) -> float:
    """The threshold that a policy states, else the default: for a model that gives scores and does not decide."""
    return DEFAULT_THRESHOLD if model.threshold is None else model.threshold


def least_score(threshold: float, precision: str) -> float:
    """The threshold in a precision: the least score of that precision that is favourable.

    >>> least_score(0.7, "float64"), round(least_score(0.7, "float32"), 9), least_score(0.7, "bfloat16")
    (0.7, 0.699999988, 0.69921875)

    Args:
        threshold: in [0, 1].
        precision: `float16`, `bfloat16`, `float32`; every other name is that of a precision of 64 bits or more.
    """
    if precision == "float16":
        return float(np.float16(threshold))
    if precision == "float32":
        return float(np.float32(threshold))
    if precision == "bfloat16":
        # A bfloat16 number is the upper half of a float32 number; halves are rounded to the even one.
        bits = int(np.float32(threshold).view(np.uint32))
        upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
        return float(np.uint32(upper).view(np.float32))
    return threshold


def precision_of(score: NDArray[np.floating[Any]]) -> str:
    """The precision of scores: the dtype's, and float32 for float64 numbers that are float32 numbers throughout."""
    if score.dtype != np.float64:
        return score.dtype.name
    with np.errstate(over="ignore"):
        return "float32" if np.array_equal(score.astype(np.float32), score, equal_nan=True) else "float64"


def native_precision(score: Floats) -> NDArray[np.floating[Any]]:
    """Scores as the numbers that row filters compare: float32 where they are float32 numbers throughout.

    A filter `score >= 0.7` then passes the records that a threshold of 0.7 decides for.
    """
    return score.astype(np.float32) if precision_of(score) == "float32" else score


def decisions_at(score: NDArray[np.floating[Any]], threshold: float, *, precision: str | None = None) -> Floats:
    """Decisions, 1.0 where a score is at least the threshold and 0.0 elsewhere (also where it is NaN); same shape.

    Args:
        score: of the favourable outcome, in the precision in which the model gave it.
        threshold: in [0, 1].
        precision: of the scores where their dtype does not show it; None goes by `precision_of`.
    """
    known = precision_of(score) if precision is None else precision
    favourable: Floats = (score.astype(np.float64) >= least_score(threshold, known)).astype(np.float64)
    return favourable
