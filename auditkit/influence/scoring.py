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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from auditkit.influence.arithmetic import fast_float32
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.bounds import TOP, OwnCheck, hold, own_check
from auditkit.influence.curvature import Curvature
from auditkit.influence.iterative import IterativeCurvature
from auditkit.influence.jacobian import is_affine
from auditkit.influence.likelihood import OutputTerms, loss_gradient, output_terms
from auditkit.influence.measures import Evaluation, measure_gradients, part_of
from auditkit.influence.newton import removal
from auditkit.influence.problem import Batch, Inputs, Problem
from auditkit.influence.refusals import require_finite
from auditkit.influence.rehearsal import Trial, rehearse
from auditkit.influence.row_rehearsal import rehearse_rows
from auditkit.influence.samples import mean_length
from auditkit.influence.stepping import affordable, step_all
from auditkit.influence.sweep import Sweep
from auditkit.influence.widening import widened_evaluation, widened_problem
from auditkit.result import Quality

Form = Literal["auto", "stepped", "newton", "first-order"]

_NEWTON_OUTPUTS = 32
_NUMBERS, _FEWEST = 2**23, 10
"""Numbers of the measures' gradients at a time, and measures that are not parted however many numbers they have."""
_SLICED = 256
"""Evaluation rows at once: each measure that meets a batch takes a backward pass over all of it."""


@dataclass(frozen=True)
class Scores:
    """What one pass over the training rows gives, float64, in the order of the training rows."""

    effects: Tensor
    """[N, S] predicted change of each measure if the record were removed and the model retrained."""
    self_influence: Tensor
    """[N] predicted change of the record's own loss; zeros where it was not asked for."""
    leverage: Tensor
    """[N] the record's share of the curvature along its own directions; zeros when `form` is `first-order`."""
    plain_self: Tensor
    """[N] w_n/N rᵀ J H⁻¹ Jᵀ r: influence on the own loss without Newton step, the squared length of the plain step.

    Where self-influence was not asked for, rᵀ J H⁻¹ Jᵀ r is its mean over a sample of records."""
    form: Form
    """How they were computed: `stepped`, `newton` (first-order in the measure, Newton step) or `first-order`."""
    second_order: bool
    """Whether the step has its second-order term (`stepping`)."""
    capped: int
    """Records whose leverage was above the curvature's bound."""
    unsettled: int
    """Records whose second-order term was left out."""
    gradient: Tensor | None = None
    """[D] gradient of F, where the pass gave it on the way."""
    quality: tuple[Quality, ...] = ()
    """What the pass says of its own precision and of what it left out."""
    check: OwnCheck | None = None
    """What is known of every record's self-influence; None where it was not asked for."""


def score(
    problem: Problem,
    curvature: Curvature,
    evaluation: Evaluation,
    *,
    form: Form = "auto",
    second_order: bool = True,
    pull: Tensor | None = None,
    tolerance: float = 0.0,
    own: bool = True,
) -> Scores:
    """Effects [N, S] and self-influence [N] of every training record.

    Args:
        problem: the posed problem. curvature: fitted on it. evaluation: rows and measures.
        form: `auto` takes `stepped` where the outputs are affine in the parameters and the work is bounded, else
            `newton`; `first-order` above 32 outputs, because the Newton step takes a backward pass per output, and
            for a curvature that does not know the leverage of single records.
        second_order: with `stepped`, add the second-order term of the step.
        pull: [D] what every removal adds to the gradient beside the record's own, see `renormalised`; None is nothing.
        tolerance: largest relative error of a measure's column by which the slices may be compressed where that saves
            work; for block curvatures (`rehearsal`), others compress nothing.
        own: False leaves self-influence out; `auto` then takes `first-order` for a curvature that would solve for each
            record to know its leverage (`cg`, `lissa`), so that nothing is solved but the measures.

    Raises:
        NumericsError: a loss or a score is not finite.
    """
    if form == "auto":
        form = _choose(problem, curvature, evaluation, own=own)
    if form == "first-order" and isinstance(curvature, BlockCurvature):
        limits = _Limits(tolerance, TOP, None if own else mean_length(problem, curvature))
        return _in_parts(problem, curvature, evaluation, _pulls(problem, pull), limits)
    if form != "stepped":
        return prepared(problem, curvature, evaluation, form=form, pull=pull, tolerance=tolerance, own=own)(problem)
    second_order = second_order and is_affine(problem)
    drift = None if pull is None else curvature.solve(pull.unsqueeze(1))
    got = step_all(problem, curvature, evaluation, second_order=second_order, drift=drift)
    effects, changes = _finite(got.effects, got.self_influence)
    capped = int((got.leverage > curvature.leverage_bound).sum())
    check = own_check("stepped", changes, got.plain_self, pulled=pull is not None)
    return Scores(
        effects, changes, got.leverage, got.plain_self, "stepped", got.second_order, capped, got.unsettled, check=check
    )


