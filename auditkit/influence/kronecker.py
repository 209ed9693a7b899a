"""Pure algebra of one Kronecker-factored block with corrected eigenvalues and a penalty that may differ for the bias.

For a linear map with weight and bias [W b], inputs a (1 appended) and output-side root gradients d, the block is

    H ≈ (Q_G ⊗ Q_A) diag(E) (Q_G ⊗ Q_A)ᵀ + penalty,     E_jk = mean of (Q_Gᵀ d aᵀ Q_A)²_jk

(George et al. 2018, eigenvalue-corrected K-FAC; Grosse et al. 2023, section 3.2). A penalty lambda_w on weights and
lambda_b on the bias is I ⊗ (lambda_w I + rho e eᵀ), rho = lambda_b − lambda_w, e the bias coordinate. In the eigenbasis
it is, for every output direction j, a diagonal plus the rank-one term rho q qᵀ with q = Q_Aᵀ e, so that its inverse is
exact by Sherman–Morrison:

    (D_j + rho q qᵀ)⁻¹ = D_j⁻¹ − rho D_j⁻¹ q qᵀ D_j⁻¹ / (1 + rho qᵀ D_j⁻¹ q),     D_j = diag(E_j + lambda_w + damping)

No projection of the penalty is needed. The block is float64; rows and gradients may come in float32, are then
multiplied in float32, and sums of them leave in float64. Legend: o outputs, i inputs of the map (bias included).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.damping import Damping, added_damping, floor

WIDEST = 8192
"""Inputs up to which their factor is kept and decomposed whole (512 MiB); wider ones keep their own coordinates."""


@dataclass(frozen=True)
class Basis:
    """Eigenvectors of the two factors; `right` None is the identity (one-hot inputs, and inputs beyond `WIDEST`)."""

    left: Tensor
    """[o, o] Q_G."""
    right: Tensor | None
    """[i, i] Q_A."""

    @staticmethod
    def of(output_factor: Tensor, input_factor: Tensor | None) -> Basis:
        """Decompose the output factor [o, o] and the input factor [i, i]."""
        right = None if input_factor is None else torch.linalg.eigh(input_factor).eigenvectors
        return Basis(torch.linalg.eigh(output_factor).eigenvectors, right)

    def turn_outputs(self, rows: Tensor) -> Tensor:
        """[..., o] rows in the output eigenbasis, in their own precision."""
        return rows @ self.left.to(rows.dtype)

    def turn_inputs(self, rows: Tensor) -> Tensor:
        """[..., i] rows in the input eigenbasis, in their own precision."""
        return rows if self.right is None else rows @ self.right.to(rows.dtype)

    def turn(self, matrices: Tensor) -> Tensor:
        """[..., o, i] Q_Gᵀ M Q_A, in their own precision."""
        return self.turn_inputs(self.left.T.to(matrices.dtype) @ matrices)


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

    @staticmethod
    def invert(
        basis: Basis, eigenvalues: Tensor, damping: Damping, *, penalty: float, excess: float, affine: bool
    ) -> Block:
        """Choose the damping where it is `auto` (see `damping`); the bias's penalty is `penalty + excess`.

        Raises:
            NumericsError: the block is not positive definite with the damping given.
        """
        mean = float(eigenvalues.mean())
        added = added_damping(damping, mean_eigenvalue=mean, penalty=max(penalty, penalty + excess), affine=affine)
        try:
            return Block(basis, eigenvalues, penalty + added, excess, added)
        except NumericsError:
            if damping != "auto":
                raise
            # One of the two carries no L2 of its own: lift both by the floor.
            added = max(added, floor(mean, affine=affine))
            return Block(basis, eigenvalues, penalty + added, excess, added)

    @cached_property
    def inverse(self) -> Tensor:
        """[o, i] 1 / D."""
        return 1 / (self.eigenvalues + self.penalty)

    @property
    def bias_row(self) -> Tensor:
        """[i] q, the bias coordinate in the input eigenbasis."""
        if self.basis.right is not None:
            return self.basis.right[-1]
        unit = torch.zeros(self.eigenvalues.shape[1], dtype=torch.float64, device=self.eigenvalues.device)
        unit[-1] = 1.0
        return unit

    @property
    def _denominator(self) -> Tensor:
        """[o] 1 + rho qᵀ D_j⁻¹ q."""
        return 1 + self.bias_excess * (self.inverse @ self.bias_row.square())

    def solve(self, gradients: Tensor) -> Tensor:
        """H⁻¹ of gradients [S, o, i], in the parameters' own coordinates."""
        right, left = self.basis.right, self.basis.left
        solved = self.basis.turn(gradients) * self.inverse
        if self.bias_excess:
            pulled = (solved @ self.bias_row) * (self.bias_excess / self._denominator)
            solved = solved - pulled.unsqueeze(2) * (self.inverse * self.bias_row)
        return left @ solved if right is None else left @ solved @ right.T

    def input_quadratic(self, inputs: Tensor) -> Tensor:
        """[B, o] aᵀ B_j a for inputs [B, i] in the eigenbasis, B_j the inverse along output direction j.

        With outputs d in the eigenbasis, sum_j d_j² of it is the record's dᵀ ⊗ aᵀ H⁻¹ d ⊗ a: three matrix products for
        a whole batch and no per-record gradient.
        """
        quadratic = inputs.square() @ self.inverse.T.to(inputs.dtype)
        if self.bias_excess:
            pulled = inputs @ (self.inverse * self.bias_row).T.to(inputs.dtype)
            quadratic = quadratic - pulled.square() * (self.bias_excess / self._denominator).to(inputs.dtype)
        return quadratic

    def matrix_products(self, gradients: Tensor) -> Tensor:
        """[B, P, P] float64: products under H⁻¹ of per-record gradients [B, P, o, i] already in the eigenbasis."""
        flat = gradients.flatten(2)
        products = ((flat * self.inverse.flatten().to(flat.dtype)) @ flat.transpose(1, 2)).to(torch.float64)
        if self.bias_excess:
            pulled = torch.einsum("bpoi,oi->bpo", gradients, (self.inverse * self.bias_row).to(flat.dtype))
            scaled = pulled * (self.bias_excess / self._denominator).to(flat.dtype)
            products = products - scaled @ pulled.transpose(1, 2)
        return products

    def damped(self, added: float) -> Block:
        """The same block with another damping beyond its L2."""
        return replace(self, penalty=self.penalty - self.damping + added, damping=added)

    def position_products(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """[B, P, P] float64: the same for gradients sum_t d_t a_tᵀ, from pairs of positions and without forming them.

        With M the inverse, K_tu,j = sum_k a_tk M_jk a_uk [B, T, T, o] is one matrix product for all pairs; what is
        wanted is sum_{t, u, j} d_tj K_tu,j d_uj.

        Args:
            inputs: [B, T, i] in the eigenbasis. gradients: [B, P, T, o] in the eigenbasis.
        """
        positions, inverse = inputs.shape[1], self.inverse.T.to(inputs.dtype)
        first, second = torch.tril_indices(positions, positions, device=inputs.device)
        lower = (inputs[:, first] * inputs[:, second]) @ inverse
        kernel = lower.new_empty(len(inputs), positions, positions, lower.shape[2])
        kernel[:, first, second] = lower
        kernel[:, second, first] = lower
        weighted = torch.einsum("bptj,btuj->bpuj", gradients, kernel)
        products = (weighted.flatten(2) @ gradients.flatten(2).transpose(1, 2)).to(torch.float64)
        if self.bias_excess:
            pulled = inputs @ (self.inverse * self.bias_row).T.to(inputs.dtype)
            along = torch.einsum("bptj,btj->bpj", gradients, pulled)
            scaled = along * (self.bias_excess / self._denominator).to(along.dtype)
            products = products - scaled @ along.transpose(1, 2)
        return products

    def stiffer(self, factor: float) -> Block:
        """The same block with its penalty (L2 and damping, weights and bias) multiplied."""
        return replace(self, penalty=self.penalty * factor, bias_excess=self.bias_excess * factor)
