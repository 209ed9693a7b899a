"""An orthonormal Krylov basis of a symmetric operator, and the operator projected on it.

Block Lanczos with full re-orthogonalisation (every new block against all earlier ones, twice), which in exact
arithmetic is Arnoldi's method for a symmetric operator. A single start vector sees one of several equal eigenvalues;
a block sees as many as it is wide, and a direction that vanishes on orthogonalisation is replaced by a fresh one, so
that the basis can grow to the whole space. Source: Golub & Van Loan, Matrix Computations, 4th ed., section 10.3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from auditkit.influence.products import GaussNewton

_VANISHED = 1e-10
_TRIES = 8
_POWER_COLUMNS = 4
_POWER_STEPS = 200


def krylov_basis(
    product: Callable[[Tensor], Tensor], start: Tensor, *, columns: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Q [D, m] with orthonormal columns and Qᵀ M Q [m, m], m = min(columns, D).

    Args:
        product: vectors [D, K] -> M vectors. start: [D, p] first block, any non-zero columns.
        columns: m wanted; one product a column. generator: of the fresh directions, on the CPU.
    """
    size = len(start)
    wanted = min(columns, size)
    basis = torch.zeros(size, wanted, dtype=torch.float64, device=start.device)
    projected = torch.zeros(wanted, wanted, dtype=torch.float64, device=start.device)
    filled, fresh = 0, start
    while filled < wanted:
        block = _extend(basis, filled, fresh[:, : wanted - filled], generator)
        fresh = product(block)
        before, filled = filled, filled + block.shape[1]
        projected[:filled, before:filled] = basis[:, :filled].T @ fresh
    upper = torch.triu(projected)
    return basis, upper + torch.triu(projected, diagonal=1).T


def largest_eigenvalue(operator: GaussNewton) -> float:
    """Of G, from below, by block power iteration from cosines until it changes by less than 1e-3."""
    size = operator.problem.layout.size
    places = torch.arange(size, dtype=torch.float64, device=operator.problem.targets.device)
    block = torch.stack([torch.cos((k + 1) * places + k) for k in range(min(_POWER_COLUMNS, size))], dim=1)
    value = 0.0
    for _ in range(_POWER_STEPS):
        block = torch.linalg.qr(block).Q
        moved = operator.product(block)
        small = block.T @ moved
        before, value = value, float(torch.linalg.eigvalsh((small + small.T) / 2)[-1])
        if value <= 0 or abs(value - before) <= 1e-3 * value:
            break
        block = moved
    return max(value, 0.0)


def _extend(basis: Tensor, filled: int, fresh: Tensor, generator: torch.Generator) -> Tensor:
    """Write the fresh columns into the basis, orthonormal to it and to each other; returns what was written."""
    for k in range(fresh.shape[1]):
        column = fresh[:, k : k + 1]
        for _ in range(_TRIES):
            done = basis[:, : filled + k]
            length = column.norm()
            for _ in range(2):
                column = column - done @ (done.T @ column)
            if float(column.norm()) > _VANISHED * float(length):
                break
            column = _random(len(basis), 1, generator, basis)
        column = column - done @ (done.T @ column)
        basis[:, filled + k] = (column / column.norm())[:, 0]
    return basis[:, filled : filled + fresh.shape[1]]


def _random(size: int, columns: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(size, columns, generator=generator, dtype=torch.float64).to(like.device)
