"""`exact`: the dense generalised Gauss–Newton matrix with the model's own L2, by Cholesky in float64.

    H = 1/N sum_n w_n J_nᵀ W_n J_n + diag(lambda + damping)

Source: Koh & Liang 2017, section 2; Martens 2020 for the Gauss–Newton form. For a model that is affine in its
parameters H is the Hessian of F. Cost: N·K·D² + D³/3 operations, 3·D² numbers; meant for up to about 30,000 parameters.

Wrong when: the model is not affine and its residuals are large (H leaves out the curvature of the outputs), or the
parameters are not a minimum of F.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.curvature import BlockSpectrum
from auditkit.influence.damping import Damping
from auditkit.influence.dense import DenseBlock
from auditkit.influence.jacobian import is_affine, output_jacobian, rows_that_fit
from auditkit.influence.problem import Inputs, Problem
from auditkit.influence.sequences import root_rows
from auditkit.influence.sharing import summed
from auditkit.result import Quality


@dataclass(frozen=True)
class Exact:
    """Settings of the exact estimator."""

    damping: Damping = "auto"

    def fit(self, problem: Problem) -> ExactCurvature:
        """Accumulate H and factorise it.

        Raises:
            NumericsError: H is not positive definite with the damping given (with `auto`: not even with its floor).
            ModelError: the loss is not convex in the outputs.
        """
        ggn = gauss_newton(problem)
        return ExactCurvature(problem, DenseBlock.invert(ggn, problem.penalty, self.damping, affine=is_affine(problem)))


@dataclass(frozen=True)
class ExactCurvature:
    """One dense block over all parameters."""

    problem: Problem
    block: DenseBlock
    knows_leverage: bool = True
    leverage_bound: float = 1 - 1e-9

    @property
    def damping(self) -> Mapping[str, float]:
        """Damping beyond the model's own L2."""
        return {"all": self.block.damping}

    @property
    def covered(self) -> int:
        """All trainable parameters."""
        return self.problem.layout.size

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ vectors."""
        return self.block.solve(vectors)

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Both products from dense Jacobians, a few records at a time."""
        size = rows_that_fit(self.problem.classes * self.problem.layout.size)
        crosses, grams = [], []
        for start in range(0, len(inputs[0]), size):
            jacobian = output_jacobian(self.problem, tuple(t[start : start + size] for t in inputs))
            if probes is not None:
                jacobian = probes[start : start + size].transpose(1, 2) @ jacobian
            crosses.append(jacobian @ directions)
            grams.append(self.block.gram(jacobian))
        return torch.cat(crosses), torch.cat(grams)

    def quality(self) -> tuple[Quality, ...]:
        """Nothing beyond what every run reports."""
        return ()

    def spectra(self, vectors: Tensor) -> Mapping[str, BlockSpectrum]:
        """Of the one block."""
        return {"all": self.block.spectrum(vectors)}

    def damped(self, added: Mapping[str, float]) -> ExactCurvature:
        """The same Gauss–Newton matrix under another damping."""
        return replace(self, block=self.block.damped(added.get("all", self.block.damping)))

    def stiffer(self, factor: float) -> ExactCurvature:
        """The same Gauss–Newton matrix under `factor` times the penalty."""
        return replace(self, block=self.block.stiffer(factor))


def gauss_newton(problem: Problem) -> Tensor:
    """[D, D] float64: 1/N sum_n w_n J_nᵀ W_n J_n, without any penalty."""
    return summed(problem, "gauss-newton", lambda: {"ggn": _gauss_newton(problem)})["ggn"]


def _gauss_newton(problem: Problem) -> Tensor:
    """Over the rows here."""
    size = problem.layout.size
    total = torch.zeros(size, size, dtype=torch.float64, device=problem.targets.device)
    for at, inputs, targets in problem.rows(min(problem.batch, rows_that_fit(problem.classes * size))):
        root = root_rows(problem, problem.outputs(inputs), targets, output_jacobian(problem, inputs))
        rows = (root * (problem.weights[at] / problem.n).sqrt().view(-1, 1, 1)).reshape(-1, size)
        total.addmm_(rows.T, rows)
    return total
