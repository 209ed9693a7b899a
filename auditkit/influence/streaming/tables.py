"""Parquet files as one table of training records: checked before anything is computed, read in bounded parts.

Parts have bounds that depend on positions alone, never on files or row groups, so that the same records give the same
bits however they were written, and a run that goes on in the middle meets the parts that it would have met.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from auditkit.errors import Complaint, DataError

Paths: TypeAlias = str | Path | Sequence[str | Path]

_BUFFER = 2**16
"""Bytes read at once per column: a row group of any size is read through it, never as a whole."""


@dataclass(frozen=True)
class DataFile:
    """One Parquet file."""

    path: Path
    groups: tuple[int, ...]
    """Rows of each row group."""

    @property
    def rows(self) -> int:
        """Records in the file."""
        return sum(self.groups)


@dataclass(frozen=True)
class Part:
    """Consecutive records of the table."""

    start: int
    """Position of the first among all records of the table."""
    batch: Any
    """pyarrow.RecordBatch."""

    @property
    def stop(self) -> int:
        """Position behind the last."""
        return self.start + int(self.batch.num_rows)


@dataclass(frozen=True)
class Table:
    """Files whose records follow one another."""

    files: tuple[DataFile, ...]
    schema: Any
    """pyarrow.Schema of the columns that are read, in the order in which they are handed on."""

    @property
    def rows(self) -> int:
        """N, the number of training records."""
        return sum(file.rows for file in self.files)

    def parts(self, size: int, *, start: int = 0, stop: int | None = None, shard: int) -> Iterator[Part]:
        """Records from `start` to `stop`, at most `size` at a time; no part crosses a multiple of `shard`.

        Bounds lie `size` apart, counted from each multiple of `shard`.

        Raises:
            DataError: a file cannot be read; names file and row group.
        """
        stop = self.rows if stop is None else stop
        pending: list[Any] = []
        at = start
        for batch in self._batches(size, start, stop):
            rest = batch
            while rest.num_rows:
                held = sum(piece.num_rows for piece in pending)
                take = min(rest.num_rows, self._bound(at, size, stop, shard) - at - held)
                pending.append(rest.slice(0, take))
                rest = rest.slice(take)
                if at + held + take == self._bound(at, size, stop, shard):
                    yield Part(at, _joined(pending, self.schema))
                    at, pending = at + held + take, []

    def place(self, position: int) -> tuple[str, int, int]:
        """File, row group and row within it (each counted from 0) of a record."""
        file, row = self._find(position)
        group, within = _locate(file.groups, row)
        return str(file.path), group, within

    def look_up(self, column: str, positions: Sequence[int], size: int) -> dict[int, Any]:
        """Position -> value of one column for a few records, read in the same bounded parts."""
        narrow, found = Table(self.files, pa.schema([self.schema.field(column)])), {}
        wanted = sorted(set(positions))
        if not wanted:
            return {}
        for part in narrow.parts(size, start=wanted[0], stop=wanted[-1] + 1, shard=narrow.rows):
            inside = wanted[bisect_left(wanted, part.start) : bisect_left(wanted, part.stop)]
            found.update({position: part.batch.column(0)[position - part.start].as_py() for position in inside})
        return found

    def digest(self) -> str:
        """SHA-256 over the files' sizes, row groups and contents, in their order; names and places do not count."""
        found = hashlib.sha256()
        for file in self.files:
            found.update(f"{file.path.stat().st_size}\0{file.groups}\0".encode())
            with file.path.open("rb") as content:
                found.update(hashlib.file_digest(content, "sha256").digest())
        found.update(str(self.schema).encode())
        return found.hexdigest()

    @staticmethod
    def _bound(at: int, size: int, stop: int, shard: int) -> int:
        """Where the part that begins at `at` ends."""
        base = at - at % shard
        return min(base + ((at - base) // size + 1) * size, base + shard, stop)

    def _batches(self, size: int, start: int, stop: int) -> Iterator[Any]:
        """As the files give them, from `start` to `stop`."""
        began = 0
        for file in self.files:
            first, last = max(start - began, 0), min(stop - began, file.rows)
            if first < last:
                yield from self._of_file(file, size, first, last)
            began += file.rows

    def _of_file(self, file: DataFile, size: int, first: int, last: int) -> Iterator[Any]:
        group, skip = _locate(file.groups, first)
        at = first - skip
        try:
            with pq.ParquetFile(file.path, buffer_size=_BUFFER, pre_buffer=False) as source:
                groups = list(range(group, len(file.groups)))
                # Threads would decode ahead and hold what nobody asked for yet.
                for batch in source.iter_batches(size, groups, columns=self.schema.names, use_threads=False):
                    low, high = max(first - at, 0), min(last - at, batch.num_rows)
                    if low < high:
                        yield batch.slice(low, high - low)
                    at += batch.num_rows
                    if at >= last:
                        return
        except (pa.ArrowException, OSError) as reason:
            low, high = (_locate(file.groups, min(row, file.rows - 1))[0] for row in (at, at + size - 1))
            where = f"{file.path}, row group {low}" if low == high else f"{file.path}, row groups {low} to {high}"
            raise DataError(Complaint(f"cannot be read: {reason}", where)) from reason

    def _find(self, position: int) -> tuple[DataFile, int]:
        index, within = _locate([file.rows for file in self.files], position)
        return self.files[index], within


def open_table(train: Paths, columns: Sequence[str] | None) -> Table:
    """Open the files and check that they make one table; nothing but their footers is read.

    Args:
        train: a Parquet file, a folder of `*.parquet` files (in the order of their names) or a sequence of files.
        columns: those that are read, in this order; None is all, in the order of the first file.

    Raises:
        DataError: a file is missing, empty of columns or not Parquet; columns are absent or differ between files; there
            is no record. All complaints at once.
    """
    paths, complaints, found = _paths(train), [], []
    for path in paths:
        try:
            with pq.ParquetFile(path) as source:
                meta = source.metadata
                groups = tuple(meta.row_group(k).num_rows for k in range(meta.num_row_groups))
                found.append((DataFile(path, groups), source.schema_arrow))
        except FileNotFoundError:
            complaints.append(Complaint("there is no such file", str(path)))
        except (pa.ArrowException, OSError) as reason:
            complaints.append(Complaint(f"is not a Parquet file that can be read: {reason}", str(path)))
    if complaints:
        raise DataError(complaints)
    wanted = found[0][1].names if columns is None else list(columns)
    schema = _shared_schema(found, wanted)
    table = Table(tuple(file for file, _ in found), schema)
    if not table.rows:
        raise DataError(Complaint("the training table has no record", str(paths[0])))
    return table


def _paths(train: Paths) -> list[Path]:
    given = [Path(train)] if isinstance(train, (str, Path)) else [Path(path) for path in train]
    paths = []
    for path in given:
        paths += sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not paths:
        raise DataError(f"there is no Parquet file in {', '.join(map(str, given)) or 'an empty list'}")
    return paths


def _shared_schema(found: Sequence[tuple[DataFile, Any]], wanted: Sequence[str]) -> Any:
    """Names and types of the wanted columns, which all files must hold with equal types."""
    if not wanted or len(set(wanted)) < len(wanted):
        raise DataError(f"columns must be at least one and each named once, not {list(wanted)}")
    complaints: list[Complaint] = []
    types: dict[str, Any] = {}
    for file, schema in found:
        for name in wanted:
            count = schema.names.count(name)
            if count != 1:
                said = "there is no column" if not count else "more than one column is named"
                complaints.append(Complaint(f"{said} {name!r}", str(file.path)))
                continue
            kind = types.setdefault(name, schema.field(name).type)
            if kind != schema.field(name).type:
                said = f"column {name!r} is {schema.field(name).type}, but {kind} in {found[0][0].path}"
                complaints.append(Complaint(said, str(file.path)))
    if complaints:
        raise DataError(complaints)
    return pa.schema([pa.field(name, types[name]) for name in wanted])


def _joined(pieces: Sequence[Any], schema: Any) -> Any:
    """One record batch of the wanted columns in their order, without what files say of themselves."""
    plain = [
        pa.RecordBatch.from_arrays([piece.column(name) for name in schema.names], schema=schema) for piece in pieces
    ]
    if len(plain) == 1:
        return plain[0]
    return pa.Table.from_batches(plain, schema).combine_chunks().to_batches()[0]


def _locate(lengths: Sequence[int], position: int) -> tuple[int, int]:
    """Which of consecutive pieces holds the position, and where in it."""
    ends = list(accumulate(lengths))
    index = bisect_right(ends, position)
    return index, position - (ends[index - 1] if index else 0)
