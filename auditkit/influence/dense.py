"""Pure algebra of a dense block of curvature: Gauss–Newton matrix, penalty and their Cholesky factor, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.curvature import BlockSpectrum
from auditkit.influence.damping import Damping, added_damping, floor
from auditkit.influence.krylov import krylov_basis

_WHOLE = 2048
_KRYLOV = 384


@dataclass(frozen=True)
class DenseBlock:
    """H = ggn + diag(penalty + damping), inverted through its factor; made by `invert`."""

    ggn: Tensor
    """[D, D] without any penalty."""
    diagonal: Tensor
    """[D] penalty + damping."""
    factor: Tensor
    """[D, D] lower Cholesky factor of H."""
    damping: float

    @staticmethod
    def invert(ggn: Tensor, penalty: Tensor, damping: Damping, *, affine: bool) -> DenseBlock:
        """Choose the damping where it is `auto` (see `damping`) and factorise.

        Raises:
            NumericsError: H is not positive definite with the damping given (with `auto`: not even with its floor).
        """
        mean = float(ggn.diagonal().mean())
        added = added_damping(damping, mean_eigenvalue=mean, penalty=float(penalty.max()), affine=affine)
        try:
            factor = _factor(ggn, penalty + added, added)
        except NumericsError:
            if damping != "auto":
                raise
            # Some parameters carry no L2 of their own: lift all of them by the floor.
            added = max(added, floor(mean, affine=affine))
            factor = _factor(ggn, penalty + added, added)
        return DenseBlock(ggn, penalty + added, factor, added)

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ vectors, [D, K] -> [D, K]."""
        solved: Tensor = torch.cholesky_solve(vectors.to(torch.float64), self.factor)
        return solved

    def gram(self, jacobian: Tensor) -> Tensor:
        """[B, P, P] J H⁻¹ Jᵀ of each record's rows [B, P, D], as a product of the half-solved rows with themselves."""
        flat = jacobian.reshape(-1, jacobian.shape[2]).T
        half: Tensor = torch.linalg.solve_triangular(self.factor, flat, upper=False).T.reshape(jacobian.shape)
        return half @ half.transpose(1, 2)

    def damped(self, added: float) -> DenseBlock:
        """The same Gauss–Newton matrix under its penalty and another damping.

        Raises:
            NumericsError: H is not positive definite with it.
        """
        diagonal = self.diagonal - self.damping + added
        return DenseBlock(self.ggn, diagonal, _factor(self.ggn, diagonal, added), added)

    def spectrum(self, vectors: Tensor) -> BlockSpectrum:
        """Without the penalty: whole up to 2,048 parameters, else what a Krylov space of vectors [D, K] sees of it."""
        if len(self.ggn) <= _WHOLE:
            eigenvalues, basis = torch.linalg.eigh(self.ggn)
        else:
            chance = torch.Generator().manual_seed(0)
            columns = min(len(self.ggn), _KRYLOV)
            krylov, projected = krylov_basis(lambda v: self.ggn @ v, vectors, columns=columns, generator=chance)
            eigenvalues, turn = torch.linalg.eigh(projected)
            basis = krylov @ turn
        own = float(self.diagonal.max()) - self.damping
        return BlockSpectrum(eigenvalues.clamp(min=0), basis.T @ vectors, own)

    def stiffer(self, factor: float) -> DenseBlock:
        """The same Gauss–Newton matrix under `factor` times the penalty."""
        diagonal = self.diagonal * factor
        return DenseBlock(self.ggn, diagonal, _factor(self.ggn, diagonal, self.damping), self.damping)


def _factor(ggn: Tensor, diagonal: Tensor, damping: float) -> Tensor:
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(ggn + torch.diag(diagonal))
    pivots = factor.diagonal()
    # A singular matrix may pass by rounding: its smallest pivot is then of the size of the rounding itself.
    rounding = (len(pivots) * torch.finfo(factor.dtype).eps) ** 0.5
    if int(info) or not bool(torch.isfinite(factor).all()) or bool(pivots.min() <= rounding * pivots.max()):
        raise NumericsError(
            Complaint(
                f"the curvature is not positive definite with damping {damping:g}",
                hint="set influence.damping to a larger number",
            )
        )
    return factor
