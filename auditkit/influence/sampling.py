"""A stated part of the training records, chosen by what is in them: the same whatever their order.

Each record gets a number computed from its own inputs, target and weight; those with the smallest numbers are taken, in
the order of the numbers. The choice is a simple random one as far as the data can tell, needs no generator, and is the
same for shuffled rows, for any batch size and for any number of processes. Equal records have equal numbers.

Wrong when: many records are copies of one another (copies enter together, or not at all).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from auditkit.influence.content import mixed
from auditkit.influence.problem import Problem

_ROWS = 4096


def thinned(problem: Problem, count: int) -> Problem:
    """The problem with `count` of its N records (all, as they stand, where it has no more)."""
    if problem.n <= count:
        return problem
    numbers, taken = smallest(problem, count)
    chosen = numbers.argsort()[: int(taken.sum())]
    total = int(problem.processes.sum(torch.tensor([len(chosen)], device=chosen.device)))
    return replace(
        problem,
        inputs=tuple(t[chosen] for t in problem.inputs),
        targets=problem.targets[chosen],
        weights=problem.weights[chosen],
        total=None if problem.total is None else total,
        start=0,
    )


def smallest(problem: Problem, count: int) -> tuple[Tensor, Tensor]:
    """The numbers of the records here, and which of them are among the `count` smallest of all N (all, if N is fewer).

    Copies of the last one taken make a few more than `count`; what matters is that every process takes alike.
    """
    numbers = record_numbers((*problem.inputs, problem.targets, problem.weights))
    if problem.n <= count:
        return numbers, torch.ones_like(numbers, dtype=torch.bool)
    return numbers, numbers <= problem.processes.rows(numbers).sort().values[count - 1]


def record_numbers(tensors: Sequence[Tensor]) -> Tensor:
    """[B] a 64-bit number of each record's content."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(len(tensors[0]), dtype=torch.int64, device=tensors[0].device)
    for tensor in tensors:
        rows = tensor.reshape(len(tensor), -1)
        factors = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator) * 2 + 1
        factors = factors.to(rows.device)
        for start in range(0, len(rows), _ROWS):
            part = slice(start, start + _ROWS)
            total[part] += (_words(rows[part]) * factors).sum(1)
    return mixed(total)


def _words(rows: Tensor) -> Tensor:
    if rows.dtype == torch.float32:
        return rows.contiguous().view(torch.int32).to(torch.int64)
    return rows.to(torch.float64).view(torch.int64) if rows.is_floating_point() else rows.to(torch.int64)
