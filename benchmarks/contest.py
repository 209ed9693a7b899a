"""What is asked of every library, in the same words: one trained model, its training rows, and groups of rows.

A library answers with the predicted change of each group's mean loss when a training row is removed and the model
retrained (positive: removal raises the loss), whatever sign, scale or Hessian convention it has itself: the adapters in
`peers` map it. Where it can be told the model's own L2, it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Rows: TypeAlias = tuple[Tensor, Tensor]
"""Inputs [B, F] and classes [B]."""

TINY, SMALL, MIDDLE, LARGE = SIZES = (2_000, 10_000, 50_000, 200_000)
REFERENCE = "EK-FAC, uncompressed (reference of the errors)"


@dataclass(frozen=True)
class Case:
    """One piece of work; nothing in it may be changed (adapters that wrap a module copy it first)."""

    module: nn.Module
    """Trained, in eval mode: [B, F] -> [B, C]."""
    x: Tensor
    y: Tensor
    slices: Mapping[str, Rows]
    """Name -> the rows whose mean cross-entropy is asked about; one row or many, equally many in all of them."""
    l2: float
    """lambda of the objective mean cross-entropy + lambda/2 |theta|²."""
    members: tuple[tuple[dict[str, Tensor], Tensor], ...] = ()
    """(state, [N] mask) of models trained on halves; none of them takes part in measuring."""
    queries: Rows = field(init=False)
    """The slices stacked: inputs [S, M, F], classes [S, M]."""

    def __post_init__(self) -> None:
        """Stack the slices."""
        x, y = (torch.stack([rows[k] for rows in self.slices.values()]) for k in (0, 1))
        object.__setattr__(self, "queries", (x, y))

    @property
    def n(self) -> int:
        """N, the training rows."""
        return len(self.y)


@dataclass(frozen=True)
class Found:
    """A library's answer."""

    scores: Tensor
    """[N, S] predicted change of each slice's mean loss when the row is removed."""
    self_influence: Tensor | None
    """[N] predicted change of the row's own loss; None where the library does not give it."""
    notes: str = ""


Run: TypeAlias = Callable[[Case, Path, float | None], Found]
"""(case, a folder to write to, damping or None for what the library recommends) -> answer."""


@dataclass(frozen=True)
class Way:
    """One method of one library with its settings."""

    key: str
    text: str
    """As it stands in the results."""
    run: Run
    tasks: frozenset[str]
    sizes: tuple[int, ...] = (SMALL, MIDDLE)
    """Of the task `speed`."""
    grid: tuple[float, ...] = ()
    """Dampings among which the best is chosen by hand, on models that do not measure; () for the library's own."""


@dataclass(frozen=True)
class Peer:
    """A library with its ways."""

    name: str
    distribution: str
    ways: tuple[Way, ...]


def way(key: str, text: str, run: Run, *tasks: str, sizes: tuple[int, ...] = (), grid: tuple[float, ...] = ()) -> Way:
    """A `Way` from positional tasks."""
    return Way(key, text, run, frozenset(tasks), sizes or (SMALL, MIDDLE), grid)


def mean_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Scalar; outputs [..., C], targets [...]."""
    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def summed_query_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Scalar, sum over S of the mean cross-entropy of each slice; outputs [S, M, C], targets [S, M]."""
    return mean_cross_entropy(outputs, targets) * len(targets)
