"""The two worlds of non-convex models on which influence is held against retraining: digits and COMPAS.

Settings, fixed so that figures compare between methods and days:

| | digits | COMPAS |
|---|---|---|
| data | scikit-learn's digits, pixels / 16, 80/20 | ProPublica's two-year file, 2,400 training rows at random |
| network | 64-128-128-10, ReLU | 13-128-128-2, ReLU |
| training: SGD, momentum 0.9, batch 64 | cosine from 0.05, 40 epochs, L2 1e-4 | from 0.02, 20 epochs, L2 1e-3 |
| asked about | first 160 test rows | 300 test rows |
| slices | digits 0 to 7 | race (African-American, Caucasian) x sex x label |
| measuring | 60 random halves x 4 seeds | 60 random halves x 2 seeds |

The objective of a model with n rows is 1/n sum cross-entropy + L2/2 |theta|², biases included. All models of a call are
trained at once as one batched program, in float32, each with its own start and shuffles, drawn from its own seed.

    world = digits()
    audited = module_of(world, train_all(world, everyone(world), [0]), 0)
    masks = halves(world, 60, seed=MEASURING)                     # [60, N] who is learned from
    actual = retrained_losses(world, masks, seed=MEASURING)      # [4, 60, M] cross-entropy of the test rows
    lds(effects, masks, actual)                                   # effects [N, M] -> Lds(value, low, high, ceiling)

Halves and seeds of MEASURING are for measuring only: whatever is chosen by looking at retrained models (damping,
weights, members) is chosen on halves of other seeds, as FITTING.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from benchmarks.lds import Floats, Lds, ceiling, lds  # noqa: F401 - what is measured on the worlds comes with them

Stack = dict[str, Tensor]
"""Parameter name -> the K models' values [K, ...]."""

MEASURING: Final = 1
FITTING: Final = 2
AUDITED: Final = 3
MOMENTUM: Final = 0.9
TOGETHER: Final = 30
"""Models trained in one batched program; more do not fit the cache and take longer each."""
COMPAS_FILE: Final = Path(__file__).parents[1] / "../shared/data/compas/compas-scores-two-years.csv.gz"


@dataclass(frozen=True)
class World:
    """Data and recipe of one world."""

    name: str
    x: Tensor
    """[N, F] training rows, float32."""
    y: Tensor
    """[N] classes."""
    x_test: Tensor
    """[M, F] the rows asked about."""
    y_test: Tensor
    """[M]"""
    slices: dict[str, Tensor]
    """Name -> positions among the M rows."""
    widths: tuple[int, ...]
    """Inputs, hidden layers, classes."""
    rate: float
    """Learning rate of the first step; it falls to 0 along half a cosine."""
    epochs: int
    l2: float
    seeds: int
    """How often each half is learned, with another seed each time."""
    batch: int = 64

    @property
    def n(self) -> int:
        """N, the training rows."""
        return len(self.y)


def digits() -> World:
    """Handwritten digits; the split is drawn once, from seed 0."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = torch.from_numpy(data.data[order] / 16).float()
    y = torch.from_numpy(data.target[order]).long()
    n = int(0.8 * len(y))
    x_test, y_test = x[n : n + 160], y[n : n + 160]
    slices = {f"digit {d}": (y_test == d).nonzero()[:, 0] for d in range(8)}
    return World("digits", x[:n], y[:n], x_test, y_test, slices, (64, 128, 128, 10), 0.05, 40, 1e-4, 4)


def compas(file: Path = COMPAS_FILE) -> World:
    """Two-year recidivism; numbers standardised by the training rows, categories one-hot, the split from seed 0.

    Raises:
        FileNotFoundError: the data are not there.
    """
    table = pd.read_csv(file)
    table = table.iloc[np.random.default_rng(0).permutation(len(table))[:2700]].reset_index(drop=True)
    numbers = table[["age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count"]].astype(float)
    train, test = slice(0, 2400), slice(2400, 2700)
    numbers = (numbers - numbers[train].mean()) / numbers[train].std(ddof=0)
    race = table["race"].where(table["race"].isin(["African-American", "Caucasian", "Hispanic"]), "Other")
    kinds = pd.get_dummies(pd.DataFrame({"sex": table["sex"], "charge": table["c_charge_degree"], "race": race}))
    x = torch.from_numpy(np.hstack([numbers.to_numpy(), kinds.to_numpy(dtype=float)])).float()
    y = torch.from_numpy(table["two_year_recid"].to_numpy(copy=True)).long()
    slices = {}
    for of in ("African-American", "Caucasian"):
        for sex in ("Female", "Male"):
            for label in (0, 1):
                member = (race == of) & (table["sex"] == sex) & (table["two_year_recid"] == label)
                slices[f"{of}, {sex}, label {label}"] = torch.from_numpy(np.flatnonzero(member[test]))
    return World(
        "COMPAS", x[train], y[train], x[test], y[test], slices, (x.shape[1], 128, 128, 2), 0.02, 20, 1e-3, 2
    )  # fmt: skip


def network(world: World) -> nn.Sequential:
    """The architecture, in eval mode and float32; its parameters are whatever the global generator gives."""
    layers: list[nn.Module] = []
    for given, wide in zip(world.widths[:-2], world.widths[1:-1], strict=True):
        layers += [nn.Linear(given, wide), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*world.widths[-2:])).eval()


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """[B] nats, not reduced."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def everyone(world: World, count: int = 1) -> Tensor:
    """[count, N] masks of models that learn from all rows."""
    return torch.ones(count, world.n, dtype=torch.bool)


