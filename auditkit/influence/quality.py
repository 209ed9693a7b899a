"""Figures by which an influence run reports its own quality: coverage, convergence, form, sensitivity to damping."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auditkit.influence.curvature import Curvature
from auditkit.influence.decay import weight_decay
from auditkit.influence.iterative import IterativeCurvature
from auditkit.influence.measures import Evaluation, objective_gradient
from auditkit.influence.problem import Problem
from auditkit.influence.scoring import Form, Scores, score
from auditkit.result import Quality

CONVERGED = 1.0
"""Distance to the optimum, in typical single-record removals, above which the report warns."""
STABLE = 0.8
"""Rank overlap across a decade of damping below which the report warns."""


def assess_quality(
    problem: Problem, curvature: Curvature, evaluation: Evaluation, scores: Scores, *, minimum: int
) -> tuple[Quality, ...]:
    """All quality figures of one run, each with its sentence; `minimum` is the smallest count of records told."""
    gradient = objective_gradient(problem) if scores.gradient is None else scores.gradient
    return (
        coverage(problem, curvature),
        *convergence(problem, curvature, scores, gradient),
        weight_decay(problem, gradient),
        step_form(curvature, scores),
        sensitivity(problem, curvature, evaluation, scores.form),
        *curvature.quality(),
        *scores.quality,
        *self_influence_check(scores, minimum=minimum),
        *left_out(scores, minimum=minimum),
    )


def coverage(problem: Problem, curvature: Curvature) -> Quality:
    """Share of the trainable parameters that the curvature covers."""
    share = curvature.covered / problem.layout.size
    text = f"The curvature covers {curvature.covered:,} of {problem.layout.size:,} trainable parameters."
    return Quality(name="parameters covered", value=share, text=text, warns=share < 1)


def convergence(
    problem: Problem, curvature: Curvature, scores: Scores, gradient: Tensor | None = None
) -> tuple[Quality, Quality]:
    """Gradient norm of F at the trained parameters, and the distance to the optimum in single-record removals.

    The distance is sqrt(gᵀ H⁻¹ g) for the gradient g of F, over the root mean square of the same length for the plain
    step of one record, sqrt(mean (w_n/N)² r_nᵀ J_n H⁻¹ J_nᵀ r_n). Above 1 the model lies further from its optimum than
    removing a typical record would move it, and the theory behind the scores holds less well.
    """
    weights = problem.processes.rows(problem.weights)
    typical = float((scores.plain_self * weights / problem.n).mean())
    return from_optimum(curvature, objective_gradient(problem) if gradient is None else gradient, typical)


def from_optimum(curvature: Curvature, gradient: Tensor, typical: float) -> tuple[Quality, Quality]:
    """The figures of `convergence` from the gradient of F [D] and the mean squared length of a single record's step."""
    ahead = float(gradient @ curvature.solve(gradient.unsqueeze(1))[:, 0])
    what = "Distance of the model from the optimum of its training objective, in multiples of the step that removing "
    what += "one typical record takes"
    norm = Quality(
        name="gradient norm",
        value=float(gradient.norm()),
        text="Norm of the training objective's gradient; 0 at an optimum.",
    )
    return norm, distance_to_optimum(ahead, typical, what)


def distance_to_optimum(ahead: float, typical: float, what: str) -> Quality:
    """The row `distance to optimum` from two squared lengths under an inverse curvature.

    A squared length below 0, which only an inverse that is not positive definite gives, has no root: there is then no
    distance, and the row says so.

    Args:
        ahead: of the gradient of F. typical: of one record's step, on average. what: the figure, in words.
    """
    name = "distance to optimum"
    if not (np.isfinite(ahead) and np.isfinite(typical) and ahead >= 0 and typical >= 0):
        text = f"{what}: not known, because the inverse curvature gives a squared length below 0 or none."
        return Quality(name=name, value=None, text=text, warns=True)
    if typical == 0:
        text = f"{what}: not known, because no record's removal takes a step."
        return Quality(name=name, value=None, text=text, warns=ahead > 0)
    distance = float(np.sqrt(ahead / typical))
    warns = not distance <= CONVERGED
    text = f"{what}; {'above' if warns else 'not above'} the stated limit of {CONVERGED:g}."
    return Quality(name=name, value=distance if np.isfinite(distance) else None, text=text, warns=warns)


