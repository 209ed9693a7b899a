from __future__ import annotations

import pytest
import torch

from auditkit.influence.krylov import krylov_basis
from tests.influence.conftest import random


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("columns", [5, 8, 30])
def test_the_basis_is_orthonormal_and_the_projection_is_the_operators(width: int, columns: int) -> None:
    root = random(12, 12)
    matrix = root + root.T
    basis, projected = krylov_basis(
        matrix.__matmul__, random(12, width, seed=1), columns=columns, generator=generator()
    )
    size = min(columns, 12)
    assert basis.shape == (12, size)
    torch.testing.assert_close(basis.T @ basis, torch.eye(size, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(projected, basis.T @ matrix @ basis, rtol=0, atol=1e-11)


@pytest.mark.parametrize("width", [1, 2])
def test_equal_and_zero_eigenvalues_are_all_found_at_full_size(width: int) -> None:
    turn = torch.linalg.qr(random(10, 10)).Q
    values = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 2, 2, 5], dtype=torch.float64)
    matrix = turn @ torch.diag(values) @ turn.T
    _, projected = krylov_basis(matrix.__matmul__, random(10, width, seed=1), columns=10, generator=generator())
    torch.testing.assert_close(torch.linalg.eigvalsh(projected), values, rtol=0, atol=1e-10)


def test_an_operator_that_is_zero_still_gets_a_basis() -> None:
    basis, projected = krylov_basis(torch.zeros_like, random(6, 2), columns=4, generator=generator())
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-12)
    assert not projected.any()


def test_a_few_columns_find_the_largest_eigenvalues() -> None:
    turn = torch.linalg.qr(random(200, 200)).Q
    values = 0.7 ** torch.arange(200, dtype=torch.float64)
    matrix = turn @ torch.diag(values) @ turn.T
    _, projected = krylov_basis(matrix.__matmul__, random(200, 2, seed=1), columns=40, generator=generator())
    torch.testing.assert_close(torch.linalg.eigvalsh(projected).flip(0)[:8], values[:8], rtol=1e-8, atol=0)
