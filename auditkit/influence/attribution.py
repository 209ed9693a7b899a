"""The door for notebooks and scripts: a module, a loss and rows in, the effect of every training record out.

    result = attribute(module, loss, (inputs, targets), {"women": (inputs_w, targets_w)}, weight_decay=1e-3)

The policy-driven door of the same engine is `assess`; both pose, choose and score through the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from auditkit.errors import PolicyError
from auditkit.influence.damping import Damping
from auditkit.influence.ensemble import average
from auditkit.influence.estimators.tracin import follow
from auditkit.influence.measures import Evaluation, measure_values
from auditkit.influence.models import Combined, State
from auditkit.influence.problem import Loss, Problem
from auditkit.influence.quality import convergence, coverage, left_out, step_form
from auditkit.influence.refusals import require_finite
from auditkit.influence.registry import ESTIMATORS, SOURCES, choose
from auditkit.influence.renormalised import RemovalForm, renormalise
from auditkit.influence.request import Rows, Score, check_settings, device_of, evaluation_of, problem_of
from auditkit.influence.scoring import score
from auditkit.result import Quality


@dataclass(frozen=True)
class Attribution:
    """What `attribute` returns; tensors are float64 on the CPU, rows in the order of the training records."""

    scores: Tensor
    """[N, S] predicted change of each slice's measure; positive: removing the record raises it."""
    self_influence: Tensor | None
    """[N] predicted change of the record's own loss, in the unit of the loss; None where it was not asked for."""
    slice_names: tuple[str, ...]
    """[S] in the order of the columns of `scores`."""
    unit: str
    """What one unit of `scores` is."""
    quality: tuple[Quality, ...]
    """What the run says of itself, figure by figure; those with `warns` deserve a look before the scores are used."""
    values: Tensor
    """[S] each slice's measure under the audited model."""

    def effect_on(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """[N] predicted change of a differentiable function of the slices' measures: a gap, a ratio, a spread.

            grad f(values)ᵀ scores[n]                                    (delta method; exact where f is linear)

        `lambda m: m[0] / m[1]` is the ratio of the first two slices' measures, `lambda m: m[0] - m[1]` their gap. In
        the unit of the function; positive: removing the record raises it.

        Args:
            function: measures [S], in the order of `slice_names` -> one number.

        Raises:
            PolicyError: the function does not give one number that depends on the measures.
            NumericsError: its gradient at the measures is not finite (a ratio whose denominator is 0).

        Wrong when: a removal changes a measure by much of its own size (a ratio with a denominator near 0), or f has a
        kink at the measures.
        """
        at = self.values.clone().requires_grad_()
        with torch.enable_grad():
            given: object = function(at)
        if not isinstance(given, Tensor) or given.numel() != 1 or not given.requires_grad:
            raise PolicyError("the function must give one number that depends on the slices' measures")
        (gradient,) = torch.autograd.grad(given.reshape(()), at)
        require_finite(gradient, "gradient of the function at the slices' measures")
        return self.scores @ gradient


def attribute(
    module: nn.Module,
    loss: Loss,
    train: Rows,
    slices: Mapping[str, Rows],
    *,
    estimator: str = "auto",
    damping: Damping = "auto",
    weight_decay: float | Mapping[str, float] = 0.0,
    removal: RemovalForm = "fixed",
    measure: Literal["loss"] | Score = "loss",
    sample_weight: Tensor | None = None,
    self_influence: bool = True,
    checkpoints: Sequence[tuple[State, float]] | None = None,
    members: Sequence[tuple[State, Tensor]] | None = None,
    tolerance: float = 0.01,
    device: str | torch.device = "auto",
    generator: torch.Generator | None = None,
) -> Attribution:
    """Predict how each slice's measure changes when a training record is removed and the model retrained.

    With F(theta) = 1/N sum_n w_n l_n(theta) + 1/2 sum_j lambda_j theta_j² minimised by the module's parameters, m_s the
    mean of the measure over slice s, and H the curvature of F with its L2 inside,

        scores[n, s] ≈ + 1/N · grad m_sᵀ H⁻¹ w_n grad l_n              (first order)

    Where the estimator knows a record's own share of H, that share is taken out (Newton step); where the outputs are
    affine in the parameters, the measure is evaluated at the stepped parameters (`scoring`). Positive: removing the
    record raises the measure. Nothing is retrained, and the caller's module is not changed.

    Args:
        module: trained module in eval mode, called as `module(*inputs)`; outputs [B], [B, 1] or [B, C].
        loss: (outputs, targets) -> [B], one value per record, not reduced, convex in the outputs. Passes run in float64
            whatever the module's precision.
        train: (inputs, targets) of the N training records; inputs one tensor [N, ...] or a tuple of them.
        slices: name -> (inputs, targets) of the slice's evaluation records; slices may overlap and differ in size.
        estimator: a name of `registry.ESTIMATORS`; `tracin` (needs `checkpoints`); `ensemble`, or `ensemble:NAME` with
            the estimator of each member (needs `members`). `auto` takes what checkpoints or members call for, else
            `exact` for small models and `ekfac` for large ones; the quality says why.
        damping: added to the curvature's diagonal beyond the model's own L2; `auto` by the rule in `damping`.
        weight_decay: lambda, the L2 of F, for all parameters or by name (others 0). AdamW's decoupled decay is not an
            L2 of any objective: give 0 and read the distance to the optimum in the quality.
        removal: `fixed`: the other records keep weight 1/N. `renormalised`: F becomes a mean over N − 1, which changes
            signs (see `renormalised`); not for `tracin`, whose steps leave the record's term out.
        measure: `loss`, or a differentiable (outputs) -> [B] such as the probability of the favourable class.
        sample_weight: [N] w_n >= 0 of F; None is ones.
        self_influence: False leaves it out of what is returned.
        checkpoints: for `tracin`: [(state dict, learning rate summed over the steps that it stands for)].
        members: for `ensemble`: [(state dict, boolean mask [N] of the records the member was trained on)].
        tolerance: largest relative error by which slices may be compressed. Nothing is compressed yet, so every
            tolerance is met; the quality says so.
        device: where to compute; `auto` is where the module's parameters lie.
        generator: for estimators that draw at random. None does with the settings that can be reached here; the
            quality says so when one is given.

    Raises:
        PolicyError: a setting that is unknown, contradicts another or is not supported (each is named).
        DataError: rows, slices, weights or masks that do not fit one another.
        ModelError: a module or loss for which influence is not defined (`problem.pose`), a state that does not fit it.
        NumericsError: a curvature that cannot be inverted, or values that are not finite.

    Source: Koh & Liang 2017; Pregibon 1981 for the Newton step; each estimator's file for its own.

    Wrong when: the parameters are far from a minimum of F (read `distance to optimum`), the loss surface differs much
    between retrainings of a non-convex model (use `ensemble`), or scores are summed over many records as if removing
    a set were the sum of its single removals.
    """
    base = _estimator(estimator, damping, checkpoints, members)
    if checkpoints is not None and removal != "fixed":
        raise PolicyError("tracin follows removal 'fixed' only: leaving a record out drops its term from each step")
    check_settings(removal=removal, tolerance=tolerance, measure=measure, slices=slices)
    where = device_of(device, module)
    problem = problem_of(module, loss, train, where=where, weight_decay=weight_decay, weights=sample_weight)
    evaluation = evaluation_of(problem, slices, measure)
    if checkpoints is not None:
        found = follow(problem, evaluation, checkpoints)
    elif members is not None:
        found = average(problem, evaluation, members, lambda p, e: _of_one_model(p, e, base, damping, removal))
    else:
        found = _of_one_model(problem, evaluation, base, damping, removal)
    return Attribution(
        scores=found.effects.cpu(),
        self_influence=found.self_influence.cpu() if self_influence else None,
        slice_names=tuple(slices),
        unit=_unit(measure),
        quality=(*_way(estimator, checkpoints, members), *found.quality, *_settings(removal, tolerance, generator)),
        values=measure_values(problem, evaluation).cpu(),
    )


def _of_one_model(
    problem: Problem, evaluation: Evaluation, name: str, damping: Damping, removal: RemovalForm
) -> Combined:
    choice = choose(problem, name, damping)
    curvature, pull = choice.estimator.fit(problem), None
    if removal == "renormalised":
        curvature, pull = renormalise(problem, curvature)
    scores = score(problem, curvature, evaluation, pull=pull)
    why = choice.why if name == "auto" else "Named by the caller."
    added = max(curvature.damping.values(), default=0.0)
    return Combined(
        scores.effects,
        scores.self_influence,
        (
            Quality(name="estimator", value=None, text=f"{choice.name}. {why} Source: {SOURCES[choice.name]}."),
            Quality(name="damping", value=added, text="Largest number added to the curvature's diagonal beyond L2."),
            coverage(problem, curvature),
            *convergence(problem, curvature, scores),
            step_form(curvature, scores),
            *left_out(scores),
            *curvature.quality(),
        ),
    )


def _estimator(name: str, damping: Damping, checkpoints: object, members: object) -> str:
    """The estimator of each model scored; refuses one that is unknown, or does not go with what else was given."""
    if checkpoints is not None and members is not None:
        raise PolicyError("checkpoints belong to tracin and members to ensemble; give one of them")
    way, _, base = name.partition(":")
    if name == "auto":
        way = "tracin" if checkpoints is not None else "ensemble" if members is not None else "auto"
    known = ("auto", *sorted(ESTIMATORS), "tracin", "ensemble", *(f"ensemble:{n}" for n in sorted(ESTIMATORS)))
    if name not in known:
        raise PolicyError(f"no influence estimator is called {name!r}; there are {', '.join(known)}")
    for needs, what, given in (("tracin", "checkpoints", checkpoints), ("ensemble", "members", members)):
        if (way == needs) != (given is not None):
            said = f"needs {what}" if way == needs else f"has no use for {what}; they belong to {needs}"
            raise PolicyError(f"estimator {name!r} {said}")
    if way == "tracin" and damping != "auto":
        raise PolicyError("tracin inverts no curvature, so it has no use for a damping")
    return base or ("auto" if way == "ensemble" else way)


def _unit(measure: Literal["loss"] | Score) -> str:
    if isinstance(measure, str):
        return "change of the slice's mean loss, in the unit of the loss (nats for a log-likelihood)"
    return "change of the slice's mean measure, in the unit of the measure"


def _way(name: str, checkpoints: object, members: object) -> tuple[Quality, ...]:
    """What several models are scored by, and why; nothing where there is one model."""
    way, given = ("tracin", "checkpoints") if checkpoints is not None else ("ensemble", "members")
    if checkpoints is None and members is None:
        return ()
    why = f"Chosen because {given} were given." if name == "auto" else "Named by the caller."
    return (Quality(name="method", value=None, text=f"{way}. {why}"),)


def _settings(removal: RemovalForm, tolerance: float, generator: torch.Generator | None) -> tuple[Quality, ...]:
    forms = {
        "fixed": "Removal form fixed: the other records keep weight 1/N.",
        "renormalised": "Removal form renormalised: the mean is taken over the remaining N - 1 records.",
    }
    text = f"Scores are not compressed; they meet the tolerance of {tolerance:g} up to rounding in float64."
    found = [
        Quality(name="removal", value=None, text=forms[removal]),
        Quality(name="compression", value=0.0, text=text),
    ]
    if generator is not None:
        found.append(Quality(name="chance", value=None, text="Nothing was drawn at random; the generator is unused."))
    return tuple(found)
