"""One data file as a frame: CSV (comma), TSV (tab), either gzipped, and Parquet; nothing guessed, nothing dropped.

Text files give text in every cell; `settle` later turns a column into numbers only where that loses nothing. Only the
empty cell and the policy's `missing` texts are missing: `NA` or `None` stay text unless the policy states them.
Wrong when: a text file is not UTF-8 or has no header line (the first line is always taken as the header).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from auditkit.errors import Complaint, DataError
from auditkit.subject.labels import group_texts
from auditkit.subject.sources import Source
from auditkit.subject.values import PLAIN_NUMBER, counted, listing, number, text_of

TEXT_SUFFIXES = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
PARQUET_SUFFIXES = (".parquet", ".pq")
OTHER_SEPARATORS = (",", ";", "\t", "|")
EXACT = 2**53


@dataclass(frozen=True)
class DataFile:
    """One file as read: its columns, its digest, and where a row stands in it."""

    name: str
    frame: pd.DataFrame
    digest: str
    repeated: tuple[str, ...] = ()
    """Columns that stand twice in the header with the same values; read once."""
    text: bytes | None = None
    """The decompressed text of a CSV or TSV file, kept to find line numbers; None for Parquet."""
    separator: str = ","
    source: Source | None = None
    """The same rows as a model's owner holds them; None where nothing was read."""

    def place(self, rows: Iterable[int], limit: int = 3) -> str:
        """`line 17` or `lines 17, 20, 31 and 4 more` of 0-based data rows; `row` (1-based) for Parquet."""
        wanted = sorted(int(row) for row in rows)
        if self.text is None:
            numbers, word = [row + 1 for row in wanted[:limit]], "row"
        else:
            numbers, word = _lines(self.text, self.separator, wanted[:limit]), "line"
        more = f" and {len(wanted) - limit:,} more" if len(wanted) > limit else ""
        return f"{word}{'s' if len(wanted) > 1 else ''} {', '.join(str(n) for n in numbers)}{more}"


def _lines(text: bytes, separator: str, rows: list[int]) -> list[int]:
    """Line numbers (1-based, of the record's last line) of data rows, quoted line breaks counted."""
    reader = csv.reader(io.StringIO(text.decode("utf-8-sig"), newline=""), delimiter=separator)
    # The reader skips blank lines as empty lists, as the reading library does.
    numbers = (reader.line_num for record in reader if record)
    found = list(islice(numbers, 1, rows[-1] + 2)) if rows else []
    return [found[row] for row in rows]


