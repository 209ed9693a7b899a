"""Pure algebra of one Kronecker-factored block with corrected eigenvalues and a penalty that may differ for the bias.

For a linear map with weight and bias [W b], inputs a (1 appended) and output-side root gradients d, the block is

    H ≈ (Q_G ⊗ Q_A) diag(E) (Q_G ⊗ Q_A)ᵀ + penalty,     E_jk = mean of (Q_Gᵀ d aᵀ Q_A)²_jk

(George et al. 2018, eigenvalue-corrected K-FAC; Grosse et al. 2023, section 3.2). A penalty lambda_w on weights and
lambda_b on the bias is I ⊗ (lambda_w I + rho e eᵀ), rho = lambda_b − lambda_w, e the bias coordinate. In the eigenbasis
it is, for every output direction j, a diagonal plus the rank-one term rho q qᵀ with q = Q_Aᵀ e, so that its inverse is
exact by Sherman–Morrison:

    (D_j + rho q qᵀ)⁻¹ = D_j⁻¹ − rho D_j⁻¹ q qᵀ D_j⁻¹ / (1 + rho qᵀ D_j⁻¹ q),     D_j = diag(E_j + lambda_w + damping)

No projection of the penalty is needed. Everything is float64. Legend: o outputs, i inputs of the map (bias included).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError


@dataclass(frozen=True)
class Basis:
    """Eigenvectors of the two factors; `right` None is the identity (one-hot inputs: their factor is diagonal)."""

    left: Tensor
    """[o, o] Q_G."""
    right: Tensor | None
    """[i, i] Q_A."""

    @staticmethod
    def of(output_factor: Tensor, input_factor: Tensor | None) -> Basis:
        """Decompose the output factor [o, o] and the input factor [i, i]."""
        right = None if input_factor is None else torch.linalg.eigh(input_factor).eigenvectors
        return Basis(torch.linalg.eigh(output_factor).eigenvectors, right)


@dataclass(frozen=True)
class Block:
    """One inverted block; `invert` makes it."""

    basis: Basis
    eigenvalues: Tensor
    """[o, i] E."""
    penalty: float
    """lambda_w + damping."""
    bias_excess: float
    """rho = lambda_b − lambda_w; 0 when both are penalised alike or there is no bias."""
    damping: float

    def __post_init__(self) -> None:
        """Refuse a block that is not positive definite."""
        positive = bool((self.eigenvalues + self.penalty > 0).all()) and bool((self._denominator > 1e-12).all())
        if not positive:
            raise NumericsError(
                Complaint(
                    f"a curvature block is not positive definite with damping {self.damping:g}",
                    hint="set influence.damping to a larger number",
                )
            )

    @property
    def inverse(self) -> Tensor:
        """[o, i] 1 / D."""
        return 1 / (self.eigenvalues + self.penalty)

    @property
    def bias_row(self) -> Tensor:
        """[i] q, the bias coordinate in the input eigenbasis."""
        if self.basis.right is None:
            return torch.zeros(self.eigenvalues.shape[1], dtype=torch.float64, device=self.eigenvalues.device)
        return self.basis.right[-1]

    @property
    def _denominator(self) -> Tensor:
        """[o] 1 + rho qᵀ D_j⁻¹ q."""
        return 1 + self.bias_excess * (self.inverse @ self.bias_row.square())

    def solve(self, gradients: Tensor) -> Tensor:
        """H⁻¹ of gradients [S, o, i], in the parameters' own coordinates."""
        right, left = self.basis.right, self.basis.left
        turned = left.T @ gradients if right is None else left.T @ gradients @ right
        solved = turned * self.inverse
        if self.bias_excess:
            pulled = (solved @ self.bias_row) * (self.bias_excess / self._denominator)
            solved = solved - pulled.unsqueeze(2) * (self.inverse * self.bias_row)
        return left @ solved if right is None else left @ solved @ right.T

    def input_quadratic(self, inputs: Tensor) -> Tensor:
        """[B, o] aᵀ B_j a for inputs [B, i] in the eigenbasis, B_j the inverse along output direction j.

        With outputs d in the eigenbasis, sum_j d_j² of it is the record's dᵀ ⊗ aᵀ H⁻¹ d ⊗ a: three matrix products for
        a whole batch and no per-record gradient.
        """
        quadratic = inputs.square() @ self.inverse.T
        if self.bias_excess:
            pulled = inputs @ (self.inverse * self.bias_row).T
            quadratic = quadratic - pulled.square() * (self.bias_excess / self._denominator)
        return quadratic

    def matrix_products(self, gradients: Tensor) -> Tensor:
        """[B, P, P] inner products under H⁻¹ of per-record gradients [B, P, o, i] already in the eigenbasis."""
        products = torch.einsum("bpoi,oi,bqoi->bpq", gradients, self.inverse, gradients)
        if self.bias_excess:
            pulled = torch.einsum("bpoi,oi,i->bpo", gradients, self.inverse, self.bias_row)
            scale = self.bias_excess / self._denominator
            products = products - torch.einsum("bpo,o,bqo->bpq", pulled, scale, pulled)
        return products

    def stiffer(self, factor: float) -> Block:
        """The same block with its penalty (L2 and damping, weights and bias) multiplied."""
        return replace(self, penalty=self.penalty * factor, bias_excess=self.bias_excess * factor)