def prepared(
    problem: Problem,
    curvature: Curvature,
    evaluation: Evaluation,
    *,
    form: Form,
    pull: Tensor | None = None,
    tolerance: float = 0.0,
    own: bool = True,
    top: int = TOP,
) -> Callable[[Problem], Scores]:
    """What all rows share, done once; gives what scores some of the N records, posed like `problem`.

    Arguments as for `score`; N is that of `problem` and of the rows that are given later. The form is `newton` or
    `first-order`: the others look at all records at once. Of the rows given at a time the `top` largest self-influences
    are exact (`bounds`).
    """
    pulls = _pulls(problem, pull)
    if form == "first-order" and isinstance(curvature, BlockCurvature):
        limits = _Limits(tolerance, top, None if own else mean_length(problem, curvature))
        found = _by_rows(problem, curvature, evaluation, pulls, limits)
        return found or _by_gradients(problem, curvature, evaluation, pulls, limits)
    gradients = _gradients(problem, evaluation)
    directions = curvature.solve(torch.cat([gradients, pulls], dim=1))
    shift = (gradients.T @ directions[:, gradients.shape[1] :]).sum(1) / problem.n
    length = None
    if isinstance(curvature, IterativeCurvature) and form == "first-order" and not own:
        length = curvature.mean_length()
    one = _Pass(problem, curvature, directions, pulls.shape[1], shift, length)
    return lambda rows: replace(one, problem=rows).scores(form)


def _pulls(problem: Problem, pull: Tensor | None) -> Tensor:
    """[D, P] the pulls, none or one."""
    if pull is None:
        return torch.zeros(problem.layout.size, 0, dtype=torch.float64, device=problem.targets.device)
    return pull.unsqueeze(1)


def _gradients(problem: Problem, evaluation: Evaluation) -> Tensor:
    """[D, S] of the measures, float64 whatever the precision of the passes."""
    wide = replace(widened_problem(problem), batch=min(problem.batch, _SLICED))
    return measure_gradients(wide, widened_evaluation(evaluation))


@dataclass(frozen=True)
class _Limits:
    """To what a pass of a block curvature is held."""

    tolerance: float
    """Largest relative error of a column, and of a record that is not recomputed; 0 where nothing is left out."""
    top: int
    """Largest records recomputed."""
    typical: float | None
    """Mean squared length of a record's step, where no record's own is asked for."""


def _by_rows(
    problem: Problem, curvature: BlockCurvature, evaluation: Evaluation, pulls: Tensor, limits: _Limits
) -> Callable[[Problem], Scores] | None:
    """Measures that rest on few rows, without a gradient of any; None where that is no less work."""
    own = limits.typical is None
    with fast_float32(pulls.device):
        drift = curvature.solve(pulls) if pulls.shape[1] else pulls
        found = rehearse_rows(problem, curvature, evaluation, drift, tolerance=limits.tolerance, own=own)
    if found is None:
        return None
    trial, shift = found
    return lambda rows: _swept(trial, rows, shift / problem.n, limits)


def _by_gradients(
    problem: Problem, curvature: BlockCurvature, evaluation: Evaluation, pulls: Tensor, limits: _Limits
) -> Callable[[Problem], Scores]:
    """Measures by their gradients [D, S], all at once."""
    gradients = torch.cat([_gradients(problem, evaluation), pulls], dim=1)
    measures = gradients.shape[1] - pulls.shape[1]
    directions = curvature.solve(gradients)
    shift = (gradients[:, :measures].T @ directions[:, measures:]).sum(1) / problem.n
    with fast_float32(pulls.device):
        sweep = Sweep.of(problem, curvature, directions, own=limits.typical is None)
        trial = rehearse(sweep, gradients, tolerance=limits.tolerance)
    return lambda rows: _swept(trial, rows, shift, limits)


