"""Further outcomes by group: of several classes, a number, or a place in a list."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.result import OutcomePart, OutcomeRow

KINDS = {
    "classes": "one of several classes",
    "number": "a number",
    "ranking": "a place in a list",
}
ACROSS = 4
"""Groups up to which they stand in columns."""
COLUMNS_AT_MOST = 5
WHOLE = "All records"
ROUNDED = ("rounded to ", "figures rounded: ")
QUANTILES = (
    "Quantiles of the error are rounded so far that at least the minimum cell of persons lies within half a step of "
    "each figure: an exact quantile is one record's error."
)
Key = tuple[str, str, str]
"""Metric, version, comparison."""


def view(parts: Sequence[OutcomePart], book: Book) -> list[dict[str, object]]:
    """Per outcome a heading, what it is, and a table per attribute; versions by class stand in the annex."""
    return [_outcome(part, book) for part in parts]


def _outcome(part: OutcomePart, book: Book) -> dict[str, object]:
    heading = book.heading(f"Further outcome: {part.name}", f"fairness-outcome-{part.name}")
    shown: dict[str, object] = {"heading": heading, "part": part, "kind": KINDS[part.kind], "tables": []}
    if part.status != "assessed":
        return shown
    tables: list[Table] = []
    for on in _places(part):
        rows = [row for row in part.rows if row.on == on]
        first = [row for row in rows if part.kind != "classes" or not row.of]
        tables += _tables(part, on, first, book)
        _tables(part, on, [row for row in rows if row not in first], book, annex=True)
    _definitions(part, book)
    quantiles = QUANTILES if any(row.metric == "error_quantile" for row in part.rows) else ""
    further = book.put_off(f"Further outcome {part.name}: classes and definitions", f"annex-outcome-{part.name}")
    return shown | {"tables": tables, "further": further, "quantiles": quantiles}


def _places(part: OutcomePart) -> list[str]:
    """Attributes in the order of the rows; empty for all records."""
    return list(dict.fromkeys(row.on for row in part.rows))


def _tables(part: OutcomePart, on: str, rows: Sequence[OutcomeRow], book: Book, *, annex: bool = False) -> list[Table]:
    """Statistics by group: groups in columns where they are few, else a few statistics at a time."""
    keys = list(dict.fromkeys((row.metric, row.of, row.comparison) for row in rows))
    groups = list(dict.fromkeys(row.group for row in rows))
    found = {(row.metric, row.of, row.comparison, row.group): row for row in rows}
    title = f"{part.name} by {on}" if on else f"{part.name} over all evaluation records"
    title += ", class by class" if annex else ""
    if not keys:
        return []
    if len(groups) <= ACROSS:
        lines = [Row((Cell(_title(part, key)), *(_cell(found.get((*key, g)), key) for g in groups))) for key in keys]
        columns = (Column("Measure", wide=True), *(Column(group or WHOLE, numeric=True) for group in groups))
        return [book.table(title, columns, lines, notes=_notes(rows), sortable=False, splits=True, annex=annex)]
    tables = []
    for start in range(0, len(keys), COLUMNS_AT_MOST):
        own = keys[start : start + COLUMNS_AT_MOST]
        columns = (Column("Group"), *(Column(_title(part, key), numeric=True) for key in own))
        lines = [Row((Cell(group), *(_cell(found.get((*key, group)), key) for key in own))) for group in groups]
        told = [row for row in rows if (row.metric, row.of, row.comparison) in own]
        name, even = f"{title}{', continued' if start else ''}", len(own) > 3
        tables.append(book.table(name, columns, lines, notes=_notes(told), splits=True, even=even, annex=annex))
    return tables


def _title(part: OutcomePart, key: Key) -> str:
    """`Recall of the class, b, difference`."""
    titles = {note.metric: note.title for note in part.metrics}
    return ", ".join(text for text in (titles[key[0]], key[1], key[2]) if text)


def _cell(row: OutcomeRow | None, key: Key) -> Cell:
    if row is None:
        return Cell("reference" if key[2] else "not assessed")
    return estimate_cell(row.estimate, "score" if row.unit == "number" else row.unit)


def _notes(rows: Sequence[OutcomeRow]) -> list[str]:
    references = dict.fromkeys(row.reference for row in rows if row.reference)
    notes = [f"Reference: {phrasing.listed(list(references))}."] if references else []
    told = (text for row in rows for text in row.parts if not text.startswith(ROUNDED))
    caveats = phrasing.collapsed(dict.fromkeys(told))
    return notes + methods_note([row.estimate for row in rows]) + ([f"{'; '.join(caveats)}."] if caveats else [])


def _definitions(part: OutcomePart, book: Book) -> None:
    """What each metric is, in the annex."""
    columns = (
        Column("Measure", width=20), Column("Formula", width=30), Column("0 means"), Column("1 means"),
        Column("Source", width=25),
    )  # fmt: skip
    lines = [
        Row((Cell(note.title), Cell(note.formula), Cell(note.zero), Cell(note.one), Cell(note.source)))
        for note in part.metrics
    ]
    book.table(f"What the measures of {part.name} are", columns, lines, sortable=False, splits=True, annex=True)
