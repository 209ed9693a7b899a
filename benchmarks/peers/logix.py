"""LogIX: LoGra at rank 16 and EK-FAC; biases are ignored by the library.

Curvature is a mean over rows (the empirical Fisher); scores are divided by N. A slice is one item of M rows. Gradients
are not stored on disk but made again in the scoring pass, which is the faster way for one set of questions.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.contest import LARGE, MIDDLE, SMALL, Case, Found, Peer, summed_query_loss, way

BATCH, FULL_BATCH = 2048, 64
"""Rows at a time with projected and with full gradients: it multiplies all pairs of a batch out before summing."""
RANK = 16
GRID = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def _batches(case: Case, size: int) -> Iterator[tuple[range, Tensor, Tensor]]:
    for at in range(0, case.n, size):
        rows = range(at, min(at + size, case.n))
        yield rows, case.x[rows.start : rows.stop], case.y[rows.start : rows.stop]


def _logged(run: Any, model: nn.Module, names: range, loss: Any) -> Any:
    """The log of one batch."""
    with run(data_id=[str(k) for k in names]):
        model.zero_grad()
        loss().backward()
    return run.get_log(copy=False)


def _asked(case: Case, scratch: Path, damping: float | None, *, lora: str, hessian: str) -> Found:
    from logix import LogIX, LogIXScheduler
    from logix.utils import get_logger

    size = BATCH if lora == "random" else FULL_BATCH
    get_logger().setLevel(logging.ERROR)
    torch.manual_seed(0)
    settings = scratch / "logix.yaml"
    settings.write_text(yaml.safe_dump({"root_dir": str(scratch), "lora": {"init": "random", "rank": RANK}}))
    model = copy.deepcopy(case.module)
    run = LogIX(project="benchmark", config=str(settings))
    run.watch(model)
    for _ in LogIXScheduler(run, lora=lora, hessian=hessian, save="none"):
        for names, x, y in _batches(case, size):
            _logged(run, model, names, lambda x=x, y=y: functional.cross_entropy(model(x), y, reduction="sum"))
        run.finalize()
    run.setup({"forward": [], "backward": [], "grad": [_log()]})
    run.eval()
    return _scored(run, model, case, damping, size)


def _log() -> Any:
    from logix.statistic import Log

    return Log


def _scored(run: Any, model: nn.Module, case: Case, damping: float | None, size: int) -> Found:
    x, y = case.queries
    names, asked = _logged(run, model, range(len(y)), lambda: summed_query_loss(model(x), y))
    queries = run.influence.precondition((list(names), {k: dict(v) for k, v in asked.items()}), damping=damping)
    scores, own = [], []
    for rows, xb, yb in _batches(case, size):
        log = _logged(run, model, rows, lambda x=xb, y=yb: functional.cross_entropy(model(x), y, reduction="sum"))
        scores.append(run.compute_influence(queries, log, precondition=False)["influence"].T)
        own.append(run.compute_self_influence(log, damping=damping)["influence"])
    return Found(torch.cat(scores).double() / case.n, torch.cat(own).double() / case.n)


def logra(case: Case, scratch: Path, damping: float | None) -> Found:
    """Rank 16 a side, dense curvature of the projected gradients."""
    return _asked(case, scratch, damping, lora="random", hessian="raw")


def ekfac(case: Case, scratch: Path, damping: float | None) -> Found:
    """Full gradients."""
    return _asked(case, scratch, damping, lora="none", hessian="ekfac")


PEER = Peer(
    "LogIX",
    "logix-ai",
    (
        way("logra", "LoGra rank 16, biases ignored", logra, "digits", "compas", "speed", sizes=(SMALL, MIDDLE, LARGE)),
        way("ekfac", "EK-FAC, biases ignored", ekfac, "loo", "digits", "compas", "speed", sizes=(SMALL,)),
        way("logra-tuned", "LoGra rank 16, damping picked by hand", logra, "digits", "compas", grid=GRID),
    ),
)
