"""A problem whose training rows are read from the table again for every pass, and never held together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auditkit.influence.problem import Batch, Inputs, Problem, batches
from auditkit.influence.streaming.encoding import Reader, Records
from auditkit.influence.streaming.sheets import writing
from auditkit.influence.streaming.tables import Part
from auditkit.pieces import Keep
from auditkit.processes import Processes

PASSES = ("exact", "kfac", "ekfac")
"""Estimators that see the training rows only batch by batch, through `Problem.rows`."""


@dataclass(frozen=True)
class Streamed(Problem):
    """Like `Problem`; `inputs` and `targets` are those of the first records only."""

    reader: Reader | None = None
    stop: int = 0
    """Position behind the last row here; `start` is that of the first."""

    def rows(self, size: int | None = None) -> Iterator[Batch]:
        """One pass over the rows here, read from the table."""
        if self.reader is None:
            return
        for part, records in loaded(self.reader, self, self.start, self.stop):
            offset = part.start - self.start
            for at, inputs, targets in batches(records.inputs, records.targets, size or self.batch):
                yield slice(at.start + offset, at.stop + offset), inputs, targets


def streamed(problem: Problem, reader: Reader, processes: Processes, keep: Keep, out: Path) -> Streamed:
    """The problem over the whole table, of which this process reads its share.

    Args:
        problem: posed on the first records. reader: of the table. processes: those that share it.
        keep: where finished sums are left. out: where a scratch file of the weights may lie.

    Raises:
        DataError: there is no room for the scratch file.
    """
    share = processes.share(reader.table.rows)
    given: dict[str, Any] = {field.name: getattr(problem, field.name) for field in fields(Problem)}
    given |= {
        "weights": _weights(reader, share, out).to(problem.targets.device),
        "total": reader.table.rows,
        "start": share.start,
        "stop": share.stop,
        "processes": processes,
        "sample": problem.inputs,
        "keep": keep,
        "reader": reader,
    }
    return Streamed(**given)


def _weights(reader: Reader, share: slice, out: Path) -> Tensor:
    """[rows here] sample weights: ones that take no memory, or a file without a name, filled in a pass of its own."""
    count, first = share.stop - share.start, next(reader.records(0, 1))[1]
    if first.weights is None:
        return torch.ones(1, dtype=torch.float64).expand(count)
    with writing(out), tempfile.TemporaryFile(dir=out) as file:
        # Room is taken now: a file that grows under a memory map on a full disk would kill the process.
        os.posix_fallocate(file.fileno(), 0, 8 * count)
        found = torch.from_numpy(np.memmap(file, dtype=np.float64, mode="r+", shape=(count,)))
    for part, records in reader.records(share.start, share.stop):
        if records.weights is not None:
            found[part.start - share.start : part.stop - share.start] = records.weights
    return found


def loaded(reader: Reader, problem: Problem, start: int, stop: int) -> Iterator[tuple[Part, Records]]:
    """Parts of the table as tensors of the problem's precision, on its device.

    On a GPU the next part travels from pinned memory on a stream of its own while the one handed out is worked on.
    """
    device = problem.targets.device
    if device.type != "cuda":
        for part, records in reader.records(start, stop):
            yield part, _moved(problem, records, device)
        return
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    before: tuple[Part, Records] | None = None
    for part, records in reader.records(start, stop):
        with torch.cuda.stream(side):
            travelling = _moved(problem, records, device)
        if before is not None:
            yield before
        torch.cuda.current_stream(device).wait_stream(side)
        for tensor in (*travelling.inputs, travelling.targets):
            tensor.record_stream(torch.cuda.current_stream(device))
        before = part, travelling
    if before is not None:
        yield before


def _moved(problem: Problem, records: Records, device: torch.device) -> Records:
    *inputs, targets = problem.cast([_sent(t, device) for t in (*records.inputs, records.targets)])
    weights = None if records.weights is None else _sent(records.weights, device)
    rows: Inputs = tuple(inputs)
    return Records(rows, targets, weights)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
