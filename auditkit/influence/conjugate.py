"""Preconditioned conjugate gradients for many columns that share every pass over the data; formulas: `cg`.

Recurrences are float64. After convergence the residual is computed afresh; where the recurrence had drifted the
iteration restarts from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.iterative import Journal
from auditkit.influence.products import GaussNewton
from auditkit.result import Quality

_RESTARTS = 4


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

    def on(self, operator: GaussNewton) -> ConjugateGradients:
        """The same with products by another operator of the same G."""
        return replace(self, operator=operator)

    def quality(self, journal: Journal) -> tuple[Quality, ...]:
        """Residual and iterations."""
        text = (
            f"Largest relative residual of {journal.systems:,} linear systems solved by conjugate gradients in at most "
            f"{journal.iterations:,} iterations; stated limit {self.refuse:.0e}."
        )
        return (Quality(name="solver residual", value=journal.error, text=text),)
