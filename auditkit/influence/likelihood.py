"""Value, gradient and root of the Hessian of a per-record loss in the model's outputs.

With z the outputs [B, C] of B records: r = dl/dz [B, C] and W = d²l/dz² [B, C, C] = S Sᵀ. For softmax cross-entropy
W = diag p − p pᵀ, for binary cross-entropy with one logit W = p(1 − p), for squared loss ½(z − y)² W = 1: the closed
forms come out of autograd to rounding, no labels are sampled. The generalised Gauss–Newton matrix is
1/N sum_n w_n J_nᵀ W_n J_n (Schraudolph 2002; Martens 2020, eq. 6).

Wrong when: the loss has kinks exactly at the outputs met (autograd takes one side).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.errors import Complaint, ModelError
from auditkit.influence.diagnosis import first_line
from auditkit.influence.problem import Problem, filled
from auditkit.influence.refusals import require_finite

_NEGATIVE = 1e-8
_NEGLIGIBLE = 1e-14


@dataclass(frozen=True)
class OutputTerms:
    """Loss and its derivatives in the outputs, float64."""

    loss: Tensor
    """[B]"""
    gradient: Tensor
    """[B, C] r"""
    root: Tensor
    """[B, C, K] S with S Sᵀ = W; columns that vanish for the whole batch are left out (softmax: K = C − 1)."""


def output_terms(problem: Problem, outputs: Tensor, targets: Tensor) -> OutputTerms:
    """Loss [B], r [B, C] and S [B, C, K] at the outputs [B, C].

    Raises:
        ModelError: the Hessian is indefinite for some record, or the loss does not depend on the outputs.
        NumericsError: values are not finite.
    """
    z = outputs.detach().to(torch.float64).requires_grad_()
    with torch.enable_grad():
        loss = problem.losses(z, targets)
        _require_attached(loss)
        (gradient,) = torch.autograd.grad(loss.sum(), z, create_graph=True)
        hessian = _hessian(gradient, z)
    require_finite(loss, "per-record loss")
    require_finite(gradient, "gradient of the loss in the outputs")
    require_finite(hessian, "Hessian of the loss in the outputs")
    return OutputTerms(loss.detach().to(torch.float64), gradient.detach(), hessian_root(hessian))


def loss_gradient(problem: Problem, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss [B] and r = dl/dz [B, C] at the outputs [B, C], float64: all that a first-order score needs.

    Raises:
        ModelError: the loss does not depend on the outputs. Values are not checked to be finite: no copy leaves the
            device, so callers check once, on what they return.
    """
    z = outputs.detach().to(torch.float64).requires_grad_()
    with torch.enable_grad():
        loss = problem.losses(z, targets)
        _require_attached(loss)
        (gradient,) = torch.autograd.grad(loss.sum(), z)
    return loss.detach().to(torch.float64), gradient


def output_hessian(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
    """[B, C, C] float64: W of each record at the outputs [B, C], whatever its sign.

    Raises:
        ModelError: see `output_terms`; an indefinite Hessian is not refused here. NumericsError: values not finite.
    """
    gradient, z = _attached_gradient(problem, outputs, targets)
    hessian = _hessian(gradient, z)
    require_finite(hessian, "Hessian of the loss in the outputs")
    return hessian


def slope_curvature(problem: Problem, outputs: Tensor, targets: Tensor, slope: Tensor) -> Tensor:
    """[B, C] float64: W times the slope [B, C] of each record, where W is too large to be formed."""
    gradient, z = _attached_gradient(problem, outputs, targets)
    if not gradient.requires_grad:
        return torch.zeros_like(z)
    (curved,) = torch.autograd.grad(gradient, z, slope, allow_unused=True)
    return filled(curved, z).detach()


def _attached_gradient(problem: Problem, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """R [B, C] and z [B, C], float64, the first attached to the graph."""
    z = outputs.detach().to(torch.float64).requires_grad_()
    with torch.enable_grad():
        loss = problem.losses(z, targets)
        _require_attached(loss)
        (gradient,) = torch.autograd.grad(loss.sum(), z, create_graph=True)
    return gradient, z


def _require_attached(loss: Tensor) -> None:
    if not loss.requires_grad:
        raise ModelError(
            Complaint(
                "the loss does not depend on the outputs through differentiable operations",
                hint="it must not detach, round or leave torch (numpy) on the way",
            )
        )


def _hessian(gradient: Tensor, z: Tensor) -> Tensor:
    # Records are independent (checked when the problem is posed), so the gradient of column c summed over the batch
    # holds row c of every record's own Hessian.
    if not gradient.requires_grad:
        return torch.zeros(*z.shape, z.shape[1], dtype=z.dtype, device=z.device)
    rows = []
    for c in range(z.shape[1]):
        try:
            (row,) = torch.autograd.grad(gradient[:, c].sum(), z, retain_graph=True, allow_unused=True)
        except RuntimeError as reason:
            raise ModelError(
                Complaint(
                    f"the loss cannot be differentiated twice in the outputs: {first_line(reason)}",
                    hint="state it with operations whose second derivative torch knows (losses.binary, losses.softmax)",
                )
            ) from reason
        rows.append(filled(row, z))
    return torch.stack(rows, dim=1).detach()


def hessian_root(hessian: Tensor) -> Tensor:
    """[B, C, C] PSD -> [B, C, K] with root rootᵀ = hessian; at least one column.

    Raises:
        ModelError: an eigenvalue lies below −1e-8 of the batch's largest.
    """
    if hessian.shape[1] == 1:
        values, vectors = hessian[:, :, 0], torch.ones_like(hessian)
    else:
        values, vectors = torch.linalg.eigh((hessian + hessian.transpose(1, 2)) / 2)
    scale = float(values.abs().max()) if values.numel() else 0.0
    negative = int((values.min(dim=1).values < -_NEGATIVE * scale).sum())
    if negative:
        raise ModelError(
            Complaint(
                f"the loss has an indefinite Hessian in the outputs for {negative} of {len(values)} records",
                hint="the Gauss-Newton curvature needs a loss that is convex in the outputs, such as a negative "
                "log-likelihood in logits; give checkpoints for tracin, which needs no curvature",
            )
        )
    keep = values.max(dim=0).values > _NEGLIGIBLE * scale
    keep[-1] = True
    return vectors[:, :, keep] * values[:, keep].clamp(min=0).sqrt().unsqueeze(1)


def third_derivative(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
    """[B, C, C, C] float64: d³l/dz³ of each record at the outputs [B, C], by autograd (C² backward passes)."""
    z = outputs.detach().to(torch.float64).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(problem.losses(z, targets).sum(), z, create_graph=True)
        third = torch.zeros(*z.shape, z.shape[1], z.shape[1], dtype=z.dtype, device=z.device)
        for c in range(z.shape[1] if gradient.requires_grad else 0):
            (row,) = torch.autograd.grad(gradient[:, c].sum(), z, create_graph=True, allow_unused=True)
            third[:, c] = _hessian(filled(row, z), z)
    require_finite(third, "third derivative of the loss in the outputs")
    return third
