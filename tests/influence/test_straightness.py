"""Losses without curvature are refused under every estimator; those with it in part are held against retraining."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import ModelError
from auditkit.influence import attribute, build_store
from auditkit.influence.registry import ESTIMATORS
from tests.influence.conftest import random

Loss = Callable[[Tensor, Tensor], Tensor]

N = 60
X = random(N, 3, seed=1)
SIGN = torch.sign(X[:, 0] + 0.5 * random(N, seed=2))
Y = X @ torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64) + 0.4 * random(N, seed=3)
CLASSES = torch.arange(N) % 3
L2 = 1e-2


def _margin(z: Tensor, y: Tensor) -> Tensor:
    """Of Crammer and Singer: how far the best other class is above the right one less 1."""
    right = z.gather(1, y[:, None])
    others = (z + 1 - right).scatter(1, y[:, None], 0.0)
    return others.max(1).values.clamp(min=0)


STRAIGHT: dict[str, tuple[int, Loss, Tensor]] = {
    "hinge": (1, lambda z, y: (1 - y * z).clamp(min=0), SIGN),
    "hinge of several classes": (3, _margin, CLASSES),
    "absolute": (1, lambda z, y: (z - y).abs(), Y),
    "torch's absolute": (1, nn.L1Loss(reduction="none"), Y),
    "median": (1, lambda z, y: torch.maximum(0.5 * (y - z), 0.5 * (z - y)), Y),
    "quantile": (1, lambda z, y: torch.maximum(0.9 * (y - z), 0.1 * (z - y)), Y),
    "three quantiles": (
        3,
        lambda z, y: sum(
            torch.maximum(q * (y - z[:, k]), (q - 1) * (y - z[:, k])) for k, q in enumerate((0.1, 0.5, 0.9))
        ),
        Y,
    ),
    "insensitive to small errors": (1, lambda z, y: ((z - y).abs() - 0.1).clamp(min=0), Y),
    "smooth absolute, mostly straight": (
        1,
        lambda z, y: functional.smooth_l1_loss(z, y, reduction="none", beta=1e-3),
        Y,
    ),
    "Huber, mostly straight": (1, lambda z, y: functional.huber_loss(z, y, reduction="none", delta=1e-3), Y),
    "likelihood of outputs that are not normalised": (3, lambda z, y: -z.gather(1, y[:, None])[:, 0], CLASSES),
    "linear": (1, lambda z, y: y * z, Y),
    "one curved output, all slope in the other": (
        2,
        lambda z, y: (z[:, 0] - z[:, 0].detach()) ** 2 + (z[:, 1] - y).abs(),
        Y,
    ),
}


def line(outputs: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, outputs), *([nn.Flatten(0)] if outputs == 1 else [])).double().eval()


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
@pytest.mark.parametrize("name", sorted(STRAIGHT))
def test_a_loss_without_curvature_is_refused_with_what_to_do(name: str, estimator: str) -> None:
    outputs, loss, targets = STRAIGHT[name]
    slices = {"all": (X, targets)}
    with pytest.raises(ModelError, match=r"a slope and no curvature.*squared hinge.*checkpoints for tracin"):
        attribute(line(outputs), loss, (X, targets), slices, estimator=estimator, weight_decay=L2)


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_a_loss_without_slope_is_refused(estimator: str) -> None:
    with pytest.raises(ModelError, match="slope of the loss in the outputs is 0 for every record"):
        attribute(line(1), lambda z, y: 0 * z, (X, Y), {"all": (X, Y)}, estimator=estimator, weight_decay=L2)


@pytest.mark.parametrize("name", ["hinge", "absolute", "quantile"])
def test_a_store_of_gradients_is_not_built_for_it(name: str, tmp_path: Path) -> None:
    outputs, loss, targets = STRAIGHT[name]
    with pytest.raises(ModelError, match="a slope and no curvature"):
        build_store(line(outputs), loss, (X, targets), tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["hinge", "absolute", "quantile"])
def test_first_order_scores_along_the_training_need_no_curvature(name: str) -> None:
    outputs, loss, targets = STRAIGHT[name]
    module = line(outputs)
    found = attribute(
        module, loss, (X, targets), {"all": (X, targets)}, weight_decay=L2,
        checkpoints=[(copy.deepcopy(module.state_dict()), 0.1)],
    )  # fmt: skip
    assert float(found.scores.abs().max()) > 0


CURVED: dict[str, tuple[Loss, Tensor, float]] = {
    "squared hinge": (lambda z, y: (1 - y * z).clamp(min=0) ** 2, SIGN, 0.03),
    "log cosh": (lambda z, y: torch.log(torch.cosh(z - y)), Y, 0.02),
    "Huber, straight for few": (lambda z, y: functional.huber_loss(z, y, reduction="none", delta=0.8), Y, 0.03),
    "Huber, straight for some": (lambda z, y: functional.huber_loss(z, y, reduction="none", delta=0.4), Y, 0.08),
    "smooth absolute": (lambda z, y: functional.smooth_l1_loss(z, y, reduction="none", beta=0.4), Y, 0.08),
    "pseudo-Huber": (lambda z, y: torch.sqrt(1 + (z - y) ** 2) - 1, Y, 0.02),
    "expectile": (lambda z, y: torch.where(y > z, 0.8, 0.2) * (y - z) ** 2, Y, 0.05),
    "Huber, straight for many": (lambda z, y: functional.huber_loss(z, y, reduction="none", delta=0.2), Y, 0.05),
}


def minimised(module: nn.Module, loss: Loss, targets: Tensor, weights: Tensor) -> nn.Module:
    parameters = list(module.parameters())
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=800, tolerance_grad=1e-11, tolerance_change=1e-15, history_size=30,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = (loss(module(X), targets) * weights).sum() + L2 / 2 * sum(p.square().sum() for p in parameters)
        value.backward()
        return value

    optimiser.step(closure)
    return module


@pytest.mark.parametrize("name", sorted(CURVED))
def test_a_loss_that_is_curved_enough_is_held_against_retraining(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    loss, targets, within = CURVED[name]
    even = torch.full((N,), 1 / N, dtype=torch.float64)
    module = minimised(line(1), loss, targets, even)
    halves = {"even": (X[::2], targets[::2]), "odd": (X[1::2], targets[1::2])}
    found = attribute(module, loss, (X, targets), halves, estimator="exact", weight_decay=L2)

    def values(of: nn.Module) -> Tensor:
        return torch.stack([loss(of(x), y).mean().detach() for x, y in halves.values()])

    rows = range(0, N, 3)
    actual = torch.stack(
        [values(minimised(copy.deepcopy(module), loss, targets, even * (torch.arange(N) != i))) for i in rows]
    ) - values(module)
    scores = found.scores[::3]
    slope = float((scores * actual).sum() / actual.square().sum())
    correlation = float(torch.corrcoef(torch.stack([scores.flatten(), actual.flatten()]))[0, 1])
    share = next((q.value or 0.0 for q in found.quality if q.name == "straight losses"), 0.0)
    record_property("slope, correlation, straight share", [round(v, 4) for v in (slope, correlation, share)])
    assert abs(slope - 1) <= within and correlation >= 0.98
    warned = any(q.warns for q in found.quality if q.name == "straight losses")
    assert warned is (share > 0.3) and (share > 0.3) is (name == "Huber, straight for many")
