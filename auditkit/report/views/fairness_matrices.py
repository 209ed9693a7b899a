"""Measures of one attribute by group, as tables: turned where groups are few, else a few measures at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditkit.report import phrasing
from auditkit.report.book import Book, Cell, Column, Pivot, Row, Table, estimate_cell, methods_note
from auditkit.result import Group, Measurement

COLUMNS_AT_MOST = 5
TURNED_AT_MOST = 4
"""Groups up to which measures stand in rows and groups in columns, in one table instead of several."""
ROUNDING = ("rounded to ", "figures rounded: ")
"""How the result's caveats on rounding begin; the chapter says once what they mean."""


def compares(row: Mapping[str, Measurement]) -> bool:
    """Whether a measure is a comparison with a reference."""
    return any(m.reference for m in row.values())


def measure_cell(group: Group, row: Mapping[str, Measurement]) -> Cell:
    """A measure of one group; where there is none, whether it is the reference."""
    if group.group in row:
        return estimate_cell(row[group.group].estimate, row[group.group].unit)
    return Cell("reference" if group.is_reference and compares(row) else "not assessed")


def groups_in(groups: Sequence[Group], cells: Pivot) -> list[Group]:
    """The groups that have some of the measures."""
    return [g for g in groups if any(g.group in row for row in cells.values())]


def matrices(
    book: Book, title: str, groups: Sequence[Group], cells: Pivot, *, annex: bool = False
) -> list[Table]:
    """Measures of an attribute by group: groups in columns where they are few, else at most five measures a table."""
    named = groups_in(groups, cells)
    if named and len(named) <= TURNED_AT_MOST:
        return [_turned(book, title, named, cells, annex=annex)]
    measures = list(cells)
    tables = []
    parts = -(-len(measures) // COLUMNS_AT_MOST)
    size = -(-len(measures) // parts) if parts else 1
    for start in range(0, len(measures), size):
        chunk = {measure: cells[measure] for measure in measures[start : start + size]}
        own = [g for g in named if any(g.group in row for row in chunk.values())]
        rows = [Row((Cell(g.group), *(measure_cell(g, row) for row in chunk.values()))) for g in own]
        columns = [Column("Group"), *(Column(book.title(measure), numeric=True) for measure in chunk)]
        table = book.table(
            title if not start else f"{title}, continued", columns, rows, notes=_matrix_notes(chunk),
            even=len(chunk) > 3, annex=annex,
        )  # fmt: skip
        book.shows(table, chunk)
        tables.append(table)
    return tables


def _turned(book: Book, title: str, groups: Sequence[Group], cells: Pivot, *, annex: bool) -> Table:
    """One table with a row per measure and a column per group."""
    rows = [Row((Cell(book.title(m)), *(measure_cell(g, row) for g in groups))) for m, row in cells.items()]
    columns = [Column("Measure"), *(Column(g.group, numeric=True) for g in groups)]
    inline = len(groups) <= 2
    table = book.table(
        title, columns, rows, notes=_matrix_notes(cells, place="Beside" if inline else "Under"), sortable=False,
        annex=annex, inline=inline,
    )  # fmt: skip
    book.shows(table, cells)
    return table


def _matrix_notes(cells: Pivot, *, place: str = "Under") -> list[str]:
    measured = [m for row in cells.values() for m in row.values()]
    references = dict.fromkeys(m.reference for m in measured if m.reference)
    notes = [f"Reference: {phrasing.listed(list(references))}."] if references else []
    return notes + methods_note([m.estimate for m in measured], place=place) + caveats(measured)


def caveats(rows: Sequence[Measurement]) -> list[str]:
    """What belongs to some of the rows of a table, as one note."""
    told = (caveat for row in rows for caveat in row.parts if not caveat.startswith(ROUNDING))
    found = phrasing.collapsed(dict.fromkeys(told))
    return [f"Some numbers: {'; '.join(found)}."] if found else []
