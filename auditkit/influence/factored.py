"""What a batch contributes to, and takes from, one Kronecker block: for every kind of site.

Shapes: inputs [B, T, i] (1 appended for the bias) or codes [B, T] (Embedding); output gradients [B, P, T, o] of P
probes; T positions that share the weight (1 for a plain tabular layer). With T = 1 no record's gradient d aᵀ is formed.
With T > 1, (sum_t d_t a_tᵀ)² does not factor. For a few positions it is a product over their pairs (Gram form),

    (sum_t d_tj a_tk)² = sum_{t, u} (d_tj d_uj) (a_tk a_uk),

two matrix products and no gradient; for many, gradients are formed for a few records at a time, turned into the
eigenbasis before or after the sum over positions. A product with S directions is taken position by position or after
that sum. Every choice goes by the number of operations.

An Embedding's inputs are one-hot, so its input factor is diagonal and its eigenbasis the codes themselves; inputs wider
than `WIDEST` are treated likewise, which leaves out their correlations.

Rows may be float32 or float64 and are multiplied as they are; every sum leaves in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from auditkit.influence.jacobian import rows_that_fit
from auditkit.influence.kronecker import WIDEST, Basis, Block
from auditkit.influence.sites.embedding import EmbeddingSite
from auditkit.influence.sites.site import Site

_MEMORY = 10
"""Multiply-adds in whose time one number of a per-record gradient is written and read; 10 to 28 observed on a CPU."""
_CACHED = 2**18
"""Numbers of a chunk of per-record gradients; beyond the cache, every further step would read them from memory."""


def factor_sums(site: Site, given: Tensor, gradients: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the batch of d dᵀ [o, o] and w a aᵀ [i, i] (one-hot or very wide inputs: its diagonal [i])."""
    flat = gradients.reshape(-1, gradients.shape[3])
    left = (flat.T @ flat).to(torch.float64)
    if isinstance(site, EmbeddingSite):
        counts = torch.zeros(site.shape[1], dtype=torch.float64, device=given.device)
        shares = weights.unsqueeze(1) * site.real(given)
        return left, counts.index_add_(0, given.reshape(-1), shares.reshape(-1).to(torch.float64))
    rows = given * weights.sqrt().view(-1, 1, 1).to(given.dtype)
    stacked = rows.reshape(-1, rows.shape[2])
    right = stacked.square().sum(0) if stacked.shape[1] > WIDEST else stacked.T @ stacked
    return left, right.to(torch.float64)


def eigenvalue_sum(site: Site, basis: Basis, given: Tensor, gradients: Tensor) -> Tensor:
    """[o, i] sum over records and probes of (Q_Gᵀ g Q_A)², g the record's gradient; a product of squares when T = 1."""
    if isinstance(site, EmbeddingSite):
        return _embedding_squares(site, given, basis.turn_outputs(gradients))
    if given.shape[1] == 1:
        turned, inputs = basis.turn_outputs(gradients[:, :, 0]), basis.turn_inputs(given[:, 0])
        return (turned.square().sum(1).T @ inputs.square()).to(torch.float64)
    total = torch.zeros(gradients.shape[3], given.shape[2], dtype=torch.float64, device=given.device)
    if _by_pairs(given, gradients):
        for inputs, outputs in _pieces(basis.turn_inputs(given), basis.turn_outputs(gradients)):
            first, second, count = _pairs(inputs.shape[1], inputs)
            columns = outputs.permute(0, 3, 2, 1).contiguous()
            products_out = (columns @ columns.transpose(2, 3))[:, :, first, second]  # [b, o, pairs], summed over probes
            products_in = inputs[:, first] * inputs[:, second] * count.unsqueeze(1)
            total += products_out.transpose(0, 1).flatten(1) @ products_in.flatten(0, 1)
        return total
    for matrices in turned_matrices(basis, given, gradients):
        total += matrices.square().sum((0, 1))
    return total


def cross(site: Site, given: Tensor, gradients: Tensor, directions: Tensor) -> Tensor:
    """[B, P, S] inner products of the records' gradients with directions [S, o, i]."""
    along = directions.to(gradients.dtype)
    if isinstance(site, EmbeddingSite):
        kept = gradients * site.real(given).unsqueeze(1).unsqueeze(3)
        # along[:, :, codes] is [S, o, B, T]
        return torch.einsum("bpto,sobt->bps", kept, along[:, :, given]).to(torch.float64)
    if not _sum_first(gradients, len(along)):
        pulled = torch.einsum("bti,soi->btso", given, along)
        return torch.einsum("bpto,btso->bps", gradients, pulled).to(torch.float64)
    flat = along.flatten(1).T
    return torch.cat([matrices.flatten(2) @ flat for matrices in _matrices(given, gradients)]).to(torch.float64)


