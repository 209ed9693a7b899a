"""`cg`: preconditioned conjugate gradients on products with the Gauss–Newton matrix, all measures at once.

    H x = b,   H = G + diag(lambda + damping),   M ≈ H
    a = rᵀz / pᵀHp,   x += a p,   r −= a H p,   z = M⁻¹ r,   p = z + (rᵀz)_new / (rᵀz)_old p

for K columns that share every pass over the data; each has its own step lengths and leaves when it has converged. M is
by choice `krylov` (the top eigenpairs of H and the penalty beside them, see `arnoldi`), `ekfac`, or H's own `diagonal`;
it decides the speed and nothing else. On a tanh network of 1,794 parameters 12 digits took 116 to 137, 858 and 662
iterations with them. Recurrences are float64. Convergence is sqrt(rᵀM⁻¹r / bᵀM⁻¹b), which is the relative error in the
energy norm as far as M is H. After convergence the residual is computed afresh; where the recurrence had drifted the
iteration restarts from there.

Source: Martens 2010, section 4; Koh & Liang 2017, section 3; Hestenes & Stiefel 1952; deflation: Saad et al. 2000.
Cost: one product (a pass over the training rows, 10·N·D operations a column) per iteration, a number of iterations that
grows with sqrt(condition of M⁻¹H) for each digit; `krylov` takes `steps` products first and steps·D numbers; 4·D
numbers a column. Self-influence: see `iterative`.

Wrong when: H is indefinite or singular along b (the residual is then not reached and the run refused), or the passes
are float32 and H is ill conditioned (the residual reached is printed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from auditkit.errors import ModelError, NumericsError
from auditkit.influence.blocks import fit_blocks
from auditkit.influence.capture import unused_sites
from auditkit.influence.conjugate import ConjugateGradients, Jacobi, Preconditioner
from auditkit.influence.damping import Damping, floor
from auditkit.influence.iterative import IterativeCurvature, with_damping
from auditkit.influence.problem import Problem
from auditkit.influence.products import HELD, GaussNewton
from auditkit.influence.spectra import corrected_spectrum
from auditkit.influence.subspace import subspace


@dataclass(frozen=True)
class Cg:
    """Settings of the conjugate-gradient estimator."""

    damping: Damping = "auto"
    tolerance: float = 1e-12
    """Relative residual aimed at."""
    refuse: float = 1e-8
    """Relative residual above which the answer is refused; both are raised to what float32 passes can reach."""
    iterations: int = 2000
    held: int = HELD
    """Numbers of the root Jacobian up to which it is formed once."""
    operations: float = 2e13
    """Most operations for the quadratic forms of all records (about ten minutes on one core)."""
    preconditioner: Literal["krylov", "ekfac", "diagonal"] = "krylov"
    steps: int = 256
    """Krylov basis of the preconditioner."""

    def fit(self, problem: Problem) -> IterativeCurvature:
        """Fit the preconditioner and solve one column as a test.

        Raises:
            NumericsError: the residual is not reached with the damping given (with `auto`: not even with its floor).
            ModelError: the loss is not convex in the outputs.
        """
        operator = GaussNewton.of(problem, held=self.held)
        solver, added, trial = with_damping(operator, self.damping, self._solver)
        return IterativeCurvature(operator, solver, added, trial, 1 - 1e-9, self.operations)

    def _solver(self, operator: GaussNewton, penalty: Tensor) -> ConjugateGradients:
        return ConjugateGradients(
            operator,
            penalty,
            self._preconditioner(operator, penalty),
            goal=max(self.tolerance, 10 * operator.rounding),
            refuse=max(self.refuse, 1e3 * operator.rounding),
            most=self.iterations,
        )

    def _preconditioner(self, operator: GaussNewton, penalty: Tensor) -> Preconditioner:
        """The one chosen; H's diagonal where that one cannot be had (M decides the speed only)."""
        mean = float(operator.diagonal.mean())
        try:
            if self.preconditioner == "krylov":
                least = floor(mean, affine=False) or 1.0
                return subspace(operator, penalty, least, steps=self.steps, keep=3 * self.steps // 4).curvature()
            if self.preconditioner == "ekfac" and not unused_sites(operator.problem):
                return fit_blocks(operator.problem, corrected_spectrum, self.damping)
        except (ModelError, NumericsError):
            pass
        return Jacobi(operator.diagonal, penalty)
