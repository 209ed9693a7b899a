"""Scores, written once for every estimator: the predicted change of each measure when a record is removed.

For record n the Newton step gives delta theta_n = 1/N H⁻¹ J_nᵀ q_n (`newton`). Then

- `stepped`: the measure itself at the stepped parameters minus the measure as it is (`stepping`); where the outputs are
  affine in the parameters, so that this is cheap and nothing is linearised.
- `first-order`: grad mᵀ delta theta_n, one number per slice and record from one pass over the training rows; the
  record's own loss is evaluated at its outputs moved by J_n delta theta_n.

All in the unit of the measure; positive: removal raises it. A pull b that every removal brings beside the record's own
gradient (removal form `renormalised`) adds (H − w_n J_nᵀ W_n J_n / N)⁻¹ b / N to each step, which is
1/N (p + H⁻¹ J_nᵀ R_n J_n p) with p = H⁻¹ b and R_n as in `newton`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from auditkit.influence.curvature import Curvature
from auditkit.influence.jacobian import is_affine
from auditkit.influence.likelihood import OutputTerms, output_terms
from auditkit.influence.measures import Evaluation, measure_gradients
from auditkit.influence.newton import removal
from auditkit.influence.problem import Batch, Inputs, Problem
from auditkit.influence.refusals import require_finite
from auditkit.influence.stepping import affordable, step_all

Form = Literal["auto", "stepped", "newton", "first-order"]

_NEWTON_OUTPUTS = 32


@dataclass(frozen=True)
class Scores:
    """What one pass over the training rows gives, float64, in the order of the training rows."""

    effects: Tensor
    """[N, S] predicted change of each measure if the record were removed and the model retrained."""
    self_influence: Tensor
    """[N] predicted change of the record's own loss."""
    leverage: Tensor
    """[N] the record's share of the curvature along its own directions; zeros when `form` is `first-order`."""
    plain_self: Tensor
    """[N] w_n/N rᵀ J H⁻¹ Jᵀ r: influence on the own loss without Newton step, the squared length of the plain step."""
    form: Form
    """How they were computed: `stepped`, `newton` (first-order in the measure, Newton step) or `first-order`."""
    second_order: bool
    """Whether the step has its second-order term (`stepping`)."""
    capped: int
    """Records whose leverage was above the curvature's bound."""
    unsettled: int
    """Records whose second-order term was left out."""


def score(
    problem: Problem,
    curvature: Curvature,
    evaluation: Evaluation,
    *,
    form: Form = "auto",
    second_order: bool = True,
    pull: Tensor | None = None,
) -> Scores:
    """Effects [N, S] and self-influence [N] of every training record.

    Args:
        problem: the posed problem. curvature: fitted on it. evaluation: rows and measures.
        form: `auto` takes `stepped` where the outputs are affine in the parameters and the work is bounded, else
            `newton`; `first-order` above 32 outputs, because the Newton step takes a backward pass per output, and
            for a curvature that does not know the leverage of single records.
        second_order: with `stepped`, add the second-order term of the step.
        pull: [D] what every removal adds to the gradient beside the record's own, see `renormalised`; None is nothing.

    Raises:
        NumericsError: a score is not finite.
    """
    if form == "auto":
        form = _choose(problem, curvature, evaluation)
    drift = torch.zeros(problem.layout.size, 0, dtype=torch.float64, device=problem.targets.device)
    if pull is not None:
        drift = curvature.solve(pull.unsqueeze(1))
    if form == "stepped":
        second_order = second_order and is_affine(problem)
        got = step_all(problem, curvature, evaluation, second_order=second_order, drift=drift)
        effects, own, leverage, plain = got.effects, got.self_influence, got.leverage, got.plain_self
        unsettled, second_order = got.unsettled, got.second_order
    else:
        one = _Pass.of(problem, curvature, evaluation, drift)
        parts = [one.newton(batch) if form == "newton" else one.plain(batch) for batch in problem.rows()]
        effects, own, leverage, plain = (torch.cat(column) for column in zip(*parts, strict=True))
        unsettled, second_order = 0, False
    require_finite(effects, "effects of training records on the measures")
    require_finite(own, "self-influence")
    capped = int((leverage > curvature.leverage_bound).sum())
    return Scores(effects, own, leverage, plain, form, second_order, capped, unsettled)


def _choose(problem: Problem, curvature: Curvature, evaluation: Evaluation) -> Form:
    if problem.classes > _NEWTON_OUTPUTS or not curvature.knows_leverage:
        return "first-order"
    return "stepped" if affordable(problem, len(evaluation.targets)) and is_affine(problem) else "newton"


def _terms(problem: Problem, inputs: Inputs, targets: Tensor) -> tuple[Tensor, OutputTerms]:
    outputs = problem.outputs(inputs).detach().to(torch.float64)
    return outputs, output_terms(problem, outputs, targets)


@dataclass(frozen=True)
class _Pass:
    """What all batches of a pass share."""

    problem: Problem
    curvature: Curvature
    directions: Tensor
    """[D, S + P] H⁻¹ grad m for S measures, then p for P pulls (P is 0 or 1)."""
    pulls: int
    shift: Tensor
    """[S] grad mᵀ p / N, what the pull adds to the effect of every record."""

    @staticmethod
    def of(problem: Problem, curvature: Curvature, evaluation: Evaluation, drift: Tensor) -> _Pass:
        gradients = measure_gradients(problem, evaluation)
        directions = torch.cat([curvature.solve(gradients), drift], dim=1)
        return _Pass(problem, curvature, directions, drift.shape[1], (gradients.T @ drift).sum(1) / problem.n)

    def newton(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each record is taken out of the curvature; its own loss is evaluated at its moved outputs."""
        problem, bound, (at, inputs, targets) = self.problem, self.curvature.leverage_bound, batch
        outputs, terms = _terms(problem, inputs, targets)
        cross, toward, gram = self._probe(inputs, None)
        out = removal(terms.root, gram, weights=problem.weights[at], n=problem.n, bound=bound)
        q = out.corrected(terms.gradient, gram) + (out.matrix @ toward.unsqueeze(2)).squeeze(2)
        moved = outputs + ((gram @ q.unsqueeze(2)).squeeze(2) + toward) / problem.n
        aims = targets.to(torch.float64) if targets.is_floating_point() else targets
        own = problem.loss(problem.raw(moved), aims) - terms.loss
        plain = torch.einsum("bc,bcd,bd->b", terms.gradient, gram, terms.gradient) * problem.weights[at] / problem.n
        return torch.einsum("bc,bcs->bs", q, cross) / problem.n + self.shift, own, out.leverage, plain

    def plain(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Plain influence functions: no record is taken out of the curvature, and every change is linearised."""
        at, inputs, targets = batch
        _, terms = _terms(self.problem, inputs, targets)
        cross, toward, gram = self._probe(inputs, terms.gradient.unsqueeze(2))
        share = self.problem.weights[at] / self.problem.n
        plain = share * gram[:, 0, 0]
        own = plain + toward[:, 0] / self.problem.n
        return share.unsqueeze(1) * cross[:, 0] + self.shift, own, torch.zeros_like(share), plain

    def _probe(self, inputs: Inputs, probes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Products [B, P, S] with the measures' directions, [B, P] with the pull's (zeros without), and [B, P, P]."""
        cross, gram = self.curvature.probe(inputs, probes, self.directions)
        measures = cross.shape[2] - self.pulls
        return cross[..., :measures], cross[..., measures:].sum(2), gram
