"""What a batch contributes to, and takes from, one Kronecker block: for Linear and for Embedding layers.

Shapes: inputs [B, T, i] (Linear, 1 appended for the bias) or codes [B, T] (Embedding); output gradients [B, P, T, o] of
P probes; T positions that share the weight (1 for a plain tabular layer). With T = 1 the record's gradient d aᵀ is
never formed. With T > 1 it is formed for a few records at a time, because (sum_t d_t a_tᵀ)² does not factor. An
Embedding's inputs are one-hot, so its input factor is diagonal and its eigenbasis the codes themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auditkit.influence.capture import Site
from auditkit.influence.jacobian import rows_that_fit
from auditkit.influence.kronecker import Basis, Block


def factor_sums(site: Site, given: Tensor, gradients: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the batch of d dᵀ [o, o] and w a aᵀ [i, i] (for an Embedding its diagonal [i], which is all of it)."""
    flat = gradients.reshape(-1, gradients.shape[3])
    if site.is_embedding:
        counts = torch.zeros(site.layer.weight.shape[0], dtype=torch.float64, device=given.device)
        shares = weights.unsqueeze(1) * _real(site, given)
        return flat.T @ flat, counts.index_add_(0, given.reshape(-1), shares.reshape(-1))
    rows = given * weights.sqrt().view(-1, 1, 1)
    stacked = rows.reshape(-1, rows.shape[2])
    return flat.T @ flat, stacked.T @ stacked


def eigenvalue_sum(site: Site, basis: Basis, given: Tensor, gradients: Tensor) -> Tensor:
    """[o, i] sum over records and probes of (Q_Gᵀ g Q_A)², g the record's gradient; a product of squares when T = 1."""
    turned = gradients @ basis.left
    if site.is_embedding:
        return _embedding_squares(site, given, turned)
    inputs = given if basis.right is None else given @ basis.right
    if given.shape[1] == 1:
        return turned[:, :, 0].square().sum(1).T @ inputs[:, 0].square()
    total = torch.zeros(turned.shape[3], inputs.shape[2], dtype=torch.float64, device=given.device)
    for matrices in _matrices(inputs, turned):
        total += matrices.square().sum((0, 1))
    return total


def cross(site: Site, given: Tensor, gradients: Tensor, directions: Tensor) -> Tensor:
    """[B, P, S] inner products of the records' gradients with directions [S, o, i]."""
    if site.is_embedding:
        # directions[:, :, codes] is [S, o, B, T]
        kept = gradients * _real(site, given).unsqueeze(1).unsqueeze(3)
        return torch.einsum("bpto,sobt->bps", kept, directions[:, :, given])
    pulled = torch.einsum("bti,soi->btso", given, directions)
    return torch.einsum("bpto,btso->bps", gradients, pulled)


def gram(site: Site, block: Block, given: Tensor, gradients: Tensor) -> Tensor:
    """[B, P, P] inner products of a record's probe gradients under the inverse block."""
    turned = gradients @ block.basis.left
    if site.is_embedding:
        merged = _merge(site, given, turned)
        inverse = block.inverse.T[given]  # [B, T, o]
        return torch.einsum("bpto,bto,bqto->bpq", merged, inverse, merged)
    inputs = given if block.basis.right is None else given @ block.basis.right
    if given.shape[1] == 1:
        outputs = turned[:, :, 0]
        return (outputs * block.input_quadratic(inputs[:, 0]).unsqueeze(1)) @ outputs.transpose(1, 2)
    return torch.cat([block.matrix_products(matrices) for matrices in _matrices(inputs, turned)])


def _matrices(inputs: Tensor, gradients: Tensor) -> list[Tensor]:
    """Per-record gradients [b, P, o, i], a few records at a time."""
    _, probes, _, width = gradients.shape
    size = rows_that_fit(probes * width * inputs.shape[2])
    pairs = zip(torch.split(inputs, size), torch.split(gradients, size), strict=True)
    return [torch.einsum("bpto,bti->bpoi", g, a) for a, g in pairs]


def _embedding_squares(site: Site, codes: Tensor, gradients: Tensor) -> Tensor:
    squares = _merge(site, codes, gradients).square().sum(1)  # [B, T, o]
    total = torch.zeros(site.layer.weight.shape[0], squares.shape[2], dtype=torch.float64, device=codes.device)
    return total.index_add_(0, codes.reshape(-1), squares.reshape(-1, squares.shape[2])).T


def _merge(site: Site, codes: Tensor, gradients: Tensor) -> Tensor:
    """[B, P, T, o]: gradients summed over equal codes of a record and kept at the first of them; padding is zero."""
    same = codes.unsqueeze(2) == codes.unsqueeze(1)
    earlier = torch.tril(same, diagonal=-1).any(dim=2)
    first = ~earlier & _real(site, codes)
    return torch.einsum("bts,bpso->bpto", same.to(gradients.dtype), gradients) * first.unsqueeze(1).unsqueeze(3)


def _real(site: Site, codes: Tensor) -> Tensor:
    """[B, T] whether the code is not the padding code, whose row of the table receives no gradient."""
    if isinstance(site.layer, nn.Embedding) and site.layer.padding_idx is not None:
        return codes != site.layer.padding_idx
    return torch.ones_like(codes, dtype=torch.bool)
