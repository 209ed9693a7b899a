from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from auditkit.influence.chebyshev import chebyshev, steps_for
from tests.influence.conftest import random


def system(low: float, size: int = 30) -> tuple[Tensor, Tensor, Tensor]:
    turn = torch.linalg.qr(random(size, size)).Q
    values = torch.logspace(0, 1, size, base=low, dtype=torch.float64)
    matrix = turn @ torch.diag(values) @ turn.T
    right = random(size, 2, seed=1)
    return matrix, right, torch.linalg.solve(matrix, right)


@pytest.mark.parametrize("low", [0.5, 1e-2, 1e-4])
def test_residuals_shrink_as_foreseen(low: float) -> None:
    matrix, right, answer = system(low)
    for factor in (10.0, 1e4):
        steps = steps_for(factor, lower=low, upper=1.0)
        got = next(
            islice(chebyshev(matrix.__matmul__, torch.zeros_like(right), right, lower=low, upper=1.0), steps - 1, None)
        )
        left = (right - matrix @ got).norm(dim=0) / right.norm(dim=0)
        assert float(left.max()) <= 1 / factor * (1 + 1e-9)
    assert float((got - answer).norm() / answer.norm()) <= 1e-4 / low


@settings(max_examples=20, deadline=None)
@given(low=st.floats(1e-5, 0.9), guess=st.floats(1e-5, 1.0), steps=st.integers(1, 60))
def test_a_wrong_lower_end_never_makes_it_diverge(low: float, guess: float, steps: int) -> None:
    matrix, right, _ = system(low)
    for got in islice(chebyshev(matrix.__matmul__, torch.zeros_like(right), right, lower=guess, upper=1.0), steps):
        assert bool(((right - matrix @ got).norm(dim=0) <= right.norm(dim=0) * (1 + 1e-9)).all())


def test_with_one_number_for_both_ends_it_is_the_plain_series() -> None:
    matrix, right, _ = system(0.1)
    wanted = torch.zeros_like(right)
    for got in islice(chebyshev(matrix.__matmul__, torch.zeros_like(right), right, lower=1.0, upper=1.0), 12):
        wanted = wanted + (right - matrix @ wanted)
        torch.testing.assert_close(got, wanted)
