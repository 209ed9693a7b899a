"""Linear datamodelling scores of digits and COMPAS: predicted against retrained losses over random halves (`worlds`).

One model is audited. What is tuned (a peer's damping, the bank's members) uses halves and seeds of its own; the
measuring models decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import worlds
from benchmarks.contest import Case

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What retraining says, and the models that are scored."""

    audited: dict[str, Tensor]
    members: tuple[tuple[dict[str, Tensor], Tensor], ...]
    masks: Tensor
    """[K, N] of the measuring halves."""
    actual: Floats
    """[J, K, M]"""
    tuning_masks: Tensor
    tuning: Floats


def world_of(name: str) -> worlds.World:
    """Digits or COMPAS.

    Raises:
        FileNotFoundError: the data of COMPAS are not there.
    """
    return worlds.digits() if name == "digits" else worlds.compas()


@dataclass(frozen=True)
class Extent:
    """How many models are trained."""

    halves: int
    members: int
    tuning: int
    """Halves on which a peer's damping is picked by hand."""


FULL, QUICK = Extent(60, 64, 30), Extent(12, 16, 6)


def truth(world: worlds.World, extent: Extent) -> Truth:
    """Train everything that this task needs."""
    audited = worlds.train_all(world, worlds.everyone(world), [worlds.AUDITED])
    banked = worlds.halves(world, extent.members, seed=worlds.FITTING)
    bank = worlds.train_all(world, banked, [(worlds.FITTING * 1000 + 500) * 10_000 + k for k in range(extent.members)])
    masks = worlds.halves(world, extent.halves, seed=worlds.MEASURING)
    tuning = worlds.halves(world, extent.tuning, seed=worlds.FITTING)
    return Truth(
        audited=worlds.state_of(audited, 0),
        members=tuple((worlds.state_of(bank, k), banked[k]) for k in range(extent.members)),
        masks=masks,
        actual=worlds.retrained_losses(world, masks, seed=worlds.MEASURING),
        tuning_masks=tuning,
        tuning=worlds.retrained_losses(world, tuning, seed=worlds.FITTING, seeds=1),
    )


def case_of(world: worlds.World, known: Truth) -> Case:
    """Each test row is asked about; slices are means of them."""
    module: nn.Module = worlds.network(world)
    module.load_state_dict(known.audited)
    return Case(module, world.x, world.y, worlds.row_slices(world), world.l2, known.members)


def figures(world: worlds.World, scores: Floats, known: Truth) -> dict[str, worlds.Lds]:
    """LDS per test row and per slice, each with interval and noise ceiling."""
    means = worlds.slice_means(world, scores)
    return {
        "rows": worlds.lds(scores, known.masks, known.actual),
        "slices": worlds.lds(means, known.masks, worlds.slice_means(world, known.actual)),
    }


def tuning_score(scores: Floats, known: Truth) -> float:
    """LDS per test row on the halves for tuning."""
    return worlds.lds(scores, known.tuning_masks, known.tuning).value


def plain_epoch(world: worlds.World, module: nn.Module) -> None:
    """One epoch of the world's own recipe, without its schedule."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-6, momentum=worlds.MOMENTUM, weight_decay=world.l2)
    for x, y in zip(world.x.split(world.batch), world.y.split(world.batch), strict=True):
        optimizer.zero_grad()
        worlds.cross_entropy(module(x), y).mean().backward()
        optimizer.step()


def shown(world: worlds.World, scores: Floats, known: Truth) -> dict[str, float]:
    """The figures of `figures`, flat."""
    flat = {}
    for kind, found in figures(world, scores, known).items():
        flat |= {f"LDS {kind}": found.value, f"LDS {kind} low": found.low, f"LDS {kind} high": found.high}
    return flat


def told(world: worlds.World, known: Truth) -> str:
    """What stands above the table."""
    rows = worlds.ceiling(known.actual)
    slices = worlds.ceiling(worlds.slice_means(world, known.actual))
    return (
        f"{len(known.masks)} random halves x {world.seeds} seeds; {len(world.y_test)} test rows, {len(world.slices)} "
        f"slices; 95 % intervals by jackknife over the halves. Noise ceiling {rows:.3f} per row, "
        f"{slices:.3f} per slice. Dampings picked by hand: best LDS per row on {len(known.tuning_masks)} other halves. "
        f"Bank: {len(known.members)} other halves, which cost {bank_epochs(world, known):.0f} epochs to train."
    )


def bank_epochs(world: worlds.World, known: Truth) -> float:
    """Plain epochs over all rows that training the bank takes."""
    return len(known.members) * world.epochs / 2
