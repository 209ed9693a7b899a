"""All logistic regressions of a bank at once: Newton's method on K objectives over the same rows.

F_k(θ) = 1/n_k Σ_{n in k} w_n ℓ_n(θ) + λ/2 ‖θ‖², n_k the rows of subset k: the audited recipe on those rows
(`subject.fitting`), for all k in one program. No Hessian of a subset is ever built: its system is solved by conjugate
gradients with the audited model's own Hessian as preconditioner, which random subsets share up to sampling, so that a
handful of products [K, N] x [N, D] solves all K systems (Nocedal & Wright, Numerical Optimization, 2nd ed., 7.1; the
forcing term min(0.05, √‖g‖) makes the outer steps superlinear).

Wrong when λ = 0: the optimum may not exist or not be unique, and `solve_all` refuses; fit one after another instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auditkit.bank.progress import Told, untold
from auditkit.errors import NumericsError
from auditkit.subject.fitting import NEWTON_STEPS, TOLERANCE
from auditkit.subject.model import loss

_INNER = 500
_SURE = 0.5
_HELD = 2**25


def solve_all(
    x: Tensor, y: Tensor, weights: Tensor, masks: Tensor, *, l2: float, start: Tensor, told: Told = untold
) -> Tensor:
    """The K optima [K, D + 1], bias last, each with ‖∇F_k‖ ≤ 1e-10 (times the mean weight where that exceeds 1).

    Args:
        x: [N, D] encoded rows. y: [N] labels. weights: [N] sample weights w. masks: [K, N] bool.
        l2: λ > 0, on every parameter, bias included.
        start: [D + 1] parameters near the optimum of all rows; changes the path and not the answer.
        told: hears after each group of models what share of them is done.

    Raises:
        NumericsError: λ is 0, or a model did not reach its optimum in 200 steps.
    """
    if l2 <= 0:
        raise NumericsError("without L2 a subset's optimum may not exist; these models are fitted one after another")
    one = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    p = torch.sigmoid(one @ start)
    whole = (one * (weights * p * (1 - p) / len(one)).unsqueeze(1)).T @ one
    factor = torch.linalg.cholesky(whole + l2 * torch.eye(len(start), dtype=torch.float64))
    shares = [mask * weights / mask.sum() for mask in masks]
    size = max(1, _HELD // len(one))
    found = []
    for at in range(0, len(shares), size):
        group = torch.stack(shares[at : at + size])
        found.append(_solve(one, y, group, l2=l2, start=start, factor=factor))
        told(min(1.0, (at + size) / len(shares)))
    return torch.cat(found)


def _solve(one: Tensor, y: Tensor, shares: Tensor, *, l2: float, start: Tensor, factor: Tensor) -> Tensor:
    """One group of models; `shares` [K, N] are w_n / n_k within the subset and 0 outside."""
    theta = start.repeat(len(shares), 1)
    margin = theta @ one.T
    rows, before = one.float(), torch.full((len(shares),), torch.inf, dtype=torch.float64)
    tolerance = TOLERANCE * shares.sum(1).clamp(min=1.0)
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(margin)
        gradient = (shares * (p - y)) @ one + l2 * theta
        norm = gradient.norm(dim=1)
        active = norm > tolerance
        if not bool(active.any()):
            return theta
        if bool((active & (norm > 0.5 * before)).any()):
            rows = one  # single precision does not carry these models any further
        before = norm
        curvature = (shares * p * (1 - p)).to(rows.dtype)
        open_ = torch.where(active, tolerance, 1)
        step = _directions(rows, curvature, gradient, l2=l2, factor=factor, tolerance=open_)
        moved = step @ one.T
        # Where no margin moves by more than SURE, the curvature changes by less than e^SURE < 2 (Bach, Electron. J.
        # Statist. 4 (2010) 384, proposition 1), so that the full step lowers every objective and nothing is tried.
        if float(moved.abs().max()) <= _SURE:
            theta, margin = theta - step, margin - moved
        else:
            theta = _searched(one, y, shares, l2, at=theta, step=step, gradient=gradient)
            margin = theta @ one.T
    left = int(active.sum())
    raise NumericsError(f"{left} of {len(shares)} retrained logistic regressions did not converge; raise l2")


def _directions(
    x: Tensor, curvature: Tensor, gradient: Tensor, *, l2: float, factor: Tensor, tolerance: Tensor
) -> Tensor:
    """H_k⁻¹ g_k [K, D] to a residual of min(0.05, √‖g‖)·‖g‖; zero for models whose gradient is within tolerance.

    Products with the rows run in the precision of `x`: single will mostly do, because the residual that is asked for is
    coarser, and the gradient, which decides where the path ends, is double.
    """
    norm = gradient.norm(dim=1)
    aim = torch.maximum(norm.sqrt().clamp(max=0.05) * norm, 0.1 * tolerance)
    found, residual = torch.zeros_like(gradient), gradient.clone()
    ahead = torch.cholesky_solve(residual.T, factor).T
    heading, power = ahead.clone(), (residual * ahead).sum(1)
    for _ in range(_INNER):
        open_ = residual.norm(dim=1) > aim
        if not bool(open_.any()):
            break
        bent = (((heading.to(x.dtype) @ x.T) * curvature) @ x).double() + l2 * heading
        size = torch.where(open_, power / (heading * bent).sum(1), 0.0).unsqueeze(1)
        found = found + size * heading
        residual = residual - size * bent
        ahead = torch.cholesky_solve(residual.T, factor).T
        before, power = power, torch.where(open_, (residual * ahead).sum(1), power)
        heading = torch.where(open_.unsqueeze(1), ahead + (power / before).unsqueeze(1) * heading, heading)
    return found


def _searched(x: Tensor, y: Tensor, shares: Tensor, l2: float, *, at: Tensor, step: Tensor, gradient: Tensor) -> Tensor:
    """Halve each model's step until its objective falls enough; close to the optimum the full step is taken."""
    decrease = (gradient * step).sum(1)
    if not bool((decrease > 1e-12).any()):
        return at - step

    def values(theta: Tensor) -> Tensor:
        return (shares * loss(theta @ x.T, y.expand(len(theta), -1))).sum(1) + 0.5 * l2 * theta.square().sum(1)

    before, size = values(at), torch.ones(len(at), dtype=torch.float64)
    while True:
        ahead = at - size.unsqueeze(1) * step
        short = (decrease > 1e-12) & (values(ahead) > before - 1e-4 * size * decrease)
        if not bool(short.any()):
            return ahead
        size = torch.where(short, size / 2, size)
