"""Steps in the parameters, taken out in full, and the measures at the stepped parameters.

For a model that is affine in its parameters the outputs at theta + delta are z + J delta exactly, so the true
measures at N stepped parameter vectors are N·M cheap loss evaluations after two matrix products. Since nothing is
linearised, the step itself becomes the largest error, and its next term is affordable too (Chebyshev's method, the
second-order term of Newton's; Traub 1964):

    delta = delta_1 + delta_2,   delta_2 = −1/2 H_n⁻¹ · 1/N sum_{i≠n} w_i J_iᵀ T_i[J_i delta_1, J_i delta_1]

with delta_1 the Newton step, H_n the curvature without record n and T_i = d³l_i/dz³. One closed form per record; no
record is trained again. Cost: 2·N·(N + M)·C·D operations.

Wrong when: delta_2 is as long as delta_1 (the series does not settle), or the step would lower the record's own loss,
which no retraining without it can do (where nothing else changes: not looked at when there is a drift); such records
keep delta_1 and are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.influence.curvature import Curvature
from auditkit.influence.iterative import IterativeCurvature
from auditkit.influence.jacobian import output_jacobian, rows_that_fit
from auditkit.influence.likelihood import output_terms, third_derivative
from auditkit.influence.measures import Evaluation, record_quantity
from auditkit.influence.newton import Removal, removal
from auditkit.influence.problem import Inputs, Problem, batches
from auditkit.influence.sharing import whole

_NUMBERS = 2**22
_HELD = 2**26
_OPERATIONS = 2e12
_THIRD_OUTPUTS = 16
_LONGEST = 1.0
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Stepped:
    """Changes at the stepped parameters."""

    effects: Tensor
    """[N, S]"""
    self_influence: Tensor
    """[N]"""
    leverage: Tensor
    """[N]"""
    plain_self: Tensor
    """[N] plain influence on the own loss, see `scoring.Scores`."""
    unsettled: int
    """Records whose second-order term was left out because it was longer than the Newton step."""
    second_order: bool


def affordable(problem: Problem, rows: int) -> bool:
    """Whether the Jacobians of training and `rows` evaluation records fit in memory and the work is bounded."""
    held = (problem.n + rows) * problem.classes * problem.layout.size
    return held <= _HELD and 2.0 * problem.n * held <= _OPERATIONS


def step_all(
    problem: Problem,
    curvature: Curvature,
    evaluation: Evaluation,
    *,
    second_order: bool,
    drift: Tensor | None = None,
) -> Stepped:
    """Step every training record out and evaluate all measures and its own loss at the stepped parameters.

    Args:
        problem: the posed problem. curvature: fitted on it. evaluation: rows and measures.
        second_order: add delta_2; only for models affine in their parameters with at most 16 outputs.
        drift: [D, P] H⁻¹ times the pulls that every removal brings (see `scoring`); None is none.
    """
    second_order = second_order and problem.classes <= _THIRD_OUTPUTS
    if drift is None:
        drift = torch.zeros(problem.layout.size, 0, dtype=torch.float64, device=problem.targets.device)
    # Every process needs the Jacobians of all records, and steps out only those that it holds.
    curvature = curvature.alone if isinstance(curvature, IterativeCurvature) else curvature
    stage = _Stage.of(whole(problem), curvature, evaluation, drift, second_order=second_order)
    wide = max(problem.n * problem.classes**2, len(evaluation.targets) * problem.classes)
    size, stop = rows_that_fit(wide, _NUMBERS), problem.start + len(problem.targets)
    parts = [stage.block(slice(at, min(at + size, stop))) for at in range(problem.start, stop, size)]
    effects, own, leverage, plain, unsettled = (torch.cat(column) for column in zip(*parts, strict=True))
    return Stepped(effects, own, leverage, plain, int(unsettled.sum()), second_order)


@dataclass(frozen=True)
class _Stage:
    """Everything at the trained parameters that all blocks of records share."""

    problem: Problem
    curvature: Curvature
    evaluation: Evaluation
    outputs: Tensor
    """[N, C]"""
    jacobian: Tensor
    """[N, C, D]"""
    third: Tensor | None
    """[N, C, C, C] w_i / N times d³l/dz³."""
    eval_outputs: Tensor
    eval_jacobian: Tensor
    drift: Tensor
    """[D, P]"""

    @staticmethod
    def of(
        problem: Problem, curvature: Curvature, evaluation: Evaluation, drift: Tensor, *, second_order: bool
    ) -> _Stage:
        outputs, jacobian = _outputs_and_jacobian(problem, problem.inputs, problem.targets)
        share = (problem.weights / problem.n).view(-1, 1, 1, 1)
        return _Stage(
            problem,
            curvature,
            evaluation,
            outputs,
            jacobian,
            share * third_derivative(problem, outputs, problem.targets) if second_order else None,
            *_outputs_and_jacobian(problem, evaluation.inputs, evaluation.targets),
            drift,
        )

    def block(self, at: slice) -> tuple[Tensor, ...]:
        """Effects [B, S], self-influence, leverage, plain self-influence and unsettled [B] of a block of records."""
        problem, own = self.problem, self.jacobian[at]
        terms = output_terms(problem, self.outputs[at], problem.targets[at])
        half = self.curvature.solve(own.reshape(-1, own.shape[2]).T).T.reshape(own.shape)
        gram = half @ own.transpose(1, 2)
        out = removal(terms.root, gram, weights=problem.weights[at], n=problem.n, bound=self.curvature.leverage_bound)
        lifted = out.matrix @ (own @ self.drift).sum(2, keepdim=True)
        q = out.corrected(terms.gradient, gram) + lifted.squeeze(2)
        step = (torch.einsum("bc,bcd->db", q, half) + self.drift.sum(1, keepdim=True)) / problem.n
        unsettled = torch.zeros(step.shape[1], dtype=torch.bool, device=step.device)
        plain = torch.einsum("bc,bcd,bd->b", terms.gradient, gram, terms.gradient) * problem.weights[at] / problem.n
        if self.third is not None:
            second = self._second(step, out, own, half, at)
            unsettled = second.norm(dim=0) > _LONGEST * step.norm(dim=0)
            if not self.drift.shape[1]:
                unsettled |= self._own_change(step + second, own, terms.loss, at) < -_ROUNDING
            step = step + second.masked_fill(unsettled, 0.0)
        return self._effects(step), self._own_change(step, own, terms.loss, at), out.leverage, plain, unsettled

    def _own_change(self, step: Tensor, own: Tensor, before: Tensor, at: slice) -> Tensor:
        """[B] change of each record's own loss at its stepped parameters."""
        moved = self.outputs[at] + torch.einsum("bcd,db->bc", own, step)
        return self.problem.loss(self.problem.raw(moved), _float64(self.problem.targets[at])) - before

    def _second(self, step: Tensor, out: Removal, own: Tensor, half: Tensor, at: slice) -> Tensor:
        """[D, B] delta_2."""
        n, classes = self.outputs.shape
        third = self.third if self.third is not None else torch.zeros(())
        moves = (self.jacobian.reshape(n * classes, -1) @ step).view(n, classes, -1).transpose(1, 2)
        pairs = (moves.unsqueeze(3) * moves.unsqueeze(2)).reshape(n, -1, classes * classes)
        bent = pairs @ third.reshape(n, classes, classes * classes).transpose(1, 2)
        block = torch.arange(at.start, at.stop, device=bent.device)
        bent[block, block - at.start] = 0.0
        pull = -0.5 * self.jacobian.reshape(n * classes, -1).T @ bent.transpose(1, 2).reshape(n * classes, -1)
        solved = self.curvature.solve(pull)
        lifted = torch.einsum("bce,bed,db->bc", out.matrix, own, solved)
        return solved + torch.einsum("bc,bcd->db", lifted, half)

    def _effects(self, step: Tensor) -> Tensor:
        """[B, S] change of the measures at the stepped parameters."""
        m, classes = self.eval_outputs.shape
        change = (self.eval_jacobian.reshape(m * classes, -1) @ step).view(m, classes, -1).permute(2, 0, 1)
        stepped = (self.eval_outputs + change).reshape(-1, classes)
        aims = _float64(self.evaluation.targets)
        total = torch.zeros(step.shape[1], len(self.evaluation.measures), dtype=torch.float64, device=step.device)
        for quantity in self.evaluation.quantities():
            before = record_quantity(self.problem, self.evaluation, quantity, self.eval_outputs, aims)
            repeated = aims.repeat(step.shape[1], *(1 for _ in aims.shape[1:]))
            after = record_quantity(self.problem, self.evaluation, quantity, stepped, repeated)
            total += (after.view(-1, m) - before) @ self.evaluation.weights(quantity)
        return total


def _outputs_and_jacobian(problem: Problem, inputs: Inputs, targets: Tensor) -> tuple[Tensor, Tensor]:
    size = rows_that_fit(problem.classes * problem.layout.size)
    rows = [part for _, part, _ in batches(inputs, targets, min(size, problem.batch))]
    outputs = torch.cat([problem.outputs(part).detach().to(torch.float64) for part in rows])
    return outputs, torch.cat([output_jacobian(problem, part) for part in rows])


def _float64(targets: Tensor) -> Tensor:
    return targets.to(torch.float64) if targets.is_floating_point() else targets
