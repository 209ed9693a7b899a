from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import DataError, ModelError, NumericsError
from auditkit.influence.problem import pose
from tests.influence.conftest import posed, random
from tests.worlds import cross_entropy, squared_loss

X = random(20, 3)
Y = torch.arange(20) % 2


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(0.5), nn.AlphaDropout(0.1)])
def test_layers_in_training_mode_are_refused_by_name(layer: nn.Module) -> None:
    module = nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 2)).double()
    with pytest.raises(ModelError, match=r"training mode.*: 1;.*module\.eval"):
        posed(module, X, Y)
    posed(module.eval(), X, Y)


def test_the_users_module_is_not_touched() -> None:
    module = nn.Linear(3, 2).float().train()
    before = {name: p.clone() for name, p in module.state_dict().items()}
    problem = posed(module, X, Y)
    assert module.training and module.weight.dtype == torch.float32 and module.weight.requires_grad
    assert all(torch.equal(before[name], p) for name, p in module.state_dict().items())
    assert problem.module is not module and not problem.module.training


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (functional.cross_entropy, "one value per record"),
        (lambda z, y: cross_entropy(z, y).sum(), "one value per record"),
        (lambda z, y: cross_entropy(z, y) / len(y), "reduces over the batch"),
        (lambda z, y: functional.cross_entropy(z, y).expand(len(y)) * torch.arange(1, len(y) + 1), "reduces over"),
        (lambda z, y: cross_entropy(z - z.mean(0) * len(z), y), "reduces over the batch"),
    ],
)
def test_a_loss_that_is_not_per_record_is_refused(loss: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        posed(nn.Linear(3, 2).double(), X, Y, loss=loss)  # type: ignore[arg-type]


def test_a_module_that_mixes_records_in_eval_mode_is_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)).double()
    with pytest.raises(ModelError, match="cannot be run on a single record"):
        posed(module.eval(), X, Y)


class Centred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x - x.mean(0))


class AlwaysDropped(Centred):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(functional.dropout(x, 0.5, training=True))


@pytest.mark.parametrize("module", [Centred(), AlwaysDropped()])
def test_coupled_or_random_outputs_are_refused_and_the_global_generator_is_left_alone(module: nn.Module) -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(ModelError, match="other records of its batch, or on chance"):
        posed(module.double().eval(), X, Y)
    assert torch.equal(before, torch.random.get_rng_state())


def test_values_that_are_not_finite_are_refused_with_a_count() -> None:
    module = nn.Linear(3, 2).double()
    x = X.clone()
    x[17, 1] = math.nan
    with pytest.raises(NumericsError, match="loss of training records 0 to 19: 1 of 20"):
        posed(module, x, Y)
    with torch.no_grad():
        module.weight[0, 0] = math.inf
    with pytest.raises(NumericsError, match="parameters are not finite: weight"):
        posed(module, X, Y)


def test_weight_decay_and_weights_are_checked() -> None:
    module = nn.Linear(3, 2).double()
    with pytest.raises(ModelError, match=r"does not train: weigth"):
        posed(module, X, Y, l2={"weigth": 1.0})
    with pytest.raises(ModelError, match="not negative"):
        posed(module, X, Y, l2=-1.0)
    with pytest.raises(DataError, match="20 finite numbers"):
        posed(module, X, Y, weights=-torch.ones(20))
    with pytest.raises(DataError, match="differ in rows"):
        posed(module, X[:5], Y)


def test_frozen_parameters_are_no_part_of_the_problem() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    module[0].requires_grad_(False)
    problem = posed(module, X, Y)
    assert problem.layout.names == ("1.weight", "1.bias")
    module.requires_grad_(False)
    with pytest.raises(ModelError, match="no trainable parameter"):
        posed(module, X, Y)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[B\], \[B, C\] or \[B, T, C\].*\(2, 3, 1, 1\)"):
        pose(_Deep(), squared_loss, (X,), X[:, 0])


class _Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (self.scale * x)[:, :, None, None]
