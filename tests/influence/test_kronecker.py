from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from auditkit.errors import NumericsError
from auditkit.influence.kronecker import Basis, Block
from tests.influence.conftest import random


def spd(size: int, seed: int) -> Tensor:
    root = random(size, size, seed=seed)
    return root @ root.T + 0.1 * torch.eye(size, dtype=torch.float64)


def dense(block: Block) -> Tensor:
    """The block written out, penalty in the parameters' own coordinates and not in the eigenbasis."""
    o, i = block.eigenvalues.shape
    right = torch.eye(i, dtype=torch.float64) if block.basis.right is None else block.basis.right
    both = torch.kron(block.basis.left.contiguous(), right.contiguous())
    diagonal = torch.full((o, i), block.penalty, dtype=torch.float64)
    diagonal[:, -1] += block.bias_excess
    return both @ torch.diag(block.eigenvalues.reshape(-1)) @ both.T + torch.diag(diagonal.reshape(-1))


@given(
    o=st.integers(1, 4),
    i=st.integers(2, 5),
    weight=st.floats(1e-3, 10),
    bias=st.floats(0, 10),
    seed=st.integers(0, 1000),
)
def test_solve_and_quadratics_equal_the_dense_block(o: int, i: int, weight: float, bias: float, seed: int) -> None:
    eigenvalues = random(o, i, seed=seed).square() + 0.05
    block = Block(Basis.of(spd(o, seed), spd(i, seed + 1)), eigenvalues, weight, bias - weight, 0.0)
    matrix, vectors = dense(block), random(3, o, i, seed=seed + 2)
    solved = torch.linalg.solve(matrix, vectors.reshape(3, -1).T).T.reshape(vectors.shape)
    torch.testing.assert_close(block.solve(vectors), solved, rtol=1e-8, atol=1e-10)
    assert block.basis.right is not None
    a, d = random(6, i, seed=seed + 3), random(6, o, seed=seed + 4)
    gradients = (d.unsqueeze(2) * a.unsqueeze(1)).reshape(6, -1)
    wanted = torch.einsum("bi,bi->b", gradients, torch.linalg.solve(matrix, gradients.T).T)
    quadratic = block.input_quadratic(a @ block.basis.right)
    torch.testing.assert_close(((d @ block.basis.left).square() * quadratic).sum(1), wanted, rtol=1e-8, atol=1e-10)
    turned = block.basis.left.T @ (d.unsqueeze(2) * a.unsqueeze(1)) @ block.basis.right
    products = block.matrix_products(turned.unsqueeze(1))[:, 0, 0]
    torch.testing.assert_close(products, wanted, rtol=1e-8, atol=1e-10)


def test_an_embedding_block_is_diagonal_in_its_codes() -> None:
    block = Block(Basis.of(spd(3, 0), None), random(3, 5).square() + 0.1, 0.3, 0.0, 0.0)
    vectors = random(2, 3, 5, seed=1)
    solved = torch.linalg.solve(dense(block), vectors.reshape(2, -1).T).T.reshape(vectors.shape)
    torch.testing.assert_close(block.solve(vectors), solved)


def test_a_dead_unit_with_an_unpenalised_bias_needs_damping() -> None:
    eigenvalues, basis = torch.zeros(2, 3, dtype=torch.float64), Basis.of(spd(2, 0), spd(3, 1))
    with pytest.raises(NumericsError, match="not positive definite with damping 0"):
        Block(basis, eigenvalues, 0.1, -0.1, 0.0)
    Block(basis, eigenvalues, 0.1 + 1e-3, -0.1, 1e-3)


def test_stiffer_scales_every_penalty_and_nothing_else() -> None:
    block = Block(Basis.of(spd(2, 0), spd(3, 1)), random(2, 3).square() + 0.1, 0.2, -0.1, 0.05)
    data = dense(block) - torch.diag(torch.tensor([0.2, 0.2, 0.1] * 2, dtype=torch.float64))
    wanted = data + 10 * torch.diag(torch.tensor([0.2, 0.2, 0.1] * 2, dtype=torch.float64))
    torch.testing.assert_close(dense(block.stiffer(10.0)), wanted)
