"""Time and memory: MLP 100-256-256-2, ten slices of 500 rows; fit, slice scores and self-influence.

Time is processor time, told as a multiple of one plain training epoch (batch 4096) in the same process on one thread,
after a first call on a handful of rows; memory is the peak of a fresh process above one that only loads torch and the
data.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contest import LARGE, Case

TITLE = "Time and memory, MLP 100-256-256-2"
L2 = 1e-3
FEATURES, WIDTH, CLASSES = 100, 256, 2
SLICES, MEMBERS = 10, 500
EPOCH_BATCH = 4096
WARMING = 128


def network() -> nn.Sequential:
    """The architecture with parameters from the global generator."""
    return nn.Sequential(
        nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)
    )


def rows(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """[n, 100] correlated features and labels of a noisy nonlinear rule."""
    maker = torch.Generator().manual_seed(0)
    mixing = torch.randn(FEATURES, FEATURES, generator=maker) / FEATURES**0.5
    direction, gate = (torch.randn(FEATURES, generator=maker) / FEATURES**0.5 for _ in range(2))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, FEATURES, generator=generator) @ mixing
    logits = 2 * (x @ direction) + 2 * (x @ gate).square() - 2
    return x, (torch.rand(n, generator=generator) < logits.sigmoid()).long()


def trained() -> nn.Sequential:
    """The audited model: three epochs over 20,000 rows in small batches."""
    torch.manual_seed(0)
    module = network()
    x, y = rows(20_000, seed=1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=L2)
    for _ in range(3):
        for xb, yb in zip(x.split(64), y.split(64), strict=True):
            _step(module, optimizer, xb, yb)
    return module.eval()


def prepare(n: int, file: Path) -> None:
    """Model, the first n of 200,000 training rows and the slices' rows, so that a process holds no more than these."""
    x, y = rows(LARGE, seed=1)
    torch.save((trained().state_dict(), (x[:n].clone(), y[:n].clone()), rows(SLICES * MEMBERS, seed=2)), file)


def case_of(file: Path) -> Case:
    """What `prepare` wrote, with ten slices."""
    state, (x, y), (xs, ys) = torch.load(file, weights_only=True)
    module = network()
    module.load_state_dict(state)
    slices = {f"slice {s}": (a, b) for s, (a, b) in enumerate(zip(xs.split(MEMBERS), ys.split(MEMBERS), strict=True))}
    return Case(module.eval(), x, y, slices, L2)


def warming(case: Case) -> Case:
    """A handful of the same rows: what a library loads or compiles at its first call is not what is measured."""
    slices = {name: (x[:8], y[:8]) for name, (x, y) in case.slices.items()}
    return Case(case.module, case.x[:WARMING], case.y[:WARMING], slices, case.l2)


def plain_epoch(case: Case, module: nn.Module) -> None:
    """One epoch of plain training in batches of 4096."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-6, momentum=0.9, weight_decay=L2)
    for x, y in zip(case.x.split(EPOCH_BATCH), case.y.split(EPOCH_BATCH), strict=True):
        _step(module, optimizer, x, y)


def _step(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    functional.cross_entropy(module(x), y).backward()
    optimizer.step()
