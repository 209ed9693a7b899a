"""What influence is measured on: linear combinations of evaluation records' losses or favourable scores.

A slice's mean loss, its mean favourable score and the gap between two groups' mean favourable scores are all
m = sum_e c_e q_e with q the loss or the score of evaluation record e. A gap has c = 1/n_group on the group and
−1/n_reference on the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor

from auditkit.errors import DataError
from auditkit.influence.problem import Inputs, Problem, batches, filled

Quantity: TypeAlias = str
"""`loss`, `score`, or a name in `Evaluation.others`."""


@dataclass(frozen=True)
class Measure:
    """One measured quantity: a name and a weight for each evaluation record."""

    name: str
    quantity: Quantity
    weights: Tensor
    """[M] c_e."""


@dataclass(frozen=True)
class Evaluation:
    """The evaluation rows and all measures on them."""

    inputs: Inputs
    targets: Tensor
    measures: tuple[Measure, ...]
    score: Callable[[Tensor], Tensor] | None = None
    """outputs as the module gives them [B, ...] -> favourable score [B]; needed by measures of the score."""
    others: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    """Further functions of the outputs, each under the quantity that its measures name."""

    def weights(self, quantity: Quantity) -> Tensor:
        """[M, S] c_e of every measure of this quantity; columns of the others are zero."""
        columns = [m.weights if m.quantity == quantity else torch.zeros_like(m.weights) for m in self.measures]
        return torch.stack(columns, dim=1).to(torch.float64)

    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities that some measure needs."""
        return tuple(dict.fromkeys(m.quantity for m in self.measures))


def state_evaluation(
    problem: Problem,
    inputs: Sequence[Tensor],
    targets: Tensor,
    measures: Sequence[Measure],
    score: Callable[[Tensor], Tensor] | None = None,
    *,
    others: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> Evaluation:
    """Cast the evaluation rows to the problem's precision and keep those that some measure weighs.

    Raises:
        DataError: no measure, weights of the wrong length or not finite, or a measure of a quantity without function.
    """
    others = dict(others or {})
    if not measures:
        raise DataError("there is no slice to measure influence on")
    wrong = [m.name for m in measures if m.weights.shape != (len(targets),) or not bool(m.weights.isfinite().all())]
    if wrong:
        raise DataError(f"measures need one finite weight per evaluation record ({len(targets)}): {', '.join(wrong)}")
    known = {"loss", *others, *(() if score is None else ("score",))}
    for quantity in sorted({m.quantity for m in measures} - known):
        raise DataError(_unknown(quantity))
    used = torch.stack([m.weights != 0 for m in measures]).any(dim=0)
    kept = tuple(Measure(m.name, m.quantity, m.weights[used].to(torch.float64)) for m in measures)
    rows = problem.cast([t[used] for t in inputs])
    aims = targets[used].to(problem.dtype) if targets.is_floating_point() else targets[used]
    return Evaluation(rows, aims, kept, score, others)


def part_of(evaluation: Evaluation, start: int, stop: int) -> Evaluation:
    """The measures from `start` to `stop`, with the rows that some of them weighs."""
    measures = evaluation.measures[start:stop]
    used = torch.stack([measure.weights != 0 for measure in measures]).any(dim=0)
    return replace(
        evaluation,
        inputs=tuple(t[used] for t in evaluation.inputs),
        targets=evaluation.targets[used],
        measures=tuple(Measure(m.name, m.quantity, m.weights[used]) for m in measures),
    )


def record_quantity(
    problem: Problem, evaluation: Evaluation, quantity: Quantity, outputs: Tensor, targets: Tensor
) -> Tensor:
    """[B] loss, favourable score or another function of records with these outputs [B, C]."""
    if quantity == "loss":
        return problem.losses(outputs, targets)
    function = evaluation.score if quantity == "score" else evaluation.others.get(quantity)
    if function is None:
        raise DataError(_unknown(quantity))
    return function(problem.raw(outputs))


def _unknown(quantity: Quantity) -> str:
    if quantity == "score":
        return "a measure of the favourable score needs the model's favourable score"
    return f"there is no function for measures of {quantity!r}"


def measure_values(problem: Problem, evaluation: Evaluation) -> Tensor:
    """[S] the measures under the audited model, float64."""
    total = torch.zeros(len(evaluation.measures), dtype=torch.float64, device=evaluation.targets.device)
    with torch.no_grad():
        for at, inputs, targets in batches(evaluation.inputs, evaluation.targets, problem.batch):
            outputs = problem.outputs(inputs)
            for quantity in evaluation.quantities():
                values = record_quantity(problem, evaluation, quantity, outputs, targets)
                total += values.to(torch.float64) @ evaluation.weights(quantity)[at]
    return total


def measure_gradients(problem: Problem, evaluation: Evaluation) -> Tensor:
    """[D, S] gradients of the measures in the parameters: one backward pass per measure and batch, float64."""
    total = torch.zeros(
        problem.layout.size, len(evaluation.measures), dtype=torch.float64, device=evaluation.targets.device
    )
    for at, inputs, targets in batches(evaluation.inputs, evaluation.targets, problem.batch):
        moving = {name: p.clone().requires_grad_() for name, p in problem.parameters().items()}
        with torch.enable_grad():
            outputs = problem.outputs(inputs, moving)
            values = {q: record_quantity(problem, evaluation, q, outputs, targets) for q in evaluation.quantities()}
        for s, measure in enumerate(evaluation.measures):
            weights = measure.weights[at]
            if bool((weights != 0).any()):
                total[:, s] += _gradient(values[measure.quantity], weights, moving)
    return total


def objective_gradient(problem: Problem) -> Tensor:
    """[D] gradient of F at the trained parameters; zero at a minimum."""
    everyone = Measure("objective", "loss", problem.weights / problem.n)
    here = measure_gradients(problem, Evaluation(problem.inputs, problem.targets, (everyone,)))[:, 0]
    return problem.processes.sum(here) + problem.penalty * problem.flat()


def _gradient(values: Tensor, weights: Tensor, moving: dict[str, Tensor]) -> Tensor:
    grads = torch.autograd.grad(
        values, list(moving.values()), weights.to(values.dtype), retain_graph=True, allow_unused=True
    )
    return torch.cat([filled(g, p).reshape(-1) for g, p in zip(grads, moving.values(), strict=True)]).to(torch.float64)
