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

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError, NumericsError
from auditkit.influence.blocks import corrected_spectrum, fit_blocks
from auditkit.influence.capture import unused_sites
from auditkit.influence.damping import Damping, floor
from auditkit.influence.iterative import IterativeCurvature, Journal, with_damping
from auditkit.influence.problem import Problem
from auditkit.influence.products import HELD, GaussNewton
from auditkit.influence.subspace import subspace
from auditkit.result import Quality

_RESTARTS = 4


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


class Preconditioner(Protocol):
    """A cheap M⁻¹."""

    def solve(self, vectors: Tensor) -> Tensor:
        """M⁻¹ vectors [D, K]."""
        ...

    def stiffer(self, factor: float) -> Preconditioner:
        """With the penalty multiplied."""
        ...


@dataclass(frozen=True)
class Jacobi:
    """M = diag(G) + penalty."""

    diagonal: Tensor
    """[D] of G."""
    penalty: Tensor

    def solve(self, vectors: Tensor) -> Tensor:
        """M⁻¹ vectors; a parameter without curvature and penalty is left as it is."""
        whole = self.diagonal + self.penalty
        return vectors / torch.where(whole > 0, whole, torch.ones_like(whole)).unsqueeze(1)

    def stiffer(self, factor: float) -> Jacobi:
        """With the penalty multiplied."""
        return replace(self, penalty=self.penalty * factor)


@dataclass(frozen=True)
class ConjugateGradients:
    """The iteration for one H."""

    operator: GaussNewton
    penalty: Tensor
    """[D]"""
    preconditioner: Preconditioner
    goal: float
    refuse: float
    most: int

    def solve(self, vectors: Tensor, journal: Journal) -> Tensor:
        """H⁻¹ vectors.

        Raises:
            NumericsError: a column's residual, computed afresh, is above `refuse`.
        """
        whole = self._norms(vectors)
        scale = torch.where(whole > 0, whole, torch.ones_like(whole))
        answer, residual, used = torch.zeros_like(vectors), vectors, 0
        reached = whole / scale
        for _ in range(_RESTARTS):
            step, count = self._run(residual, scale, self.most - used)
            used += count
            moved = vectors - self._curve(answer + step)
            now = self._norms(moved) / scale
            better = now < reached
            answer = torch.where(better, answer + step, answer)
            residual, before = torch.where(better, moved, residual), reached
            reached = torch.minimum(now, reached)
            # Another round only helps the columns that the drift of the recurrence kept from the goal.
            if not bool(((reached > self.goal) & (reached < 0.1 * before)).any()) or used >= self.most:
                break
        self._require(reached, used)
        journal.note(systems=vectors.shape[1], iterations=used, error=float(reached.max()))
        return answer

    def _run(self, start: Tensor, scale: Tensor, most: int) -> tuple[Tensor, int]:
        """One round from x = 0 with residual `start`; columns leave as they converge or break down."""
        x, r = torch.zeros_like(start), start.clone()
        z = self.preconditioner.solve(r)
        p, rz = z.clone(), (r * z).sum(0)
        count = 0
        live = torch.nonzero(rz.clamp(min=0).sqrt() > self.goal * scale)[:, 0]
        while len(live) and count < most:
            ahead = p[:, live]
            curved = self._curve(ahead)
            bend = (ahead * curved).sum(0)
            # No curvature along the direction: H is singular there, and the residual will say so.
            live, ahead, curved, bend = (t[..., bend > 0] for t in (live, ahead, curved, bend))
            if not len(live):
                break
            length = rz[live] / bend
            x[:, live] += length * ahead
            r[:, live] -= length * curved
            z = self.preconditioner.solve(r[:, live])
            new = (r[:, live] * z).sum(0)
            p[:, live] = z + new / rz[live] * ahead
            rz[live] = new
            count += 1
            live = live[new.clamp(min=0).sqrt() > self.goal * scale[live]]
        return x, count

    def _curve(self, vectors: Tensor) -> Tensor:
        return self.operator.product(vectors) + self.penalty.unsqueeze(1) * vectors

    def _norms(self, vectors: Tensor) -> Tensor:
        """[K] in the norm of M⁻¹."""
        return (vectors * self.preconditioner.solve(vectors)).sum(0).clamp(min=0).sqrt()

    def _require(self, reached: Tensor, used: int) -> None:
        failed = int((~(reached <= self.refuse)).sum())
        if failed:
            raise NumericsError(
                Complaint(
                    f"conjugate gradients left a relative residual of {float(reached.max()):.1e} after {used} "
                    f"iterations, above {self.refuse:.0e}, in {failed} of {len(reached)} systems; the curvature may be "
                    "singular",
                    hint="set influence.damping to a larger number",
                )
            )

    def stiffer(self, factor: float) -> ConjugateGradients:
        """The same for a multiplied penalty."""
        return replace(self, penalty=self.penalty * factor, preconditioner=self.preconditioner.stiffer(factor))

    def quality(self, journal: Journal) -> tuple[Quality, ...]:
        """Residual and iterations."""
        text = (
            f"Largest relative residual of {journal.systems:,} linear systems solved by conjugate gradients in at most "
            f"{journal.iterations:,} iterations; stated limit {self.refuse:.0e}."
        )
        return (Quality(name="solver residual", value=journal.error, text=text),)
