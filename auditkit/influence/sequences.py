"""Roots of output Hessians that are too large to be formed: sequences of T positions, and very many classes.

A record of T positions with C outputs each has an output Hessian W of T·C rows. Where its loss is a sum (or a weighted
mean) over positions, W is block-diagonal, and its T blocks [C, C] come out of C backward passes for all positions and
records at once. That the loss is such a sum is verified: the product of its Hessian with a vector of arbitrary numbers,
by autograd, must be that of the blocks. Where every block is a multiple of diag p − p pᵀ with p = softmax(z), which the
same product shows, no block is formed: with s = √p, S = diag s − p sᵀ has S Sᵀ = diag p − p pᵀ.

Up to `problem.root.limit` outputs nothing of this is used: the root is that of `likelihood.output_terms`.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError
from auditkit.influence.jacobian import rows_that_fit
from auditkit.influence.likelihood import hessian_root, output_terms
from auditkit.influence.problem import Inputs, Problem, filled
from auditkit.influence.refusals import require_finite
from auditkit.influence.roots import record_signs
from auditkit.result import Quality

_SAME = 1e-9
_VANISHING = 1e-24
_SEQUENCE = 2


def is_large(problem: Problem) -> bool:
    """Whether a record has more outputs than all columns of the root are used for."""
    return problem.classes > problem.root.limit


def curvature_root(problem: Problem, inputs: Inputs, outputs: Tensor, targets: Tensor) -> Tensor:
    """[B, C, K] float64 root of W at the outputs [B, C]: exact, or mixed columns with S Sᵀ = W in the mean.

    Raises:
        ModelError: W is indefinite; or large, and the loss no sum over positions.
        NumericsError: values are not finite.
    """
    if not is_large(problem):
        return output_terms(problem, outputs, targets).root
    signs = record_signs((*inputs, targets), problem.classes, problem.root)
    size = rows_that_fit(problem.classes * max(_split(problem)[1], problem.root.probes))
    chunks = zip(torch.split(outputs, size), torch.split(targets, size), torch.split(signs, size), strict=True)
    joined = torch.cat([_mixed_root(problem, z, y, e) for z, y, e in chunks])
    return joined / sqrt(problem.root.probes)


def root_rows(problem: Problem, outputs: Tensor, targets: Tensor, jacobian: Tensor) -> Tensor:
    """[B, K, D] Sᵀ J with all columns of the root, however many, from J [B, C, D].

    Raises:
        ModelError: see `curvature_root`.
    """
    if not is_large(problem):
        return output_terms(problem, outputs, targets).root.transpose(1, 2) @ jacobian
    root = position_roots(problem, outputs, targets)
    rows, positions, classes, _ = root.shape
    parted = jacobian.reshape(rows, positions, classes, -1)
    return (root.transpose(2, 3) @ parted).reshape(rows, -1, jacobian.shape[2])


def position_roots(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
    """[B, T, C, K] roots of the blocks of W, one a position.

    Raises:
        ModelError: the loss is no sum over positions, or a block is indefinite.
    """
    gradient, z = _differentiated(problem, outputs, targets)
    vector = _arbitrary(z)
    return _roots(_position_blocks(gradient, z, vector, _curved(gradient, z, vector)))


def root_quality(problem: Problem) -> tuple[Quality, ...]:
    """What was drawn at random for the curvature, in words; nothing where the root is exact."""
    if not is_large(problem):
        return ()
    text = (
        f"The output Hessian of a record with {problem.classes:,} outputs is represented by {problem.root.probes} "
        f"random combinations of its root's columns (no labels are sampled; seed {problem.root.seed})."
    )
    return (Quality(name="root columns", value=float(problem.root.probes), text=text),)


def _mixed_root(problem: Problem, outputs: Tensor, targets: Tensor, signs: Tensor) -> Tensor:
    """[B, C, P] S e for signs e [B, C, P]."""
    gradient, z = _differentiated(problem, outputs, targets)
    vector = _arbitrary(z)
    curved = _curved(gradient, z, vector)
    drawn = signs.view(*z.shape, -1)
    scale = _softmax_scale(z, vector, curved)
    if scale is not None:
        p = torch.softmax(z.detach(), dim=2).unsqueeze(3)
        turned = p.sqrt() * drawn
        mixed = (turned - p * turned.sum(2, keepdim=True)) * scale.sqrt().unsqueeze(3)
    else:
        root = _roots(_position_blocks(gradient, z, vector, curved))
        mixed = root @ drawn[:, :, : root.shape[3]]
    return mixed.reshape(signs.shape)


def _split(problem: Problem) -> tuple[int, int]:
    """T and C; one position where the outputs of a record are a vector."""
    shape = problem.trailing
    return (shape[0], shape[1]) if len(shape) == _SEQUENCE else (1, problem.classes)


def _differentiated(problem: Problem, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss's gradient [B, T, C] in the outputs z [B, T, C], and z; float64, attached to the graph."""
    z = outputs.detach().to(torch.float64).view(len(outputs), *_split(problem)).requires_grad_()
    with torch.enable_grad():
        loss = problem.losses(z, targets)
        if not loss.requires_grad:
            raise ModelError("the loss does not depend on the outputs through differentiable operations")
        (gradient,) = torch.autograd.grad(loss.sum(), z, create_graph=True)
    require_finite(gradient, "gradient of the loss in the outputs")
    return gradient, z


