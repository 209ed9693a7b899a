"""dattri: EK-FAC, the explicit Hessian, and LoGra.

Its Hessians are those of the mean loss; scores are divided by N. A slice is one test item of M rows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from dattri.algorithm.influence_function import IFAttributorEKFAC, IFAttributorExplicit
from dattri.algorithm.logra import LoGraAttributor
from dattri.task import AttributionTask
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contest import SMALL, Case, Found, Peer, mean_cross_entropy, way

BATCH = 512
LOGRA_SIDE = 16
GRID = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def _task(case: Case) -> AttributionTask:
    module = copy.deepcopy(case.module)

    def loss(parameters: Mapping[str, Tensor], data: tuple[Tensor, Tensor]) -> Tensor:
        x, y = data
        return mean_cross_entropy(functional_call(module, dict(parameters), (x,)), y)

    return AttributionTask(loss_func=loss, model=module, checkpoints=module.state_dict())


def _loader(x: Tensor, y: Tensor, size: int) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, y), batch_size=size)


def _asked(method: Any, case: Case, *, fit: int) -> Found:
    """Fit, score, and self-influence batch by batch: dattri's own fails for more than one batch."""
    x, y = case.queries
    method.cache(_loader(case.x, case.y, fit))
    scores = method.attribute(_loader(case.x, case.y, BATCH), _loader(x, y, len(y)))
    own = [
        method.self_attribute(_loader(case.x[at : at + BATCH], case.y[at : at + BATCH], BATCH))
        for at in range(0, case.n, BATCH)
    ]
    return Found(scores.detach().double() / case.n, torch.cat(own).detach().double() / case.n)


def ekfac(case: Case, _: Path, damping: float | None) -> Found:
    """EK-FAC of the empirical Fisher; damping 0 by default."""
    given = {} if damping is None else {"damping": damping}
    return _asked(IFAttributorEKFAC(_task(case), **given), case, fit=BATCH)


def explicit(case: Case, _: Path, damping: float | None) -> Found:
    """The dense Hessian of the mean loss with the model's own L2."""
    return _asked(IFAttributorExplicit(_task(case), regularization=case.l2), case, fit=case.n)


class _WithLoss(nn.Module):
    """The module as LoGra takes it: rows by name in, an answer with a summed loss out. It fails on plain tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)

    def forward(self, x: Tensor, labels: Tensor) -> SimpleNamespace:
        """Loss: sum over items of the mean over each item's rows."""
        loss = functional.cross_entropy(self.module(x).flatten(0, -2), labels.flatten(), reduction="sum")
        return SimpleNamespace(loss=loss * len(labels) / labels.numel())


def _named(x: Tensor, y: Tensor, size: int) -> DataLoader[Any]:
    items = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
    return DataLoader(items, batch_size=size)  # type: ignore[arg-type]


def logra(case: Case, scratch: Path, damping: float | None) -> Found:
    """Rank 16 a side, dense empirical Fisher of the projected gradients."""
    torch.manual_seed(0)
    module = _WithLoss(case.module)

    def loss(model: nn.Module, batch: dict[str, Tensor], _device: str) -> Tensor:
        found: Tensor = model(**batch).loss
        return found

    task = AttributionTask(loss_func=loss, model=module, checkpoints=module.state_dict())
    # Without a folder of its own it writes to the current one, and reads there what an earlier run has left.
    method = LoGraAttributor(task, proj_dim=LOGRA_SIDE**2, offload="none", damping=damping, cache_dir=str(scratch))
    rows, (x, y) = _named(case.x, case.y, BATCH), case.queries
    method.cache(rows)
    scores = method.attribute(rows, _named(x, y, BATCH))
    own = method.compute_self_attribution()
    return Found(scores.detach().double() / case.n, own.detach().double() / case.n)


PEER = Peer(
    "dattri",
    "dattri",
    (
        way("explicit", "explicit Hessian, with the model's L2", explicit, "loo"),
        way("ekfac", "EK-FAC, defaults", ekfac, "digits", "compas", "speed", sizes=(SMALL,)),
        way("ekfac-tuned", "EK-FAC, damping picked by hand", ekfac, "digits", "compas", grid=GRID),
        way("logra", "LoGra, rank 16 a side", logra, "digits", "compas", "speed"),
    ),
)
