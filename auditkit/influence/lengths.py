"""Squared lengths gᵀ H⁻¹ g of single records' gradients g = d aᵀ under one inverted block, for whole batches.

    sum_jk (d Q_G)_j² M_jk (a Q_A)_k²,      M the inverse block in the eigenbasis          (whole)
                                            M ≈ sum_r u_r v_rᵀ                             (in few terms)

All factors but u and v are squares or positive, so what the few terms leave out of a record is at most the largest
relative error of an entry of M, max |M − sum_r u_r v_rᵀ|_jk / M_jk, whatever the record: a bound for every record, not
for a sample of them. Terms are those of M in the scale p_j q_k in which its rows and columns have entries around 1, so
that small entries are met as well as large ones; a few suffice because M is a smooth function of two falling spectra.
The error of rounding is bounded likewise: by the sum of the terms' absolute values over the entry.

Where the bias has an L2 of its own, sum_j (d Q_G)_j² s_j ((a Q_A) · (M q)_j)² goes off (`kronecker`), in full. What is
left is at least the (1 + rho qᵀ M q)-th part of the first sum, and the bound on the error grows by that factor.

Every length also has a bound from above that costs nothing: 0 <= gᵀ H⁻¹ g <= mu |d|² |a|², mu the largest eigenvalue of
the inverse block (at most 1 over damping plus L2).

Source: George et al. 2018 for the eigenbasis. Wrong when: as `ekfac` and `kfac`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.kronecker import Block

_ROUNDING = 8
"""Roundings of one product of a row with a term, in units of the last place, that the bound allows for."""


@dataclass(frozen=True)
class OwnLength:
    """One block, in the form in which rows meet it."""

    left: Tensor
    """[o, o] Q_G, in the precision of the rows."""
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
    largest: float
    """Largest eigenvalue of the inverse block, or a number above it."""
    growth: float
    """By how much an error of the first sum counts for more in the length."""
    error: float
    """Largest relative error that any record's length can have from what this form leaves out and rounds."""

    @staticmethod
    def of(block: Block, dtype: torch.dtype) -> OwnLength:
        """Whole, from a float64 block, for rows of this precision."""
        inverse, right, pulled, scale = block.inverse, block.basis.right, None, None
        largest, growth = float(inverse.max()), 1.0
        if block.bias_excess:
            row = block.bias_row
            denominator = 1 + block.bias_excess * (inverse @ row.square())
            pulled = (inverse * row).T.to(dtype).contiguous()
            scale = (block.bias_excess / denominator).to(dtype)
            if block.bias_excess > 0:
                growth = float(denominator.max())
            else:  # a weaker penalty on the bias lifts the inverse by a term of rank one
                lift = -block.bias_excess / denominator * (inverse * row).square().sum(1)
                largest = float((inverse.amax(1) + lift).max())
        turned = None if right is None else right.to(dtype)
        whole, error = inverse.T.to(dtype).contiguous(), growth * _ROUNDING * torch.finfo(dtype).eps
        return OwnLength(block.basis.left.to(dtype), turned, None, whole, pulled, scale, largest, growth, error)

    def turned(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [B, i] and gradients [B, o] in the eigenbasis, in their precision."""
        return inputs if self.right is None else inputs @ self.right, gradients @ self.left

    def lengths(self, inputs: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Lengths [B] and their upper bounds [B], for inputs [B, i] and loss gradients [B, o], in their precision."""
        return self.lengths_of(*self.turned(inputs, gradients))

    def lengths_of(self, a: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """The same for rows that are in the eigenbasis already."""
        outer, inner = d.square(), a.square()
        off = None if self.pulled is None or self.scale is None else (a @ self.pulled).square_() * self.scale
        most = self.largest * inner.sum(1) * outer.sum(1)
        if self.inverse is None:
            found = _dot(outer, inner @ self.whole)
        else:
            found = _dot(outer @ self.inverse[0], inner @ self.inverse[1])
        if off is not None:
            found = found - _dot(off, outer)
        return found.clamp_(min=0).minimum(most), most

    def compressed(self, allowed: float) -> OwnLength:
        """In the fewest terms of M by which no record's length is off by more than `allowed` of itself.

        The same form where they are no fewer products than M.
        """
        short = self.in_terms(allowed)
        if (
            short is None
            or short.inverse is None
            or len(short.inverse[0].T) * sum(self.whole.shape) >= self.whole.numel()
        ):
            return self
        return short

    def in_terms(self, allowed: float) -> OwnLength | None:
        """The same however many terms they are; None where rounding forbids it."""
        entries = self.whole.to(torch.float64).T
        logs = entries.log()  # of positive numbers: `Block` refuses others
        rows = (logs.amax(1, keepdim=True) + logs.amin(1, keepdim=True)) / 2
        columns = ((logs - rows).amax(0, keepdim=True) + (logs - rows).amin(0, keepdim=True)) / 2
        p, q = rows.exp(), columns.exp()
        u, values, v = torch.linalg.svd(entries / p / q, full_matrices=False)
        left, right = u * values * p, v.T * q.T
        few, many = 1, len(values)
        if self._terms(entries, left, right, many).error > allowed:
            return None
        while few < many:
            middle = (few + many) // 2
            if self._terms(entries, left, right, middle).error <= allowed:
                many = middle
            else:
                few = middle + 1
        return self._terms(entries, left, right, many)

    def _terms(self, entries: Tensor, left: Tensor, right: Tensor, count: int) -> OwnLength:
        """This form in the first `count` terms, with its largest error over all entries."""
        dtype = self.whole.dtype
        u, v = left[:, :count].to(dtype).contiguous(), right[:, :count].to(dtype).contiguous()
        wide_u, wide_v = u.to(torch.float64), v.to(torch.float64)
        lost = (entries - wide_u @ wide_v.T).abs()
        rounding = _ROUNDING * torch.finfo(dtype).eps * (wide_u.abs() @ wide_v.abs().T)
        error = self.growth * float(((lost + rounding) / entries).max())
        return replace(self, inverse=(u, v), error=error)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """[B] row by row."""
    found: Tensor = torch.linalg.vecdot(left, right)
    return found