def halves(world: World, count: int, *, seed: int) -> Tensor:
    """[count, N] exact random halves; the first of a longer list are those of a shorter one."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, world.n, dtype=torch.bool)
    for mask in masks:
        mask[torch.randperm(world.n, generator=generator)[: world.n // 2]] = True
    return masks


def retrained_losses(world: World, masks: Tensor, *, seed: int, seeds: int | None = None) -> Floats:
    """[J, K, M] cross-entropy of the test rows under the models of K subsets, each learned J times."""
    count = world.seeds if seeds is None else seeds
    runs = [train_all(world, masks, [(seed * 1000 + j) * 10_000 + k for k in range(len(masks))]) for j in range(count)]
    return np.stack([losses_of(world, stack) for stack in runs])


def losses_of(world: World, stack: Stack) -> Floats:
    """[K, M] cross-entropy of the test rows under K models."""
    module = network(world)
    with torch.no_grad():
        outputs = _outputs(module, stack, world.x_test, each=False)
        found = functional.cross_entropy(
            outputs.transpose(1, 2), world.y_test.expand(len(outputs), -1), reduction="none"
        )
    return found.double().numpy()


def train_all(world: World, masks: Tensor, seeds: list[int]) -> Stack:
    """Train K networks at once.

    Args:
        masks: [K, N] bool, equally many rows each. seeds: [K] of each model's start and shuffles.

    Raises:
        ValueError: the subsets differ in size.
    """
    if len(set(masks.sum(1).tolist())) != 1:
        raise ValueError("the subsets must have equally many rows")
    parts = [
        _train(world, masks[at : at + TOGETHER], seeds[at : at + TOGETHER]) for at in range(0, len(masks), TOGETHER)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def state_of(stack: Stack, k: int) -> Stack:
    """The state dict of model k."""
    return {name: value[k].clone() for name, value in stack.items()}


def module_of(world: World, stack: Stack, k: int) -> nn.Sequential:
    """Model k as a module."""
    module = network(world)
    module.load_state_dict(state_of(stack, k))
    return module


def slice_means(world: World, losses: Floats) -> Floats:
    """[..., M] values of rows -> [..., S] means over the slices."""
    return np.stack([losses[..., rows.numpy()].mean(-1) for rows in world.slices.values()], axis=-1)


def row_slices(world: World) -> dict[str, tuple[Tensor, Tensor]]:
    """Each test row a slice, as `attribute` takes them."""
    return {f"row {m}": (world.x_test[m : m + 1], world.y_test[m : m + 1]) for m in range(len(world.y_test))}


def group_slices(world: World) -> dict[str, tuple[Tensor, Tensor]]:
    """The world's slices, as `attribute` takes them."""
    return {name: (world.x_test[rows], world.y_test[rows]) for name, rows in world.slices.items()}


def _outputs(module: nn.Module, stack: Stack, x: Tensor, *, each: bool) -> Tensor:
    """[K, B, C] outputs of K models on the same rows, or with `each` on rows of their own [K, B, F]."""
    found: Tensor = vmap(lambda own, rows: functional_call(module, own, (rows,)), in_dims=(0, 0 if each else None))(
        stack, x
    )
    return found


def _train(world: World, masks: Tensor, seeds: list[int]) -> Stack:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    module = network(world)
    stack = _started(module, generators)
    velocity = {name: torch.zeros_like(value) for name, value in stack.items()}
    rows = torch.stack([mask.nonzero()[:, 0] for mask in masks])
    steps = math.ceil(rows.shape[1] / world.batch)
    for epoch in range(world.epochs):
        orders = torch.stack(
            [own[torch.randperm(len(own), generator=g)] for own, g in zip(rows, generators, strict=True)]
        )
        for step, part in enumerate(orders.split(world.batch, dim=1)):
            rate = 0.5 * world.rate * (1 + math.cos(math.pi * (epoch + step / steps) / world.epochs))
            outputs = _outputs(module, stack, world.x[part], each=True)
            losses = functional.cross_entropy(outputs.transpose(1, 2), world.y[part], reduction="none")
            gradients = torch.autograd.grad(losses.mean(1).sum(), list(stack.values()))
            with torch.no_grad():
                for (name, value), gradient in zip(stack.items(), gradients, strict=True):
                    velocity[name].mul_(MOMENTUM).add_(gradient).add_(value, alpha=world.l2)
                    value.sub_(velocity[name], alpha=rate)
    return {name: value.detach() for name, value in stack.items()}


def _started(module: nn.Module, generators: list[torch.Generator]) -> Stack:
    """Weights uniform in ±sqrt(1 / inputs), as torch's Linear starts, and biases alike."""
    drawn: dict[str, list[Tensor]] = {name: [] for name, _ in module.named_parameters()}
    for generator in generators:
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                for kind, value in layer.named_parameters():
                    drawn[f"{name}.{kind}"].append(
                        torch.empty(value.shape).uniform_(-bound, bound, generator=generator)
                    )
    return {name: torch.stack(values).requires_grad_() for name, values in drawn.items()}
