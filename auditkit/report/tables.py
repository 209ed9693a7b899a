"""What sections are made of: cells, tables, figures and headings with their numbers, independent of HTML and PDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditkit.report import wording
from auditkit.result import Verdict


@dataclass(frozen=True)
class Cell:
    """One cell: its text, a second line in small type, a verdict pill, a link inside the report, a sort key."""

    text: str
    detail: str = ""
    verdict: Verdict | None = None
    waived: bool = False
    link: str = ""
    sort: str = ""
    code: bool = False
    unstated: bool = False
    links: tuple[tuple[str, str, str], ...] = ()
    """Instead of the text several lines: a link's text, its anchor, and what follows; no anchor is text alone."""


@dataclass(frozen=True)
class Column:
    """One column: heading, whether it holds numbers (right-aligned), takes the width that is left, or never wraps."""

    title: str
    numeric: bool = False
    wide: bool = False
    tight: bool = False
    width: Literal[0, 13, 20, 25, 30, 35, 50, 60, 70] = 0
    """Percent of the table's width on paper; 0 follows the content."""


@dataclass(frozen=True)
class Row:
    """One row; the first cell is its heading. `verdict` lets the reader keep breaches only."""

    cells: tuple[Cell, ...]
    verdict: str = ""


@dataclass(frozen=True)
class Table:
    """A numbered table with the notes that belong under it."""

    number: str
    """`7`, or `A7` in the annex."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    filterable: bool = False
    sortable: bool = False
    inline: bool = False
    """Whether the small type stands beside the number instead of under it."""
    even: bool = False
    """Whether all columns but the first are equally wide on paper."""
    splits: bool = False
    """Whether even a short table may go over two pages."""

    @property
    def anchor(self) -> str:
        """Its id in the document."""
        return f"table-{self.number}"

    @property
    def dense(self) -> bool:
        """Whether its rows are digests, one line each, so that they may stand close on paper."""
        return any(cell.code for row in self.rows for cell in row.cells)

    @property
    def narrow(self) -> bool:
        """Whether it needs less than the width of the page."""
        return len(self.columns) <= 3 and not any(column.wide for column in self.columns)

    @property
    def small(self) -> bool:
        """Whether it is never split over two pages."""
        return not self.splits and len(self.rows) <= (9 if self.inline else 6)

    @property
    def short(self) -> bool:
        """Whether it can stay on one page with its figure."""
        return len(self.rows) <= 6


@dataclass(frozen=True)
class Figure:
    """A numbered figure: its title says the finding, its alternative text what is drawn and where the data are."""

    number: int
    title: str
    alt: str
    source: str
    width: int
    height: int
    note: str = ""


@dataclass(frozen=True)
class Heading:
    """A numbered heading inside a section."""

    number: str
    title: str
    anchor: str


@dataclass(frozen=True)
class Further:
    """Tables of a chapter that stand in the annex, under one heading."""

    title: str
    anchor: str
    tables: tuple[Table, ...]

    @property
    def numbers(self) -> str:
        """`Table A3`, or `Tables A3–A7`."""
        first, last = self.tables[0].number, self.tables[-1].number
        return f"Table{wording.NBSP}{first}" if first == last else f"Tables{wording.NBSP}{first}–{last}"
