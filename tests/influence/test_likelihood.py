from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import ModelError
from auditkit.influence.likelihood import hessian_root, output_terms, third_derivative
from tests.influence.conftest import posed, random
from tests.worlds import binary_cross_entropy, cross_entropy, squared_loss


def test_softmax_gives_its_closed_form_with_one_column_less() -> None:
    z, y = random(7, 4), torch.arange(7) % 4
    problem = posed(nn.Linear(3, 4).double(), random(7, 3), y)
    terms = output_terms(problem, z, y)
    p = torch.softmax(z, 1)
    wanted = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    assert terms.root.shape == (7, 4, 3)
    torch.testing.assert_close(terms.root @ terms.root.transpose(1, 2), wanted)
    torch.testing.assert_close(terms.gradient, p - torch.eye(4, dtype=torch.float64)[y])
    torch.testing.assert_close(terms.loss, cross_entropy(z, y))


def test_one_logit_gives_p_times_one_minus_p_and_its_derivative() -> None:
    z, y = random(9, 1), (torch.arange(9) % 2).double()
    problem = posed(nn.Linear(3, 1).double(), random(9, 3), y, loss=binary_cross_entropy)
    p = torch.sigmoid(z)
    torch.testing.assert_close(output_terms(problem, z, y).root[:, :, 0].square(), p * (1 - p))
    torch.testing.assert_close(third_derivative(problem, z, y).reshape(9, 1), p * (1 - p) * (1 - 2 * p))


def test_third_derivative_of_softmax_against_finite_differences() -> None:
    z, y = random(5, 3), torch.arange(5) % 3
    problem = posed(nn.Linear(3, 3).double(), random(5, 3), y)
    third, step = third_derivative(problem, z, y), 1e-4
    for c in range(3):
        move = torch.zeros_like(z)
        move[:, c] = step
        high, low = (output_terms(problem, z + s * move, y).root for s in (1, -1))
        slope = (high @ high.transpose(1, 2) - low @ low.transpose(1, 2)) / (2 * step)
        torch.testing.assert_close(third[:, :, :, c], slope, atol=1e-7, rtol=0)


def test_squared_loss_has_no_third_derivative() -> None:
    problem = posed(nn.Linear(3, 2).double(), random(6, 3), random(6, 2), loss=squared_loss)
    assert not third_derivative(problem, random(6, 2), random(6, 2)).any()


def test_an_indefinite_hessian_is_refused_with_a_count() -> None:
    def saddle(z: Tensor, y: Tensor) -> Tensor:
        return torch.where(y == 1, z[:, 0].square() - z[:, 1].square(), z.square().sum(1))

    y = torch.tensor([0, 1, 1, 0, 0])
    problem = posed(nn.Linear(3, 2).double(), random(5, 3), y, loss=saddle)
    with pytest.raises(ModelError, match="indefinite Hessian in the outputs for 2 of 5"):
        output_terms(problem, random(5, 2), y)


def test_a_loss_cut_off_from_the_outputs_is_refused() -> None:
    problem = posed(
        nn.Linear(3, 2).double(), random(5, 3), torch.arange(5) % 2, loss=lambda z, y: (z.argmax(1) != y) * 1.0
    )
    with pytest.raises(ModelError, match="does not depend on the outputs"):
        output_terms(problem, random(5, 2), torch.arange(5) % 2)


def test_a_root_of_zero_keeps_one_column() -> None:
    assert hessian_root(torch.zeros(4, 3, 3, dtype=torch.float64)).shape == (4, 3, 1)