def _arbitrary(z: Tensor) -> Tensor:
    """Numbers without any pattern that a Hessian might share."""
    drawn = torch.randn(z.shape[1:], generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    return drawn.to(z.device).expand_as(z)


def _curved(gradient: Tensor, z: Tensor, vector: Tensor) -> Tensor:
    """[B, T, C] W vector."""
    if not gradient.requires_grad:
        return torch.zeros_like(z)
    (found,) = torch.autograd.grad(gradient, z, vector, retain_graph=True, allow_unused=True)
    curved = filled(found, z).detach()
    require_finite(curved, "Hessian of the loss in the outputs")
    return curved


def _softmax_scale(z: Tensor, vector: Tensor, curved: Tensor) -> Tensor | None:
    """[B, T, 1] the multiple of diag p − p pᵀ that each block is; None where some block is no such multiple."""
    p = torch.softmax(z.detach(), dim=2)
    plain = p * vector - p * (p * vector).sum(2, keepdim=True)
    square = plain.square().sum(2, keepdim=True)
    scale = torch.where(square > _VANISHING, (curved * plain).sum(2, keepdim=True) / square, 0.0)
    wrong = (curved - scale * plain).abs().max() > _SAME * curved.abs().max()
    return None if bool(wrong) or bool((scale < 0).any()) else scale


def _position_blocks(gradient: Tensor, z: Tensor, vector: Tensor, curved: Tensor) -> Tensor:
    """[B, T, C, C] the blocks of W; refuses a W that has more than these."""
    if not gradient.requires_grad:
        return torch.zeros(*z.shape, z.shape[2], dtype=z.dtype, device=z.device)
    rows = []
    for c in range(z.shape[2]):
        (row,) = torch.autograd.grad(gradient[:, :, c].sum(), z, retain_graph=True, allow_unused=True)
        rows.append(filled(row, z))
    blocks = torch.stack(rows, dim=2).detach()
    require_finite(blocks, "Hessian of the loss in the outputs")
    apart = (blocks @ vector.unsqueeze(3)).squeeze(3)
    if bool((apart - curved).abs().max() > _SAME * curved.abs().max()):
        raise ModelError(
            Complaint(
                f"the loss is no sum over the {z.shape[1]} positions of a record, and {z[0].numel():,} outputs are too "
                "many for a Hessian across positions",
                hint="give outputs [B, T, C] with positions before classes, and a loss that sums or averages over them",
            )
        )
    return blocks


def _roots(blocks: Tensor) -> Tensor:
    flat = hessian_root(blocks.reshape(-1, *blocks.shape[2:]))
    return flat.reshape(*blocks.shape[:3], flat.shape[2])
