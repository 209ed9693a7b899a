"""captum: `TracInCPFast` (gradients of the last layer, no curvature) and the influence functions by Arnoldi or dense.

Its Hessian is that of the *summed* loss, so that its influence-function scores need no division by N. TracIn's are
products of gradients without a unit; with one checkpoint and no learning rate only their order means anything.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from captum.influence import TracInCPFast
from captum.influence._core.arnoldi_influence_function import ArnoldiInfluenceFunction
from captum.influence._core.influence_function import NaiveInfluenceFunction
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contest import TINY, Case, Found, Peer, way

BATCH = 512
GRID = (1e-3, 1e-1, 1.0, 10.0, 100.0)


def _last(module: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the last Linear layer."""
    return [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]


def _given(case: Case, scratch: Path) -> dict[str, Any]:
    """What every method of captum is told."""
    checkpoint = scratch / "model.pt"
    torch.save(case.module.state_dict(), checkpoint)
    return {
        "model": copy.deepcopy(case.module),
        "train_dataset": DataLoader(TensorDataset(case.x, case.y), batch_size=BATCH),
        "loss_fn": nn.CrossEntropyLoss(reduction="sum"),
    }


def tracin(case: Case, scratch: Path, _: float | None) -> Found:
    """Products of last-layer gradients; each slice's rows in one call, averaged."""
    given = _given(case, scratch)
    _, layer = _last(given["model"])
    method = TracInCPFast(final_fc_layer=layer, checkpoints=[str(scratch / "model.pt")], **given)
    many = case.queries[1].shape[1] > 1
    if many:
        columns = [method.influence((x, y)).mean(0) for x, y in zip(*case.queries, strict=True)]
        scores = torch.stack(columns, dim=1)
    else:
        scores = method.influence((case.queries[0][:, 0], case.queries[1][:, 0])).T
    own = method.self_influence()
    return Found(scores.double(), own.double(), "Scores have no unit.")


def _by_projection(method: Any, case: Case) -> Found:
    """Slices' mean coordinates against every row's."""
    x, y = case.queries
    asked: Tensor = method.compute_intermediate_quantities((x.flatten(0, 1), y.flatten()), test=True)
    slices = asked.view(*y.shape, -1).mean(1)
    rows: Tensor = method.compute_intermediate_quantities(method.train_dataloader)
    return Found((rows @ slices.T).double(), rows.square().sum(1).double())


def arnoldi(case: Case, scratch: Path, damping: float | None) -> Found:
    """The defaults: 50 directions from 200 Krylov steps, all layers."""
    given = _given(case, scratch)
    extra = {} if damping is None else {"hessian_reg": damping}
    method = ArnoldiInfluenceFunction(
        checkpoint=str(scratch / "model.pt"), sample_wise_grads_per_batch=True, **given, **extra
    )
    return _by_projection(method, case)


def arnoldi_last(case: Case, scratch: Path, _: float | None) -> Found:
    """The same for the parameters of the last layer."""
    given = _given(case, scratch)
    name, _layer = _last(given["model"])
    method = ArnoldiInfluenceFunction(
        checkpoint=str(scratch / "model.pt"), layers=[name], sample_wise_grads_per_batch=True, **given
    )
    return _by_projection(method, case)


def naive(case: Case, scratch: Path, _: float | None) -> Found:
    """The dense Hessian, 50 directions kept by default."""
    given = _given(case, scratch)
    method = NaiveInfluenceFunction(checkpoint=str(scratch / "model.pt"), sample_wise_grads_per_batch=True, **given)
    return _by_projection(method, case)


PEER = Peer(
    "captum",
    "captum",
    (
        way("tracin", "TracInCPFast, last layer only", tracin, "loo", "digits", "compas", "speed"),
        way("arnoldi", "Arnoldi, defaults", arnoldi, "digits", "compas", "speed", sizes=(TINY,)),  # 8 minutes at 10,000
        way("arnoldi-last", "Arnoldi, last layer only", arnoldi_last, "speed"),
        way("arnoldi-tuned", "Arnoldi, damping picked by hand", arnoldi, "digits", "compas", grid=GRID),
        way("naive", "NaiveInfluenceFunction, defaults", naive, "loo"),
    ),
)
