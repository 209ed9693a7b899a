"""One model scored from end to end for the public door: estimator, damping, removal form, scores and their quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditkit.influence.curvature import Curvature
from auditkit.influence.damping import Damping
from auditkit.influence.decay import weight_decay
from auditkit.influence.measures import Evaluation, objective_gradient
from auditkit.influence.models import Combined
from auditkit.influence.problem import Problem
from auditkit.influence.quality import convergence, coverage, left_out, self_influence_check, step_form
from auditkit.influence.refusals import explained
from auditkit.influence.registry import SOURCES, choose
from auditkit.influence.renormalised import RemovalForm, renormalise
from auditkit.influence.scoring import Scores, score
from auditkit.influence.settling import settle_between
from auditkit.result import Quality


@dataclass(frozen=True)
class Way:
    """How one model is scored."""

    estimator: str
    damping: Damping
    removal: RemovalForm
    tolerance: float
    own: bool
    """Whether self-influence is wanted."""


def of_one_model(
    problem: Problem, evaluation: Evaluation, way: Way, *, shares: Sequence[float] = (1.0,)
) -> list[Combined]:
    """Effects, self-influence and quality of one model: once, or for several dampings of one fit.

    Args:
        problem: the posed problem. evaluation: rows and measures. way: what was asked for.
        shares: of the way from the damping's floor to its nearest optimum (`settling.settle_between`).

    Raises:
        PolicyError, ModelError, NumericsError: see `registry.choose`, the estimators and `scoring.score`.
    """
    with explained(problem):
        return _of_one_model(problem, evaluation, way, shares)


def _of_one_model(problem: Problem, evaluation: Evaluation, way: Way, shares: Sequence[float]) -> list[Combined]:
    choice = choose(problem, way.estimator, way.damping)
    why = choice.why if way.estimator == "auto" else "Named by the caller."
    chosen = Quality(name="estimator", value=None, text=f"{choice.name}. {why} Source: {SOURCES[choice.name]}.")
    found: list[Combined] = []
    decay: Quality | None = None
    for fitted, settled in settle_between(problem, choice.estimator.fit(problem), way.damping, shares=shares):
        curvature, scores = _scored(problem, evaluation, fitted, way)
        gradient = objective_gradient(problem) if scores.gradient is None else scores.gradient
        decay = weight_decay(problem, gradient) if decay is None else decay
        quality = (
            chosen,
            *choice.quality,
            settled,
            coverage(problem, curvature),
            *convergence(problem, curvature, scores, gradient),
            decay,
            step_form(curvature, scores),
            *self_influence_check(scores),
            *left_out(scores),
            *curvature.quality(),
            *scores.quality,
        )
        found.append(Combined(scores.effects, scores.self_influence, quality))
    return found


def _scored(problem: Problem, evaluation: Evaluation, fitted: Curvature, way: Way) -> tuple[Curvature, Scores]:
    curvature, pull = fitted, None
    if way.removal == "renormalised":
        curvature, pull = renormalise(problem, fitted)
    return curvature, score(problem, curvature, evaluation, pull=pull, tolerance=way.tolerance, own=way.own)
