"""By what training records can be ranked besides final self-influence and loss, as far as a model gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from auditkit.subject.types import Floats

if TYPE_CHECKING:
    from auditkit.subject.trajectory import Course

SELF: Final = "self-influence"
TRAJECTORY: Final = "trajectory self-influence (TracIn-CP)"
IQR: Final = "interquartile range of the loss trace (LT-IQR)"
NORM: Final = "gradient norm"
LEVERAGE: Final = "leverage"
LOSS: Final = "loss"
UNKNOWN: Final = "not known for this model"


@dataclass(frozen=True)
class Traced:
    """What the model's gradients and its training say of every training record, or why they say nothing.

    - `course`: from the training carried out again (`subject.trajectory`); only its developer has it.
    - `gradient_norm` [N]: |grad l_n| at the audited parameters; self-influence with the identity for a curvature.
    - `leverage` [N]: largest eigenvalue of the record's share of the curvature, w_n/N S' J H^-1 J' S, J the Jacobian
      of its outputs and S S' the loss's curvature in them: self-influence with the residual taken out. For a logistic
      model it is w p(1-p) x' H^-1 x / N. Undefined where the influence estimator takes no record out of its curvature.
    """

    course: Course | None = None
    no_course: str = UNKNOWN
    gradient_norm: Floats | None = None
    no_gradient_norm: str = UNKNOWN
    leverage: Floats | None = None
    no_leverage: str = UNKNOWN


NOTHING_TRACED: Final = Traced()


def arrays(ranked: Mapping[str, Floats]) -> dict[str, Floats]:
    """The rankings beside self-influence and loss, for restricted evidence, by name of the array."""
    names = {TRAJECTORY: "trajectory_self", IQR: "loss_trace_iqr", NORM: "gradient_norm", LEVERAGE: "leverage"}
    return {f"ranking_{key}": ranked[name] for name, key in names.items() if name in ranked}


def rankings(
    traced: Traced, *, self_influence: Floats | None, loss: Floats | None
) -> tuple[dict[str, Floats], tuple[tuple[str, str], ...]]:
    """Rankings [N] by name, largest most at risk, self-influence first and loss last; then those absent, and why.

    LT-IQR: upper less lower quartile of the record's loss over checkpoints (Pollock et al., arXiv 2411.05743);
    TracIn-CP: Pruthi et al. 2020. Neither exists for a model that was solved to its optimum at once.
    """
    course, members = traced.course, 0 if loss is None else len(loss)
    iqr = None
    if course is not None:
        upper, lower = np.percentile(course.loss[:, :members], [75, 25], axis=0)
        iqr = np.asarray(upper - lower, dtype=np.float64)
    every: dict[str, tuple[Floats | None, str]] = {
        SELF: (self_influence, UNKNOWN),
        TRAJECTORY: (None if course is None else course.own, traced.no_course),
        IQR: (iqr, traced.no_course),
        NORM: (traced.gradient_norm, traced.no_gradient_norm),
        LEVERAGE: (traced.leverage, traced.no_leverage),
        LOSS: (loss, UNKNOWN),
    }
    found = {name: values for name, (values, _) in every.items() if values is not None}
    return found, tuple((name, why) for name, (values, why) in every.items() if values is None)