def step_form(curvature: Curvature, scores: Scores) -> Quality:
    """How the effects were evaluated, in words."""
    why = "that would be too much work for this model"
    if scores.check is None and isinstance(curvature, IterativeCurvature):
        why = "self-influence was not asked for, and a record's leverage would take a solve for each record"
    elif not curvature.knows_leverage:
        why = "this estimator does not know a single record's own share of the whole curvature well enough"
    words = {
        "stepped": "Effects are evaluated on the measure itself at the parameters stepped for each removed record"
        + (", with the step's second-order term; no record was retrained." if scores.second_order else "."),
        "newton": "Effects are first-order in the measure, along the Newton step of each removed record, because the "
        "model's outputs are not affine in its parameters or the work would be too large.",
        "first-order": f"Effects are first-order, without the Newton step, because {why}.",
    }
    return Quality(name="form", value=None, text=words[scores.form])


def sensitivity(problem: Problem, curvature: Curvature, evaluation: Evaluation, form: Form) -> Quality:
    """Smallest overlap over the measures of the top 1 % by absolute effect when L2 plus damping is ten times larger."""
    form = "first-order" if form == "first-order" else "newton"
    here, there = (
        problem.processes.rows(score(problem, tried, evaluation, form=form, own=False).effects)
        for tried in (curvature, curvature.stiffer(10.0))
    )
    overlap = rank_overlap(here, there, count=max(10, problem.n // 100))
    worst, median = float(overlap.min()), float(overlap.median())
    text = (
        f"Share of the records with the largest effects that stay among them when L2 plus damping is ten times larger: "
        f"{worst:.2f} for the most sensitive measure, {median:.2f} at the median."
    )
    return Quality(name="overlap across a decade of damping", value=worst, text=text, warns=worst < STABLE)


def rank_overlap(here: Tensor, there: Tensor, *, count: int) -> Tensor:
    """[S] share of the `count` rows with the largest absolute values that two [N, S] arrays have in common."""
    count = min(count, len(here))
    tops = [
        torch.zeros_like(a, dtype=torch.bool).scatter_(0, a.abs().topk(count, dim=0).indices, True)
        for a in (here, there)
    ]
    return (tops[0] & tops[1]).sum(0).to(torch.float64) / count


def self_influence_check(scores: Scores, *, minimum: int = 1) -> tuple[Quality, ...]:
    """What is known of every record's self-influence (`bounds`); nothing where it was not asked for."""
    if scores.check is None:
        return ()
    return (scores.check.quality(len(scores.self_influence), minimum=minimum),)


def left_out(scores: Scores, *, minimum: int = 1) -> tuple[Quality, ...]:
    """Shares of records for which a correction was bounded or left out; nothing when there are none.

    A count below `minimum` is told as a band, because a share of n records gives the count away.
    """
    return left_out_of(len(scores.self_influence), scores.capped, scores.unsettled, minimum=minimum)


def left_out_of(n: int, capped: int, unsettled: int, *, minimum: int = 1) -> tuple[Quality, ...]:
    """The shares of `left_out` from counts of n records."""
    found = []
    for count, name, what in (
        (capped, "leverage bounded", "whose leverage exceeded the bound of this estimator and was set to it"),
        (
            unsettled,
            "second-order left out",
            "whose step was taken without its second-order term, which did not settle",
        ),
    ):
        if not count:
            continue
        few = count < minimum
        text = f"Share of the {n:,} records {what}."
        if few:
            text = f"Fewer than {minimum} of the {n:,} records are ones {what}."
        found.append(Quality(name=name, value=None if few else count / n, text=text, warns=count > n / 20))
    return tuple(found)
