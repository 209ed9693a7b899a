"""Rows of one problem in several processes: sums over all of them, kept once they are finished, and the rows together.

Whatever an estimator sums over training records goes through `summed`, and so is right for one process and for many,
and is not computed again by a run that goes on after it was killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from auditkit.influence.problem import Problem
from auditkit.pieces import Keep, Nothing, Under, digest
from auditkit.processes import ALONE, Processes

_SAMPLE = 64
_NAMED = 12
_LARGEST = 2**30
"""Bytes of a piece above which it is not kept, because disks are small and slow beside it."""


def shared(problem: Problem, processes: Processes) -> Problem:
    """The problem of which every process was given a share of the rows, in the order of their ranks."""
    if processes.size == 1:
        return problem
    device = problem.targets.device
    counts = torch.zeros(processes.size, dtype=torch.int64, device=device)
    counts[processes.rank] = len(problem.targets)
    lengths = [int(length) for length in processes.sum(counts)]
    sample = processes.same(tuple(t[:_SAMPLE].cpu() for t in problem.inputs))
    return replace(
        problem,
        total=sum(lengths),
        start=sum(lengths[: processes.rank]),
        processes=processes,
        sample=tuple(t.to(device) for t in sample),
    )


def summed(problem: Problem, name: str, here: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Sums over all N records: those over the rows of this process, added up across processes.

    Args:
        problem: says which processes, and where finished sums are kept.
        name: of the finished piece, from which another sitting reads the sums instead of computing them.
        here: computes the sums over the rows here; names and shapes are those of every process.
    """
    processes, keeps = problem.processes, problem.processes.first and not _is_nowhere(problem.keep)
    piece = f"{name} {_identity(problem)[:_NAMED]}" if keeps else name
    kept = processes.same(problem.keep.get(piece) if keeps else None)
    if kept is not None:
        return {key: torch.from_numpy(array).to(problem.targets.device) for key, array in kept.items()}
    found = {key: processes.sum(value) for key, value in here().items()}
    if keeps and sum(value.numel() * value.element_size() for value in found.values()) <= _LARGEST:
        problem.keep.put(piece, {key: value.cpu().numpy() for key, value in found.items()})
    return found


def _is_nowhere(keep: Keep) -> bool:
    return _is_nowhere(keep.keep) if isinstance(keep, Under) else isinstance(keep, Nothing)


def _identity(problem: Problem) -> str:
    """Digest of all that a sum over records rests on: one run may fit samples of its records, and other models."""
    weights = problem.weights[:1] if problem.weights.stride(0) == 0 else problem.weights  # one number, said N times
    tensors = {"targets": problem.targets, "weights": weights}
    tensors |= {f"input {k}": tensor for k, tensor in enumerate(problem.inputs)} | problem.parameters()
    shape = torch.tensor([problem.n, problem.start, problem.batch])
    return digest({name: value.cpu().numpy() for name, value in (tensors | {"shape": shape}).items()})


def whole(problem: Problem) -> Problem:
    """The same problem with all N rows in this process, and no other process asked."""
    if problem.processes.size == 1:
        return problem
    gather = problem.processes.rows
    return replace(
        problem,
        inputs=tuple(gather(t) for t in problem.inputs),
        targets=gather(problem.targets),
        weights=gather(problem.weights),
        total=None,
        start=0,
        processes=ALONE,
        keep=Nothing(),
    )
