"""All logistic regressions of a bank at once: Newton's method on K objectives over the same rows.

F_k(θ) = 1/n_k Σ_{n in k} w_n ℓ_n(θ) + λ/2 ‖θ‖², n_k the rows of subset k: the audited recipe on those rows
(`subject.fitting`), for all k in one program. The K Hessians of one step are one matrix product, of the K x N curvature
weights with the N x D(D+1)/2 products of columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.errors import NumericsError
from auditkit.subject.fitting import NEWTON_STEPS, TOLERANCE
from auditkit.subject.model import loss

_NUMBERS = 2**22
_HELD = 2**24


def solve_all(x: Tensor, y: Tensor, weights: Tensor, masks: Tensor, *, l2: float) -> Tensor:
    """The K optima [K, D + 1], bias last, each with ‖∇F_k‖ ≤ 1e-10 (times the mean weight where that exceeds 1).

    Every model's path is its own: a finished one stays where it is, so the answer does not depend on its neighbours.

    Args:
        x: [N, D] encoded rows. y: [N] labels. weights: [N] sample weights w. masks: [K, N] bool.
        l2: λ, on every parameter, bias included.

    Raises:
        NumericsError: a model did not reach its optimum in 200 steps.
    """
    one = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    shares = masks * weights / masks.sum(1, keepdim=True)
    group = max(1, _HELD // one.shape[1] ** 2)
    return torch.cat([_solve_group(one, y, part, l2) for part in shares.split(group)])


def _solve_group(x: Tensor, y: Tensor, shares: Tensor, l2: float) -> Tensor:
    theta = torch.zeros(len(shares), x.shape[1], dtype=torch.float64)
    tolerance = TOLERANCE * shares.sum(1).clamp(min=1.0)
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(theta @ x.T)
        gradient = (shares * (p - y)) @ x + l2 * theta
        active = gradient.norm(dim=1) > tolerance
        if not bool(active.any()):
            return theta
        hessian = _hessians(x, shares[active] * p[active] * (1 - p[active]), l2)
        step = _directions(hessian, gradient[active], l2)
        theta[active] = _searched(x, y, shares[active], l2, at=theta[active], step=step, gradient=gradient[active])
    left = int(active.sum())
    raise NumericsError(f"{left} of {len(shares)} retrained logistic regressions did not converge; raise l2")


def _hessians(x: Tensor, curvature: Tensor, l2: float) -> Tensor:
    """Σ_n c_kn x_n x_nᵀ + λI as [K, D, D] from c [K, N]; one product per block of rows."""
    d = x.shape[1]
    i, j = torch.triu_indices(d, d)
    upper = torch.zeros(len(curvature), len(i), dtype=torch.float64)
    for start in range(0, len(x), max(1, _NUMBERS // len(i))):
        rows = slice(start, start + max(1, _NUMBERS // len(i)))
        upper += curvature[:, rows] @ (x[rows][:, i] * x[rows][:, j])
    full = torch.zeros(len(curvature), d, d, dtype=torch.float64)
    full[:, i, j] = upper
    full[:, j, i] = upper
    return full + l2 * torch.eye(d, dtype=torch.float64)


def _directions(hessian: Tensor, gradient: Tensor, l2: float) -> Tensor:
    """H_k⁻¹ g_k [K, D]; the least-norm solution where l2 = 0 leaves an H_k singular."""
    factor, failed = torch.linalg.cholesky_ex(hessian)
    if l2 > 0 and not bool(failed.any()):
        solved: Tensor = torch.cholesky_solve(gradient.unsqueeze(2), factor).squeeze(2)
        return solved
    inverse: Tensor = torch.linalg.pinv(hessian, rtol=1e-12, hermitian=True)
    return (inverse @ gradient.unsqueeze(2)).squeeze(2)


def _searched(
    x: Tensor, y: Tensor, shares: Tensor, l2: float, *, at: Tensor, step: Tensor, gradient: Tensor
) -> Tensor:
    """Halve each model's step until its objective falls enough; close to the optimum the full step is taken."""

    def values(theta: Tensor) -> Tensor:
        return (shares * loss(theta @ x.T, y.expand(len(theta), -1))).sum(1) + 0.5 * l2 * theta.square().sum(1)

    before, decrease = values(at), (gradient * step).sum(1)
    size = torch.ones(len(at), dtype=torch.float64)
    while True:
        ahead = at - size.unsqueeze(1) * step
        short = (decrease > 1e-12) & (values(ahead) > before - 1e-4 * size * decrease)
        if not bool(short.any()):
            return ahead
        size = torch.where(short, size / 2, size)
