"""Curvature of a parameter of which nothing is known but its per-record gradients, seen as matrices G_n [o, i].

    H ≈ (Q_L ⊗ Q_R) diag(E) (Q_L ⊗ Q_R)ᵀ + penalty,     E_jk = mean of (Q_Lᵀ G Q_R)²_jk

with Q_L, Q_R the eigenvectors of L = sum_n p_n G_n G_nᵀ and R = sum_n p_n G_nᵀ G_n over the *root* gradients
(`likelihood`), so that the factors are those of the Gauss–Newton matrix. Without corrected eigenvalues E is
l rᵀ / tr L: L and R both hold the trace, and where the covariance of G is A ⊗ B this is A ⊗ B exactly.

Source: Gupta, Koren & Singer 2018 (Shampoo's factors); George et al. 2018 (eigenvalue correction). Exact when one side
is 1 (a vector, up to `WIDEST` numbers), and with corrected eigenvalues whenever the covariance of the gradients is
diagonal in a product basis. Wrong when it is not, which is the rule: then only its diagonal in this basis is right. A
side wider than `WIDEST` (a vocabulary) keeps its own coordinates, which leaves out the correlations along it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError
from auditkit.influence.kronecker import WIDEST, Basis

_MOST = 2 * WIDEST


@dataclass(frozen=True)
class View:
    """A parameter as a matrix [o, i]."""

    name: str
    shape: tuple[int, ...]
    """Of the parameter."""
    sides: tuple[int, int]
    """Leading and trailing dimensions multiplied."""
    turned: bool
    """Whether the matrix is the transpose, so that a very wide side is the inputs'."""

    @staticmethod
    def of(name: str, shape: Sequence[int]) -> View:
        """Cut the dimensions in two where the longer side is shortest.

        Raises:
            ModelError: both sides are too wide for a factor.
        """
        cuts = [(prod(shape[:k]), prod(shape[k:])) for k in range(len(shape))] or [(1, 1)]
        sides = min(cuts, key=max)
        if min(sides) > _MOST:
            size = min(sides) ** 2 * 8 / 2**30
            raise ModelError(
                Complaint(
                    f"{name} is a matrix of {sides[0]} by {sides[1]}: the smaller of its factors takes {size:.1f} GiB",
                    hint="use estimator cg or arnoldi, which form no factors",
                )
            )
        return View(name, tuple(shape), sides, turned=sides[0] > WIDEST and sides[0] > sides[1])

    def matrices(self, flat: Tensor) -> Tensor:
        """[..., numbers] -> [..., o, i]."""
        found = flat.reshape(*flat.shape[:-1], *self.sides)
        return found.transpose(-1, -2) if self.turned else found

    def flat(self, matrices: Tensor) -> Tensor:
        """The inverse of `matrices`."""
        return (matrices.transpose(-1, -2) if self.turned else matrices).flatten(-2)

    def factor_sums(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Float64 sums of G Gᵀ [o, o] and Gᵀ G [i, i] (beyond `WIDEST` its diagonal [i]) of [B, P, numbers]."""
        g = self.matrices(flat.flatten(0, 1))
        rows = g.transpose(0, 1).flatten(1)
        left = (rows @ rows.T).to(torch.float64)
        columns = g.flatten(0, 1)
        right = columns.square().sum(0) if columns.shape[1] > WIDEST else columns.T @ columns
        return left, right.to(torch.float64)

    def eigenvalue_sum(self, basis: Basis, flat: Tensor) -> Tensor:
        """[o, i] sum of (Q_Lᵀ G Q_R)² of gradients [B, P, numbers], float64."""
        return basis.turn(self.matrices(flat.flatten(0, 1))).square().sum(0).to(torch.float64)


def product_eigenvalues(left: Tensor, right: Tensor, basis: Basis) -> Tensor:
    """[o, i] l rᵀ / tr L from the factors and their eigenvectors."""
    rows = ((basis.left * (left @ basis.left)).sum(0)).clamp(min=0.0)
    columns = right if basis.right is None else ((basis.right * (right @ basis.right)).sum(0)).clamp(min=0.0)
    total = rows.sum()
    return torch.outer(rows, columns) / torch.where(total > 0, total, torch.ones_like(total))
