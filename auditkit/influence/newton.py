"""The Newton step of removing one record, in its matrix form, as a corrected output gradient.

Removing record n from F (others keep weight 1/N) takes w_n J_nᵀ W_n J_n / N out of the curvature H and leaves the
gradient −w_n J_nᵀ r_n / N. With W_n = S Sᵀ, G = J_n H⁻¹ J_nᵀ and P = w_n Sᵀ G S / N, Woodbury's identity gives

    (H − w_n J_nᵀ W_n J_n / N)⁻¹ b = H⁻¹ (b + J_nᵀ R J_n H⁻¹ b),      R = (w_n / N) S (I − P)⁻¹ Sᵀ      [C, C]
    delta theta_n = 1/N H⁻¹ J_nᵀ q_n,                                q_n = w_n (r_n + R G r_n)          [C]

so that scoring is linear in q_n. The scalar form r / (1 − h) is the case where P has rank one.
Exact for a quadratic objective; for logistic and softmax models it is one Newton step from the trained parameters.
Source: Pregibon 1981 (one-step diagnostics); Koh & Liang 2017, section 2 for the uncorrected form.

Wrong when: the trained parameters are not a minimum of F, or the curvature of the others changes much over the step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Removal:
    """What taking a batch of records out of the curvature needs; made by `removal`."""

    matrix: Tensor
    """[B, C, C] R."""
    leverage: Tensor
    """[B] largest eigenvalue of P, before any bound."""
    weights: Tensor
    """[B] w_n."""

    def corrected(self, gradient: Tensor, gram: Tensor) -> Tensor:
        """Q_n [B, C] from r [B, C] and G [B, C, C]."""
        pulled = gram @ gradient.unsqueeze(2)
        return self.weights.unsqueeze(1) * (gradient + (self.matrix @ pulled).squeeze(2))


def removal(root: Tensor, gram: Tensor, *, weights: Tensor, n: int, bound: float) -> Removal:
    """R and the leverage of each record of a batch.

    Args:
        root: [B, C, K] S. gram: [B, C, C] G. weights: [B] w_n. n: N of the objective.
        bound: eigenvalues of P above it are set to it; with an exact H all lie below 1 and the bound is idle, with an
            approximate H they need not.
    """
    share = (weights / n).view(-1, 1, 1)
    own = share * (root.transpose(1, 2) @ gram @ root)
    values, vectors = torch.linalg.eigh((own + own.transpose(1, 2)) / 2)
    inflation = 1 / (1 - values.clamp(min=0.0, max=bound))
    rotated = root @ vectors
    return Removal(share * (rotated * inflation.unsqueeze(1)) @ rotated.transpose(1, 2), values[:, -1], weights)
