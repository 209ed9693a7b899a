"""Score shards: Parquet files of bounded size, each of which is there in full or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from auditkit.errors import Complaint, DataError

RECORD, SELF = "record", "self_influence"
_ROWS = 2**15
"""Rows of a shard's row groups: what is held before it is written."""


@dataclass(frozen=True)
class Layout:
    """Columns of a score shard."""

    schema: Any
    """pyarrow.Schema; each column of scores carries its unit in its metadata."""
    identifier: str | None
    """Column of the training table that is copied beside the position."""

    @staticmethod
    def of(slices: Mapping[str, str], own_unit: str, identifier: Any | None, key: str) -> Layout:
        """Position, identifier (a pyarrow.Field, if any), self-influence, then one column per slice.

        Args:
            slices: name -> unit. own_unit: of self-influence. identifier: field. key: of the run.

        Raises:
            DataError: two columns would have one name.
        """
        fields = [pa.field(RECORD, pa.int64(), nullable=False, metadata={"content": "position in the training table"})]
        fields += [] if identifier is None else [pa.field(identifier.name, identifier.type)]
        fields.append(_scores(SELF, own_unit, "predicted change of the record's own loss if it were removed"))
        fields += [
            _scores(name, unit, "predicted change of the slice's measure if removed") for name, unit in slices.items()
        ]
        names = [field.name for field in fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                f"two columns of the score shards would be named {', '.join(map(repr, twice))}; rename them"
            )
        schema = pa.schema(fields, metadata={"auditkit": "scores", "key": key})
        return Layout(schema, None if identifier is None else identifier.name)


class Sheet:
    """A shard that is being written."""

    def __init__(self, layout: Layout, writer: Any) -> None:
        """Begin with nothing."""
        self._layout, self._writer, self._held = layout, writer, list[Any]()

    def add(self, start: int, batch: Any, scores: NDArray[np.float64]) -> None:
        """Scores [B, S + 1] of the records of a part, self-influence last."""
        columns: list[Any] = [pa.array(np.arange(start, start + len(scores)))]
        if self._layout.identifier is not None:
            columns.append(batch.column(self._layout.identifier))
        columns += [pa.array(np.ascontiguousarray(scores[:, k])) for k in (-1, *range(scores.shape[1] - 1))]
        self._held.append(pa.RecordBatch.from_arrays(columns, schema=self._layout.schema))
        if sum(piece.num_rows for piece in self._held) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held as one row group."""
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._layout.schema))
            self._held = []


@contextmanager
def sheet(path: Path, layout: Layout) -> Iterator[Sheet]:
    """A shard at `path`: renamed to its place when the block ends well, removed otherwise.

    Raises:
        DataError: it cannot be written (folder, permission, space).
    """
    with writing(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                # Scores hardly repeat: a dictionary of them costs time and saves nothing.
                with pq.ParquetWriter(file, layout.schema, use_dictionary=False, compression="none") as writer:
                    one = Sheet(layout, writer)
                    yield one
                    one.flush()
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what the operating system refused as an error that names the place.

    Raises:
        DataError: instead of an OSError.
    """
    try:
        yield
    except OSError as reason:
        hint = "what is finished is kept: make room or give another folder, and start again"
        raise DataError(Complaint(f"cannot be written: {reason.strerror or reason}", str(path), hint)) from reason


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def clear(folder: Path, name: str) -> None:
    """Remove what killed runs left of a file that they were writing."""
    for left in folder.glob(f".{name}.*.part"):
        left.unlink(missing_ok=True)


def _scores(name: str, unit: str, content: str) -> Any:
    said = {"unit": unit, "content": content, "sign": "positive: removal raises it"}
    return pa.field(name, pa.float64(), nullable=False, metadata=said)