def read_file(path: Path, *, missing: tuple[str, ...], where: str, complaints: list[Complaint]) -> DataFile | None:
    """Read one file; what is wrong is appended to `complaints`, and None is returned when nothing can be read.

    Args:
        path: the file.
        missing: texts that mean missing, beside the empty cell.
        where: the place in the policy that names the file.
        complaints: collects everything that is wrong with the file.
    """
    name = path.name
    suffix = next((end for end in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES) if name.lower().endswith(end)), None)
    if suffix is None:
        hint = "use .csv, .tsv (gzipped: .csv.gz, .tsv.gz) or .parquet"
        complaints.append(Complaint(f"cannot tell the format of {name!r}", where, hint))
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        reason = "does not exist" if gone else f"cannot be read ({error.strerror})"
        hint = "paths are relative to the policy file" if gone else ""
        complaints.append(Complaint(f"the file {name!r} {reason}", where, hint))
        return None
    digest = sha256(content).hexdigest()
    try:
        if suffix in PARQUET_SUFFIXES:
            return _parquet(name, content, digest, missing, Source(name, content=content))
        return _text(name, content, digest=digest, missing=missing, suffix=suffix, complaints=complaints)
    except (pa.ArrowException, gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        complaints.append(Complaint(f"cannot be read: {_reason(error)}", name))
        return None


def hold(name: str, frame: pd.DataFrame, *, missing: tuple[str, ...] = ()) -> DataFile:
    """A frame that a user holds in memory, as if it had been written to Parquet and read; its index is left out.

    What Parquet cannot hold (a column of mixed types, intervals) is read as texts. The model is not given this reading
    but the frame itself, `DataFile.source`.

    Raises:
        DataError: a column's name is no plain text or stands twice.
    """
    try:
        sink = pa.BufferOutputStream()
        pa.parquet.write_table(pa.Table.from_pandas(_holdable(frame), preserve_index=False), sink)
        content = sink.getvalue().to_pybytes()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(Complaint(f"the frame cannot be read: {_reason(error)}", name)) from error
    return _parquet(name, content, sha256(content).hexdigest(), missing, Source(name, frame))


def _holdable(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with texts in place of what Parquet cannot hold; itself where there is no such column."""
    if frame.columns.has_duplicates:
        return frame
    columns = {name: frame[name] for name in frame.columns}
    changed = {name: plain for name, cells in columns.items() if (plain := _plain(cells)) is not cells}
    return pd.DataFrame({name: changed.get(name, cells).array for name, cells in columns.items()}) if changed else frame


def _plain(column: pd.Series) -> pd.Series:
    """The column where Parquet holds it as single values, else its cells as texts, missing where they are."""
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        return pd.Series(np.asarray(column), dtype=dtype.subtype)
    inner = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    if isinstance(inner, pd.IntervalDtype):
        return pd.Series(group_texts(column, str(column.name)), dtype=object)
    whole = isinstance(inner, pd.PeriodDtype) or pd.api.types.is_complex_dtype(inner)
    if not whole and pd.api.types.is_object_dtype(inner):
        try:
            whole = pa.types.is_nested(pa.array(column.astype(object), from_pandas=True).type)
        except (pa.ArrowException, TypeError, ValueError):
            whole = True
    if not whole:
        return column
    known = column.notna().to_numpy()
    return pd.Series([text_of(v) if k else None for v, k in zip(column, known, strict=True)], dtype=object)


def _reason(error: Exception) -> str:
    """What the reader said, without the cells it quotes."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in said:
        return "the text is not UTF-8; save the file as UTF-8"
    return said.split(" in line")[0][:160]


def _parquet(name: str, content: bytes, digest: str, missing: tuple[str, ...], source: Source) -> DataFile:
    """A Parquet file with the types it states; dictionaries become plain texts."""
    table = pa.parquet.read_table(pa.BufferReader(content))
    frame = table.to_pandas(ignore_metadata=True, date_as_object=False)
    for column in frame.columns:
        cells = frame[column]
        if isinstance(cells.dtype, pd.CategoricalDtype):
            cells = cells.astype(cells.cat.categories.dtype)
        if pa.types.is_decimal(table.schema.field(column).type):
            cells = pd.to_numeric(cells)
        if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
            stated = {value for value in map(number, missing) if value is not None}
            cells = cells.mask(cells.isin(stated)) if stated else cells
        elif missing and not pd.api.types.is_bool_dtype(cells):
            cells = cells.mask(cells.isin(list(missing)))
        frame[column] = cells
    return DataFile(name, frame, digest, source=source)


def _text(
    name: str, content: bytes, *, digest: str, missing: tuple[str, ...], suffix: str, complaints: list[Complaint]
) -> DataFile | None:
    """A text file, every cell as text; records with too many or too few cells are complaints."""
    if suffix.endswith(".gz"):
        content = gzip.decompress(content)
    separator = TEXT_SUFFIXES[suffix]
    header = _header(content, separator)
    if header is None:
        complaints.append(Complaint("the file is empty", name))
        return None
    other = next((mark for mark in OTHER_SEPARATORS if mark != separator and mark in header[0]), None)
    if len(header) == 1 and other is not None:
        hint = "save it with commas (.csv) or tabs (.tsv)"
        complaints.append(Complaint(f"the header is one column; its names seem separated by {other!r}", name, hint))
        return None
    uneven: list[tuple[int, int]] = []

    def on_uneven(row: Any) -> str:
        # `number` counts the header as record 1; the handler sees bad records only.
        uneven.append((row.number - 2, row.actual_columns))
        return "skip"

    table = pa.csv.read_csv(
        pa.BufferReader(content),
        read_options=pa.csv.ReadOptions(use_threads=False),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=on_uneven),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=["", *missing],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    if uneven:
        complaints.append(_uneven(name, content, separator, len(header), uneven))
        return None
    columns, repeated = _unrepeat(name, table, complaints)
    frame = pa.table(columns).to_pandas()
    source = Source(name, content=content, separator=separator)
    return DataFile(name, frame, digest, repeated, content, separator, source)


def _header(content: bytes, separator: str) -> list[str] | None:
    """The names of the first line; None for an empty file."""
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator)
    return next((record for record in reader if record), None)


def _uneven(name: str, content: bytes, separator: str, width: int, uneven: list[tuple[int, int]]) -> Complaint:
    """The complaint about records whose number of cells is not the header's."""
    place = DataFile(name, pd.DataFrame(), "", (), content, separator).place([row for row, _ in uneven])
    found = counted(uneven[0][1], "cell", "cells") + (" in the first of them" if len(uneven) > 1 else "")
    hint = f"cells are separated by {'tabs' if separator == chr(9) else 'commas'}; quote a cell that holds one"
    return Complaint(f"{found} where the header has {width}", f"{name}, {place}", hint)


def _unrepeat(
    name: str, table: pa.Table, complaints: list[Complaint]
) -> tuple[dict[str, pa.ChunkedArray], tuple[str, ...]]:
    """Columns by name; a name that stands twice is read once if the values agree, and is a complaint if not."""
    columns: dict[str, pa.ChunkedArray] = {}
    differing: list[str] = []
    for column, cells in zip(table.column_names, table.columns, strict=True):
        if column in columns and not columns[column].equals(cells):
            differing.append(column)
        columns.setdefault(column, cells)
    if differing:
        text = f"the header repeats {listing(sorted(set(differing)))} with other values"
        complaints.append(Complaint(text, name, "give each column its own name"))
    twice = tuple(column for column, count in Counter(table.column_names).items() if count > 1)
    return columns, tuple(column for column in twice if column not in differing)


def settle(column: pd.Series) -> pd.Series:
    """A text column as int64 or float64 if every cell plainly writes a number and none loses a digit, else as is.

    `007` and `1e5` keep their column text: they may be codes. Integers beyond 2^53 stay text when cells are missing
    (float64 would round them). Columns that hold other types already (Parquet) are returned unchanged.
    """
    known = column.dropna()
    if known.empty or not isinstance(known.iloc[0], str):
        return column
    if not known.iloc[:50].str.fullmatch(PLAIN_NUMBER).all() or not known.str.fullmatch(PLAIN_NUMBER).all():
        return column
    if known.str.fullmatch(r"-?\d{1,18}").all():
        whole = known.astype("int64")
        if len(known) == len(column):
            return whole
        return column.astype("float64") if bool((whole.abs() < EXACT).all()) else column
    # Leading zeros write no digit: 0.012345678901234567 is a float64 as Python prints it.
    digits = known.str.replace(r"e.*|\D", "", regex=True).str.lstrip("0").str.len()
    return column.astype("float64") if int(np.max(digits)) <= 17 else column