def _in_parts(
    problem: Problem, curvature: BlockCurvature, evaluation: Evaluation, pulls: Tensor, limits: _Limits
) -> Scores:
    """As many measures at a time as keep each copy of their gradients within `_NUMBERS`; one pass for each part."""
    found = _by_rows(problem, curvature, evaluation, pulls, limits)
    if found is not None:
        return found(problem)
    size, parts = max(_FEWEST, _NUMBERS // problem.layout.size), list[Scores]()
    for start in range(0, len(evaluation.measures), size):
        some = part_of(evaluation, start, start + size)
        # The first pass gives all that does not hang on the measures.
        asked = replace(limits, typical=0.0) if parts else limits
        parts.append(_by_gradients(problem, curvature, some, pulls, asked)(problem))
    if len(parts) == 1:
        return parts[0]
    told: dict[str, Quality] = {}
    for row in (row for part in parts for row in part.quality):
        before = told.get(row.name)
        if before is None or (row.value or 0.0) > (before.value or 0.0):
            told[row.name] = row
    effects = torch.cat([part.effects for part in parts], dim=1)
    return replace(parts[0], effects=effects, quality=tuple(told.values()))


def _swept(trial: Trial, rows: Problem, shift: Tensor, limits: _Limits) -> Scores:
    """The first-order form in one sweep over these rows; `shift` [S] is what the pull adds to every record."""
    problem, measures, check = rows, len(shift), None
    sweep = replace(trial.sweep, problem=rows)
    pulls = sweep.directions if sweep.pairs is not None else sweep.directions[:, measures:]
    with fast_float32(shift.device):
        got = sweep.run()
    require_finite(got.loss, "the loss of training records")
    if limits.typical is None:
        require_finite(got.length, "self-influence")
        got, check = hold(sweep, got, pulls, allowed=limits.tolerance, top=limits.top)
    share = problem.weights / problem.n
    plain = share * (got.length if limits.typical is None else limits.typical)
    toward = got.cross[:, measures:].sum(1) / problem.n
    own = plain + toward if limits.typical is None else torch.zeros_like(plain)
    effects, own = _finite(share.unsqueeze(1) * got.cross[:, :measures] + shift, own)
    gradient = None if got.gradient is None else got.gradient + problem.penalty * problem.flat()
    none = torch.zeros_like(plain)
    return Scores(
        effects, own, none, plain, "first-order", False, 0, 0, gradient=gradient, quality=trial.quality, check=check
    )


def _finite(effects: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    require_finite(effects, "effects of training records on the measures")
    require_finite(own, "self-influence")
    return effects, own


def _choose(problem: Problem, curvature: Curvature, evaluation: Evaluation, *, own: bool) -> Form:
    if isinstance(curvature, IterativeCurvature) and not own:
        return "first-order"
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
    length: float | None = None
    """Mean of rᵀ J H⁻¹ Jᵀ r, where no record's own is asked for and each would take a solve."""

    def scores(self, form: Form) -> Scores:
        """Of all rows of the problem."""
        parts = [self.newton(batch) if form == "newton" else self.plain(batch) for batch in self.problem.rows()]
        effects, own, leverage, plain = (torch.cat(column) for column in zip(*parts, strict=True))
        effects, own = _finite(effects, own)
        capped = int((leverage > self.curvature.leverage_bound).sum())
        check = own_check(form, own, plain, pulled=self.pulls > 0) if self.length is None else None
        return Scores(effects, own, leverage, plain, form, False, capped, 0, check=check)

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
        _, gradient = loss_gradient(self.problem, self.problem.outputs(inputs), targets)
        share = self.problem.weights[at] / self.problem.n
        if self.length is not None and isinstance(self.curvature, IterativeCurvature):
            measures = self.directions[:, : self.directions.shape[1] - self.pulls]
            cross, none = self.curvature.across(inputs, gradient.unsqueeze(2), measures), torch.zeros_like(share)
            return share.unsqueeze(1) * cross[:, 0] + self.shift, none, none, share * self.length
        cross, toward, gram = self._probe(inputs, gradient.unsqueeze(2))
        plain = share * gram[:, 0, 0]
        own = plain + toward[:, 0] / self.problem.n
        return share.unsqueeze(1) * cross[:, 0] + self.shift, own, torch.zeros_like(share), plain

    def _probe(self, inputs: Inputs, probes: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Products [B, P, S] with the measures' directions, [B, P] with the pull's (zeros without), and [B, P, P]."""
        cross, gram = self.curvature.probe(inputs, probes, self.directions)
        measures = cross.shape[2] - self.pulls
        return cross[..., :measures], cross[..., measures:].sum(2), gram
