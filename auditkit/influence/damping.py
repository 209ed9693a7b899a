"""How much is added to the curvature's diagonal beyond the model's own L2, when the policy says `auto`.

Two rules, one after the other.

1. Floor: the penalty (L2 plus damping) is lifted to `share` of the mean eigenvalue of the curvature. The share is 1e-6
   for a model that is affine in its parameters (its curvature is the Hessian; damping is only there for rounding) and
   1e-3 otherwise (directions without curvature would otherwise take unbounded steps). A model whose own L2 reaches that
   gets nothing.
2. Nearest optimum (`nearest_optimum`), block by block, for models that are not affine, where the estimator gives the
   spectra of its blocks. Training that is stopped before the minimum of F leaves weak directions short of it, as a
   stronger penalty would. The penalty is taken under which the trained parameters are nearest a minimum: with r the
   gradient of F, the step to the minimum of F plus d/2 |theta|² is -(G + lambda + d)⁻¹ (r + d theta), and its length in
   G is what it changes in the outputs (twice the Kullback-Leibler divergence, to second order):

       d = argmin over d >= 0 of  sum_i E_i ((r_i + d theta_i) / (E_i + lambda + d))²      in the eigenbasis of G

   At a minimum of F (r = 0) this is d = 0, whatever G: nothing has to be guessed where training has converged.

Measured (Spearman with retraining, EK-FAC, small perceptrons on digits, COMPAS, wine and breast cancer at several
lengths of training and L2, 13 worlds, no part of them used to report fidelity): below the best single damping of each
world by 0.012 on average and 0.048 at most; the floor alone by 0.046 and 0.195. Generalised cross-validation of the
linearised model (Golub, Heath & Wahba 1979: the penalty that predicts best, block by block) was below by 0.03 on
average and by 0.18 on a model trained for long: it looks for the penalty that training should have had, not for the one
that it had, and is not used.

With retrained models that nothing is measured on (a bank's part for fitting, the members of an ensemble), the way from
the floor to the nearest optimum is tried at several shares, in equal factors for every block, and the share is taken
whose effects predict these models best: the layers' profile from the criterion, its height from retraining. A number
for each layer would be fitted to the chance of a few models.

Wrong when: parameters that the loss hardly sees still lie where they were drawn at the start (they are far from 0, so
that the penalty is underestimated), or the optimiser's path is not that of a penalty at all.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

Damping: TypeAlias = float | Literal["auto"]

AFFINE_SHARE = 1e-6
GENERAL_SHARE = 1e-3
BETWEEN = (1.0, 0.0, 0.5, 1.5)
"""Shares of the way from the floor to the nearest optimum, of which retrained models choose one where there are any;
the first where they cannot tell."""
DECADES = 4
STEPS = 8
"""The penalty is looked for at STEPS values a decade, DECADES up from the floor or the model's own L2."""


def added_damping(damping: Damping, *, mean_eigenvalue: float, penalty: float, affine: bool) -> float:
    """Damping to add to a block with this mean eigenvalue and this (largest) own L2."""
    if damping != "auto":
        return float(damping)
    if mean_eigenvalue == 0:
        # A block without curvature has no gradient either: any positive number gives the same zero.
        return max(0.0, 1.0 - penalty)
    return max(0.0, floor(mean_eigenvalue, affine=affine) - penalty)


def floor(mean_eigenvalue: float, *, affine: bool) -> float:
    """The penalty that `auto` lifts a block to."""
    return (AFFINE_SHARE if affine else GENERAL_SHARE) * mean_eigenvalue


def nearest_optimum(eigenvalues: Tensor, residual: Tensor, parameters: Tensor, *, own: float, least: float) -> float:
    """The damping under which a block's parameters are nearest a minimum (see above).

    Args:
        eigenvalues: [E] of the block's curvature without any penalty.
        residual: [E, P] gradient of F in the eigenbasis, from P parts of the records: one (all of them), or two that
            share none, whose products then carry no noise of their own.
        parameters: [E] in the eigenbasis. own: the block's (largest) L2. least: smallest damping to consider.

    Returns:
        d >= least, one of `candidates`.
    """
    tried = candidates(own, least)
    values = []
    for d in tried:
        steps = (residual + d * parameters.unsqueeze(1)) / (eigenvalues + own + d).unsqueeze(1)
        values.append((eigenvalues * steps[:, 0] * steps[:, -1]).sum())
    return tried[int(torch.stack(values).argmin())]


def listed_shares() -> str:
    """The shares of BETWEEN in words."""
    return ", ".join(f"{share:g}" for share in BETWEEN)


def candidates(own: float, least: float) -> list[float]:
    """Dampings: `least` first, then such that L2 plus damping grows by STEPS equal factors a decade."""
    base = own + least
    return [least, *(base * 10 ** (k / STEPS) - own for k in range(1, DECADES * STEPS + 1))]
