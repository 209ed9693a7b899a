"""Squared lengths gᵀ H⁻¹ g of single records' gradients g = d aᵀ under one inverted block, for whole batches.

    sum_jk (d Q_G)_j² M_jk (a Q_A)_k²,      M the inverse block in the eigenbasis          (exact)
                                            M ≈ sum_r u_r v_rᵀ                             (compressed)

M is a smooth function of two falling spectra, so a few terms carry it: what is cut is M in the norm in which it meets
records, each row weighted by E (d Q_G)_j² and each column by E (a Q_A)_k². That leaves the two rotations, which may be
taken in bfloat16: the lengths are sums of squares, in which roundings average out.

Where the bias has an L2 of its own, sum_j (d Q_G)_j² s_j ((a Q_A) · (M q)_j)² goes off (`kronecker`), in full.

Source: George et al. 2018 for the eigenbasis. Wrong when: as `ekfac` and `kfac`; the error of the compressed form is
measured by `rehearsal`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.kronecker import Block

_SPREAD = 3.0
"""How far a record's length lies from its mean by the entries that were cut, in multiples of their weighted norm."""


@dataclass(frozen=True)
class OwnLength:
    """One block, in the form in which rows meet it."""

    left: Tensor
    """[o, o] Q_G, in the precision of the rotations."""
    right: Tensor | None
    """[i, i] Q_A, likewise; None is the identity."""
    inverse: tuple[Tensor, Tensor] | None
    """u [o, R] and v [i, R]; None is all of M."""
    whole: Tensor
    """[i, o] transpose of M, in the precision of the rows."""
    pulled: Tensor | None
    """[i, o] (M q)ᵀ where the bias has an L2 of its own."""
    scale: Tensor | None
    """[o] rho over its denominator."""

    @staticmethod
    def of(block: Block, dtype: torch.dtype) -> OwnLength:
        """Exact, from a float64 block, for rows of this precision."""
        inverse, right, pulled, scale = block.inverse, block.basis.right, None, None
        if block.bias_excess:
            row = block.bias_row
            pulled = (inverse * row).T.to(dtype).contiguous()
            scale = (block.bias_excess / (1 + block.bias_excess * (inverse @ row.square()))).to(dtype)
        turned = None if right is None else right.to(dtype)
        return OwnLength(block.basis.left.to(dtype), turned, None, inverse.T.to(dtype).contiguous(), pulled, scale)

    def lengths(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """[B] for inputs [B, i] and loss gradients [B, o], in their precision."""
        low, dtype = self.left.dtype, inputs.dtype
        a = inputs if self.right is None else (inputs.to(low) @ self.right).to(dtype)
        outer = (gradients.to(low) @ self.left).to(dtype).square_()
        if self.pulled is None or self.scale is None:
            return self._quadratic(a, outer)
        off = (a @ self.pulled).square_() * self.scale
        return self._quadratic(a, outer) - _dot(off, outer)

    def _quadratic(self, a: Tensor, outer: Tensor) -> Tensor:
        inner = a.square()
        if self.inverse is None:
            return _dot(outer, inner @ self.whole)
        u, v = self.inverse
        return _dot(outer @ u, inner @ v)

    def compressed(self, inputs: Tensor, gradients: Tensor, allowed: float, rotations: torch.dtype) -> OwnLength:
        """With the fewest terms of M that leave out no more than `allowed` of a record's mean length.

        Args:
            inputs: [i, i] second moment of the inputs. gradients: [o, o] that of the loss gradients.
            allowed: of the sum over all layers, in the unit of the lengths. rotations: their precision.
        """
        x, y = self._squares(inputs, gradients)
        whole = self.whole.to(torch.float64).T
        weighted = x.unsqueeze(1) * whole * y
        # The squares of the singular values are enough: terms that rounding would blur are far below what is allowed.
        energy, u = torch.linalg.eigh(weighted @ weighted.T)
        energy, u = energy.flip(0).clamp(min=0), u.flip(1)
        beyond = energy.flip(0).cumsum(0).flip(0).sqrt() * _SPREAD
        terms = max(1, int((beyond > allowed).sum()))
        turned = replace(
            self, left=self.left.to(rotations), right=None if self.right is None else self.right.to(rotations)
        )
        outputs, width = whole.shape
        if terms * (outputs + width) >= outputs * width:
            return turned
        empty_x, empty_y = (torch.where(t > 0, 1 / t, 0.0) for t in (x, y))
        dtype = self.whole.dtype
        pair = (u[:, :terms] * empty_x.unsqueeze(1), weighted.T @ u[:, :terms] * empty_y.unsqueeze(1))
        return replace(turned, inverse=(pair[0].to(dtype).contiguous(), pair[1].to(dtype).contiguous()))

    def mean(self, inputs: Tensor, gradients: Tensor) -> float:
        """Mean length over records with these second moments, if inputs and gradients were independent."""
        x, y = self._squares(inputs, gradients)
        return float(x @ self.whole.to(torch.float64).T @ y)

    def _squares(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squares [o] and [i] along the eigenvectors."""
        left = self.left.to(torch.float64)
        x = torch.linalg.vecdot(left, gradients @ left, dim=0).clamp(min=0)
        if self.right is None:
            return x, inputs.diagonal()
        right = self.right.to(torch.float64)
        return x, torch.linalg.vecdot(right, inputs @ right, dim=0).clamp(min=0)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """[B] row by row."""
    found: Tensor = torch.linalg.vecdot(left, right)
    return found
