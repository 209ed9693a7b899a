"""From a part of the table to tensors, by the caller's function; what it gives is checked, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import torch
from torch import Tensor

from auditkit.errors import Complaint, DataError
from auditkit.influence.problem import Inputs
from auditkit.influence.streaming.tables import Part, Table

Encoded: TypeAlias = tuple[Tensor | tuple[Tensor, ...], Tensor] | tuple[Tensor | tuple[Tensor, ...], Tensor, Tensor]
"""(inputs, targets) or (inputs, targets, sample weights), one row per record of the batch."""

Encode: TypeAlias = Callable[[Any], Encoded]
"""pyarrow.RecordBatch of B records -> tensors of B rows; what a record becomes must not depend on the others."""

Form: TypeAlias = tuple[tuple[tuple[int, ...], torch.dtype], ...]

_TOLD = 5
_WEIGHTED = 3


@dataclass(frozen=True)
class Records:
    """Consecutive records as tensors."""

    inputs: Inputs
    targets: Tensor
    weights: Tensor | None
    """[B] float64, or None where the caller gives none (all 1)."""

    @property
    def form(self) -> Form:
        """Shape of one record and type, tensor by tensor; that of the weights last, where there are any."""
        tensors = (*self.inputs, self.targets, *(() if self.weights is None else (self.weights,)))
        return tuple((tuple(t.shape[1:]), t.dtype) for t in tensors)


@dataclass(frozen=True)
class Reader:
    """The table as tensors."""

    table: Table
    encode: Encode
    size: int
    """Most records held at a time."""
    shard: int
    """Records of a shard, which no part crosses."""
    form: Form | None = None
    """What every part must give; None until the first is known."""

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Part, Records]]:
        """Parts from `start` to `stop`, encoded and checked.

        Raises:
            DataError: the function fails, gives what is no tensors of the right length, shapes and types that
                differ from the first part's, or values that are not finite; names file, row group and rows.
        """
        for part in self.table.parts(self.size, start=start, stop=stop, shard=self.shard):
            yield part, self.encoded(part)

    def encoded(self, part: Part, rows: Tensor | None = None) -> Records:
        """The part as tensors; with `rows`, only these of its records."""
        batch = part.batch if rows is None else part.batch.take(pa.array(rows.numpy()))
        try:
            given: object = self.encode(batch)
        except Exception as reason:
            complaint = Complaint(f"encode failed: {type(reason).__name__}: {reason}", self._where(part))
            raise DataError(complaint) from reason
        places = torch.arange(batch.num_rows) if rows is None else rows
        found = self._checked(part, given, places)
        if self.form is not None and found.form != self.form:
            self.refuse(part, f"encode gave shapes and types {found.form}, but {self.form} before")
        return found

    def head(self, rows: int) -> Records:
        """The first records; refuses an encode that gives a record otherwise beside others than alone."""
        part = next(self.table.parts(rows, stop=min(rows, self.table.rows), shard=self.table.rows))
        whole = self.encoded(part)
        alone = [self.encoded(part, torch.arange(k, k + 1)) for k in range(min(_TOLD, len(whole.targets)))]
        for k, one in enumerate(alone):
            same = all(
                torch.allclose(a.to(torch.float64), b[k : k + 1].to(torch.float64), rtol=1e-5, atol=1e-8)
                for a, b in zip((*one.inputs, one.targets), (*whole.inputs, whole.targets), strict=True)
                if a.shape == b[k : k + 1].shape
            )
            if one.form != whole.form or not same:
                self.refuse(part, "encode gives a record otherwise beside others than alone")
        return whole

    def refuse(self, part: Part, message: str) -> None:
        """Raise DataError with the place of the part."""
        raise DataError(Complaint(message, self._where(part)))

    def _checked(self, part: Part, given: object, places: Tensor) -> Records:
        parts = tuple(given) if isinstance(given, (tuple, list)) else ()
        inputs = parts[0] if parts and isinstance(parts[0], (tuple, list)) else parts[:1]
        tensors = (*inputs, *parts[1:])
        if len(parts) not in (2, _WEIGHTED) or not all(isinstance(t, Tensor) and t.ndim for t in tensors):
            self.refuse(part, "encode must give (inputs, targets) or (inputs, targets, sample weights) as tensors")
        lengths = [len(t) for t in tensors]
        if set(lengths) != {len(places)}:
            self.refuse(part, f"encode gave tensors of {lengths} rows for {len(places)} records")
        weights = parts[2].to(torch.float64) if len(parts) == _WEIGHTED else None
        if weights is not None and (weights.ndim != 1 or bool((weights < 0).any())):
            self.refuse(part, "sample weights must be one number per record that is not negative")
        names = (*(f"input {k}" for k in range(len(inputs))), "targets", "sample weights")
        for name, tensor in zip(names, tensors, strict=False):
            self._require_finite(part, name, tensor, places)
        return Records(tuple(inputs), parts[1], weights)

    def _require_finite(self, part: Part, name: str, tensor: Tensor, places: Tensor) -> None:
        # A sum is not finite where any part of it is not, and costs a tenth of looking at each number.
        if not tensor.is_floating_point() or bool(tensor.sum(dtype=torch.float64).isfinite()):
            return
        wrong = ~tensor.reshape(len(tensor), -1).isfinite().all(1)
        if not bool(wrong.any()):
            return
        positions = [part.start + int(row) for row in places[wrong]]
        path, group, _ = self.table.place(positions[0])
        rows = ", ".join(str(self.table.place(p)[2]) for p in positions[:_TOLD] if self.table.place(p)[1] == group)
        said = f"encode gave values of {name} that are not finite for {len(positions)} of {len(places)} records"
        raise DataError(Complaint(said, f"{path}, row group {group}, rows {rows}"))

    def _where(self, part: Part) -> str:
        path, group, row = self.table.place(part.start)
        return f"{path}, row group {group}, from row {row} ({len(part.batch)} records)"
