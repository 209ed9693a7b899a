from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from auditkit.influence.measures import Evaluation, Measure, state_evaluation
from auditkit.influence.problem import Loss, Problem, pose
from tests.worlds import cross_entropy, squared_loss, trained_mlp


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_problem(**given: object) -> Problem:
    """Two outputs, five features, forty records, squared loss, at arbitrary parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = nn.Linear(5, 2).double().eval()
    return pose(module, squared_loss, (random(40, 5, seed=1),), random(40, 2, seed=2), **given)  # type: ignore[arg-type]


def posed(
    module: nn.Module,
    x: Tensor | tuple[Tensor, ...],
    y: Tensor,
    *,
    loss: Loss = cross_entropy,
    l2: float | Mapping[str, float] = 1e-2,
    batch: int = 512,
    weights: Tensor | None = None,
) -> Problem:
    inputs = x if isinstance(x, tuple) else (x,)
    return pose(module, loss, inputs, y, weight_decay=l2, batch=batch, weights=weights)


def mean_losses(problem: Problem, x: Tensor | tuple[Tensor, ...], y: Tensor, *, slices: int = 2) -> Evaluation:
    """Mean losses of interleaved slices of the rows."""
    inputs = x if isinstance(x, tuple) else (x,)
    rows = torch.arange(len(y))
    masks = [(rows % slices == s).double() for s in range(slices)]
    return state_evaluation(
        problem, inputs, y, [Measure(f"slice {s}", "loss", m / m.sum()) for s, m in enumerate(masks)]
    )


@pytest.fixture(scope="session")
def mlp() -> tuple[nn.Sequential, Tensor, Tensor]:
    return trained_mlp()
