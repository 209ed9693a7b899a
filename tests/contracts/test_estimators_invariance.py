"""What no estimator's answer may depend on, and what every estimator refuses or says of the model it was given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import ModelError
from auditkit.influence import Attribution, attribute, losses
from auditkit.influence.problem import pose
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.scoring import score
from tests.contracts.test_estimators import ERROR, LEAST_CORRELATION, WHOLE
from tests.influence.conftest import mean_losses, posed
from tests.worlds import cross_entropy, trained_mlp

every_estimator = pytest.mark.parametrize("name", sorted(ESTIMATORS))
Network = tuple[nn.Sequential, Tensor, Tensor]


class Twice(nn.Module):
    """One layer used at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.turn(torch.tanh(self.turn(x)))))


@pytest.fixture(scope="module")
def network() -> Network:
    return trained_mlp(n=200)


def scored(name: str, module: nn.Module, x: Tensor, y: Tensor, **given: Any) -> Attribution:
    slices = {"even": (x[::2], y[::2]), "odd": (x[1::2], y[1::2])}
    asked = {"weight_decay": 1e-2, "estimator": name, **given}
    return attribute(
        module, given.pop("loss", cross_entropy), (x, y), slices, **{k: asked[k] for k in asked if k != "loss"}
    )


def relative(got: Tensor | None, wanted: Tensor | None) -> float:
    assert got is not None and wanted is not None
    return float(((got - wanted).norm(dim=0) / wanted.norm(dim=0)).max())


@every_estimator
def test_the_order_of_rows_does_not_matter_at_the_public_door(name: str, network: Network) -> None:
    module, x, y = network
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(4))
    base = scored(name, module, x, y)
    slices = {"even": (x[::2], y[::2]), "odd": (x[1::2], y[1::2])}
    turned = attribute(module, cross_entropy, (x[order], y[order]), slices, weight_decay=1e-2, estimator=name)
    back = torch.argsort(order)
    assert relative(turned.scores[back], base.scores) <= 1e-9
    assert turned.self_influence is not None and relative(turned.self_influence[back], base.self_influence) <= 1e-9


@every_estimator
def test_batches_of_1_64_and_4096_give_the_same(name: str, network: Network) -> None:
    module, x, y = network[0], network[1][:72], network[2][:72]
    for dtype, bar in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        found = []
        for batch in (4096, 64, 1):
            problem = pose(module, cross_entropy, (x,), y, weight_decay=1e-2, batch=batch, dtype=dtype)
            found.append(score(problem, ESTIMATORS[name]().fit(problem), mean_losses(problem, x, y)))
        for other in found[1:]:
            assert relative(other.effects, found[0].effects) <= bar
            assert relative(other.self_influence, found[0].self_influence) <= bar


@every_estimator
def test_a_loss_that_reduces_over_the_batch_is_refused(name: str, network: Network) -> None:
    for loss, words in (
        (functional.cross_entropy, "one value per record"),
        (lambda z, t: functional.cross_entropy(z, t, reduction="none") / len(t), "batch is duplicated"),
    ):
        with pytest.raises(ModelError, match=words):
            scored(name, *network, loss=loss)


@every_estimator
def test_batch_norm_in_training_mode_is_refused_and_in_eval_mode_taken(name: str, network: Network) -> None:
    _, x, y = network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
        module(x)
    with pytest.raises(ModelError, match="layers in training mode mix records"):
        scored(name, module, x, y)
    got = scored(name, module.eval(), x, y)
    (covered,) = (q for q in got.quality if q.name == "parameters covered")
    assert covered.value == 1 and bool(got.scores.isfinite().all()) and bool(got.scores.any())


@every_estimator
def test_a_model_that_has_not_converged_is_scored_and_said_to_be_so(name: str, network: Network) -> None:
    module, x, y = network
    moved = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.1)
    for given, warns in ((module, False), (moved, True)):
        figures = {q.name: q for q in scored(name, given, x, y).quality}
        norm, distance = figures["gradient norm"].value, figures["distance to optimum"]
        assert norm is not None and (norm > 1e-2) is warns
        assert distance.warns is warns and "multiples of the step" in distance.text


@every_estimator
def test_a_parameter_used_twice_is_summed_over_its_uses(name: str, network: Network) -> None:
    _, x, y = network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = Twice().double().eval()
    got, truth = (scored(one, module, x, y, damping=0.0) for one in (name, "exact"))
    (covered,) = (q for q in got.quality if q.name == "parameters covered")
    assert covered.value == 1
    # Newton steps are taken by some only, so records are compared first-order where the whole matrix is inverted.
    problem = posed(module, x, y)
    fitted = [ESTIMATORS[one](damping=0.0).fit(problem) for one in (name, "exact")]
    mine, theirs = (score(problem, c, mean_losses(problem, x, y), form="first-order") for c in fitted)
    if name in WHOLE:
        assert relative(mine.effects, theirs.effects) <= ERROR[name]
    for s in range(2):
        pair = torch.stack([got.scores[:, s], truth.scores[:, s]])
        assert float(torch.corrcoef(pair)[0, 1]) >= min(LEAST_CORRELATION[name], 0.99)


def unbalanced(outputs: Tensor, targets: Tensor) -> Tensor:
    return losses.softmax(class_weights=(1.0, 2.0, 0.5))(outputs, targets)


@every_estimator
@pytest.mark.parametrize("loss", [losses.softmax(), unbalanced])
def test_weights_count_records_as_copies_do(
    name: str, loss: Callable[[Tensor, Tensor], Tensor], network: Network
) -> None:
    # Ten records twice, or with weight 2 and the mean weight brought back to 1: the same objective, half the effect.
    module, x, y = network
    copies = scored(name, module, torch.cat([x, x[:10]]), torch.cat([y, y[:10]]), loss=loss)
    weights = torch.ones(len(y), dtype=torch.float64)
    weights[:10] = 2.0
    problem = pose(module, loss, (x,), y, weight_decay=1e-2, weights=weights * len(y) / (len(y) + 10))
    rows = torch.cat([x, x[:10]]), torch.cat([y, y[:10]])
    fitted = ESTIMATORS[name]().fit(problem)
    weighted = score(problem, fitted, mean_losses(problem, *rows), form="first-order")
    double = pose(module, loss, (rows[0],), rows[1], weight_decay=1e-2)
    plain = score(double, ESTIMATORS[name]().fit(double), mean_losses(double, *rows), form="first-order")
    assert copies.scores.shape == plain.effects.shape
    assert relative(weighted.effects[:10], 2 * plain.effects[:10]) <= max(1e-7, 10 * ERROR[name])
    assert relative(weighted.effects[10:], plain.effects[10:-10]) <= max(1e-7, 10 * ERROR[name])
