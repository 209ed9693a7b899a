"""The door for notebooks and scripts: a module, a loss and rows in, the effect of every training record out.

    result = attribute(module, loss, (inputs, targets), {"women": (inputs_w, targets_w)}, weight_decay=1e-3)

The policy-driven door of the same engine is `assess`; both pose, choose and score through the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from auditkit.errors import PolicyError
from auditkit.influence.attributed import Attribution
from auditkit.influence.damping import BETWEEN, Damping
from auditkit.influence.ensemble import average
from auditkit.influence.estimators.tracin import follow
from auditkit.influence.measures import measure_values
from auditkit.influence.models import State
from auditkit.influence.problem import Loss
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.rehearsal import uncompressed
from auditkit.influence.renormalised import RemovalForm
from auditkit.influence.request import Measured, Rows, check_settings, device_of, evaluation_of, passes_of, problem_of
from auditkit.influence.single import Way, of_one_model
from auditkit.influence.sizes import BY_MEMBERS, order_row
from auditkit.result import Quality


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
    measure: Measured = "loss",
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
        loss: (outputs, targets) -> [B], one value per record, not reduced, convex in the outputs. Passes run in
            float64, but for `kfac` and `ekfac` on a float32 module, whose passes are float32 and whose sums and
            decompositions are float64; the quality says what this costs, against records recomputed in float64.
        train: (inputs, targets) of the N training records; inputs one tensor [N, ...] or a tuple of them.
        slices: name -> (inputs, targets) of the slice's evaluation records; slices may overlap and differ in size.
        estimator: a name of `registry.ESTIMATORS`; `tracin` (needs `checkpoints`); `ensemble`, or `ensemble:NAME` with
            the estimator of each member (needs `members`). `auto` takes what checkpoints or members call for, else
            `exact` for small models and `ekfac` for large ones; the quality says why.
        damping: added to the curvature's diagonal beyond the model's own L2; `auto` by the rules in `damping`, of which
            members choose between the ends (`ensemble.held_out`).
        weight_decay: lambda, the L2 of F, for all parameters or by name (others 0). AdamW's decoupled decay is not an
            L2 of any objective; the quality's `weight decay` says what the gradient speaks for (`decay`).
        removal: `fixed`: the other records keep weight 1/N. `renormalised`: F becomes a mean over N − 1, which changes
            signs (see `renormalised`); not for `tracin`, whose steps leave the record's term out.
        measure: `loss`, or a differentiable (outputs) -> [B] such as the probability of the favourable class; or one of
            these for each slice, by its name. Gaps and ratios of slices: `Attribution.combined` and `effect_on`.
        sample_weight: [N] w_n >= 0 of F; None is ones.
        self_influence: False leaves it out; `kfac` and `ekfac` then do not compute it.
        checkpoints: for `tracin`: [(state dict, learning rate summed over the steps that it stands for)].
        members: for `ensemble`: [(state dict, boolean mask [N] of the records the member was trained on)].
        tolerance: largest relative error of a slice's scores by which `kfac` and `ekfac` may compress the slices of
            large problems (low rank, products in bfloat16 where the processor has them); 0 compresses nothing. The
            error is measured on a sample of the records and said in the quality (`compression`).
        device: where to compute; `auto` is where the module's parameters lie. A process group that the caller set up is
            left alone: every call scores its own records in its own process. `auditkit run` shares them out.
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
    plan = passes_of(module, base)
    problem = problem_of(module, loss, train, where=where, weight_decay=weight_decay, weights=sample_weight, plan=plan)
    evaluation = evaluation_of(problem, slices, measure)

    way = Way(base, damping, removal, tolerance=tolerance, own=self_influence)

    if checkpoints is not None:
        found = follow(problem, evaluation, checkpoints)
    elif members is not None:
        found = average(problem, evaluation, members, lambda p, e: of_one_model(p, e, way, shares=BETWEEN))
    else:
        (found,) = of_one_model(problem, evaluation, way)
    said = found.quality
    if not any(row.name == "compression" for row in said):
        said = (*said, uncompressed(tolerance))
    if not any(row.name == BY_MEMBERS for row in said):
        said = (*said, order_row())
    return Attribution(
        scores=found.effects.cpu(),
        self_influence=found.self_influence.cpu() if self_influence else None,
        slice_names=tuple(slices),
        unit=unit_of(measure),
        quality=(*_way(estimator, checkpoints, members), *said, *_settings(removal, generator)),
        values=measure_values(problem, evaluation).cpu(),
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


def unit_of(measure: Measured) -> str:
    """What one unit of the scores is."""
    if isinstance(measure, Mapping):
        words = (f"{name}: {unit_of(one)}" for name, one in measure.items())
        return "; ".join(words)
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


def _settings(removal: RemovalForm, generator: torch.Generator | None) -> tuple[Quality, ...]:
    forms = {
        "fixed": "Removal form fixed: the other records keep weight 1/N.",
        "renormalised": "Removal form renormalised: the mean is taken over the remaining N - 1 records.",
    }
    found = [Quality(name="removal", value=None, text=forms[removal])]
    if generator is not None:
        found.append(Quality(name="chance", value=None, text="Nothing was drawn at random; the generator is unused."))
    return tuple(found)