def gram(site: Site, block: Block, given: Tensor, gradients: Tensor) -> Tensor:
    """[B, P, P] inner products of a record's probe gradients under the inverse block."""
    if isinstance(site, EmbeddingSite):
        inverse = block.inverse.T.to(gradients.dtype)
        parts = []
        for codes, turned in _few(given, block.basis.turn_outputs(gradients)):
            merged = _merge(site, codes, turned)
            parts.append(torch.einsum("bpto,bto,bqto->bpq", merged, inverse[codes], merged))
        return torch.cat(parts).to(torch.float64)
    if given.shape[1] == 1:
        outputs, inputs = block.basis.turn_outputs(gradients[:, :, 0]), block.basis.turn_inputs(given[:, 0])
        weighted = outputs * block.input_quadratic(inputs).unsqueeze(1)
        return (weighted @ outputs.transpose(1, 2)).to(torch.float64)
    if _by_pairs(given, gradients):
        pieces = _pieces(block.basis.turn_inputs(given), block.basis.turn_outputs(gradients))
        return torch.cat([block.position_products(inputs, outputs) for inputs, outputs in pieces])
    return torch.cat([block.matrix_products(m) for m in turned_matrices(block.basis, given, gradients)])


def products(site: Site, block: Block, given: Tensor, gradients: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """`cross` and `gram` at once: where both sum over positions first, that sum is taken once."""
    _, probes, positions, _ = gradients.shape
    if isinstance(site, EmbeddingSite) or _by_pairs(given, gradients) or positions <= probes:
        return cross(site, given, gradients, directions), gram(site, block, given, gradients)
    flat = block.basis.turn(directions).to(gradients.dtype).flatten(1).T
    crosses, grams = [], []
    for matrices in turned_matrices(block.basis, given, gradients):
        crosses.append(matrices.flatten(2) @ flat)
        grams.append(block.matrix_products(matrices))
    return torch.cat(crosses).to(torch.float64), torch.cat(grams)


def turned_matrices(basis: Basis, given: Tensor, gradients: Tensor) -> Iterator[Tensor]:
    """Per-record gradients [b, P, o, i] in the eigenbasis, a few records at a time."""
    _, probes, positions, outputs = gradients.shape
    inputs = 0 if basis.right is None else given.shape[2]
    rows_cost = probes * positions * outputs**2 + positions * inputs**2
    matrices_cost = probes * (outputs**2 * given.shape[2] + outputs * inputs**2)
    if rows_cost <= matrices_cost:
        yield from _matrices(basis.turn_inputs(given), basis.turn_outputs(gradients))
    else:
        for matrices in _matrices(given, gradients):
            yield basis.turn(matrices)


def _matrices(inputs: Tensor, gradients: Tensor) -> Iterator[Tensor]:
    """Per-record gradients [b, P, o, i], a few records at a time."""
    rows, probes, positions, width = gradients.shape
    stacked = gradients.transpose(2, 3).reshape(rows, probes * width, positions)
    size = rows_that_fit(probes * width * inputs.shape[2], _CACHED)
    for g, a in zip(torch.split(stacked, size), torch.split(inputs, size), strict=True):
        yield (g @ a).view(len(g), probes, width, -1)


def _sum_first(gradients: Tensor, directions: int) -> bool:
    """Whether P·(T + S) products of size o·i, and P matrices in memory, cost less than T·S products."""
    _, probes, positions, _ = gradients.shape
    return positions > 1 and probes * (positions + directions + _MEMORY) < positions * directions


def _by_pairs(given: Tensor, gradients: Tensor) -> bool:
    """Whether T·(T + 1)/2 products of size o·i, and their vectors, cost less than P·T products and P matrices."""
    _, probes, positions, outputs = gradients.shape
    vectors = _MEMORY * (probes / given.shape[2] + 1 / outputs)
    return positions * (positions + 1) / 2 * (1 + vectors) <= probes * (positions + _MEMORY)


def _pairs(positions: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First and second of every unordered pair of positions, and how often it counts."""
    first, second = torch.tril_indices(positions, positions, device=like.device)
    return first, second, torch.where(first == second, 1.0, 2.0).to(like.dtype)


def _pieces(inputs: Tensor, gradients: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A few records at a time, so that what belongs to pairs of positions stays small."""
    _, probes, positions, outputs = gradients.shape
    size = rows_that_fit(positions**2 * (inputs.shape[2] + probes * outputs))
    return zip(torch.split(inputs, size), torch.split(gradients, size), strict=True)


def _few(codes: Tensor, gradients: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    size = rows_that_fit(codes.shape[1] ** 2 + gradients[0].numel())
    return zip(torch.split(codes, size), torch.split(gradients, size), strict=True)


def _embedding_squares(site: EmbeddingSite, given: Tensor, gradients: Tensor) -> Tensor:
    outputs, rows = site.shape
    total = torch.zeros(rows, outputs, dtype=torch.float64, device=given.device)
    for codes, part in _few(given, gradients):
        squares = _merge(site, codes, part).square().sum(1)  # [B, T, o]
        total.index_add_(0, codes.reshape(-1), squares.reshape(-1, outputs).to(torch.float64))
    return total.T


def _merge(site: EmbeddingSite, codes: Tensor, gradients: Tensor) -> Tensor:
    """[B, P, T, o]: gradients summed over equal codes of a record and kept at the first of them; padding is zero."""
    same = codes.unsqueeze(2) == codes.unsqueeze(1)
    earlier = torch.tril(same, diagonal=-1).any(dim=2)
    first = ~earlier & site.real(codes)
    return torch.einsum("bts,bpso->bpto", same.to(gradients.dtype), gradients) * first.unsqueeze(1).unsqueeze(3)
