"""pyDVL: EK-FAC and the direct solve.

Its Hessians are those of the mean loss; scores are divided by N. A slice's factor is the mean of its rows' factors.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pydvl.influence.torch import DirectInfluence, EkfacInfluence

from benchmarks.contest import SMALL, Case, Found, Peer, way

BATCH = 512
OWN_BATCH = 64
RECOMMENDED = 0.1
"""The regularisation of the EK-FAC example in its documentation; its default, 0, divides by zero eigenvalues."""
GRID = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def _asked(method: Any, case: Case) -> Found:
    """Fit, slice factors, scores batch by batch; self-influence is the diagonal of all pairs of small batches."""
    method.fit(DataLoader(TensorDataset(case.x, case.y), batch_size=BATCH))
    factors = torch.cat(
        [_factors(method, x, y).view(-1, case.queries[1].shape[1], _size(case)).mean(1) for x, y in _groups(case)]
    )
    scores, own = [], []
    for at in range(0, case.n, BATCH):
        scores.append(method.influences_from_factors(factors, case.x[at : at + BATCH], case.y[at : at + BATCH]).T)
    for at in range(0, case.n, OWN_BATCH):
        own.append(method.influences(case.x[at : at + OWN_BATCH], case.y[at : at + OWN_BATCH]).diagonal())
    return Found(torch.cat(scores).detach().double() / case.n, torch.cat(own).detach().double() / case.n)


def _size(case: Case) -> int:
    return sum(p.numel() for p in case.module.parameters())


def _groups(case: Case) -> Any:
    """Whole slices, some 500 rows at a time."""
    x, y = case.queries
    step = max(1, BATCH // y.shape[1])
    return ((a.flatten(0, 1), b.flatten()) for a, b in zip(x.split(step), y.split(step), strict=True))


def _factors(method: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return method.influence_factors(x, y).detach()


def ekfac(case: Case, _: Path, damping: float | None) -> Found:
    """Eigenvalue-corrected."""
    given = RECOMMENDED if damping is None else damping
    module = copy.deepcopy(case.module)
    return _asked(EkfacInfluence(module, update_diagonal=True, hessian_regularization=given), case)


def direct(case: Case, _: Path, damping: float | None) -> Found:
    """The dense Hessian with the model's own L2."""
    module = copy.deepcopy(case.module)
    return _asked(DirectInfluence(module, functional.cross_entropy, regularization=case.l2), case)


PEER = Peer(
    "pyDVL",
    "pyDVL",
    (
        way("direct", "DirectInfluence, with the model's L2", direct, "loo"),
        way("ekfac", "EK-FAC, regularisation 0.1 (its example)", ekfac, "digits", "compas", "speed", sizes=(SMALL,)),
        way("ekfac-tuned", "EK-FAC, damping picked by hand", ekfac, "digits", "compas", grid=GRID),
    ),
)
