"""What sections are made of: tables, figures and headings with their numbers, independent of HTML and PDF.

A view asks the book for the next table or figure; the number, the anchor and the place in the contents follow.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from auditkit.report import phrasing, wording
from auditkit.result import AuditResult, Estimate, Measurement, Verdict

Medium = Literal["html", "pdf"]
Pivot = dict[str, dict[str, Measurement]]
"""measure -> group -> row, in the order of the result."""


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

    number: int
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


def slug(text: str) -> str:
    """A heading as an id: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "part"


@dataclass
class Book:
    """The numbering of one document, and the names and anchors that its sections share."""

    result: AuditResult
    medium: Medium
    tables: int = 0
    figures: int = 0
    section: int = 0
    headings: list[Heading] = field(default_factory=list)
    sections: frozenset[str] = frozenset()
    """Ids of the sections that this report has."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Id of a section -> its number."""
    digest: str = ""
    """sha256 of audit.json."""
    _taken: set[str] = field(default_factory=set)

    @property
    def titles(self) -> dict[str, str]:
        """Measure -> the title that the result itself gives it."""
        return {note.measure: note.title for note in self.result.fairness.metrics}

    def title(self, measure: str) -> str:
        """The reader's name of a measure."""
        return wording.measure_title(measure, self.titles)

    def place(self, row: Measurement) -> str:
        """`sex · female`, or nothing for all records."""
        return " · ".join(text for text in (row.on, row.group) if text)

    def table(
        self,
        title: str,
        columns: Sequence[Column],
        rows: Sequence[Row],
        *,
        notes: Sequence[str] = (),
        filterable: bool = False,
        sortable: bool = True,
        inline: bool = False,
        even: bool = False,
        splits: bool = False,
    ) -> Table:
        """The next table; more than three rows can be sorted in the HTML unless their order says something."""
        self.tables += 1
        return Table(
            self.tables,
            title,
            tuple(columns),
            tuple(rows),
            tuple(notes),
            filterable,
            sortable and len(rows) > 3,
            inline,
            even,
            splits,
        )

    def figure(self, title: str, alt: str, drawing: tuple[bytes, int, int], *, note: str = "") -> Figure:
        """The next figure; `drawing` is SVG bytes with its width and height in CSS pixels."""
        self.figures += 1
        svg, width, height = drawing
        source = "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
        return Figure(self.figures, title, alt, source, width, height, note)

    def heading(self, title: str, anchor: str) -> Heading:
        """The next heading of the section that is being made, with an anchor that no other has."""
        number = f"{self.section}.{len(self.headings) + 1}"
        heading = Heading(number, title, self._anchor(anchor))
        self.headings.append(heading)
        return heading

    def _anchor(self, wanted: str) -> str:
        base = slug(wanted)
        anchor, k = base, 2
        while anchor in self._taken or anchor in self.sections:
            anchor, k = f"{base}-{k}", k + 1
        self._taken.add(anchor)
        return anchor

    def link(self, anchor: str, *, on: str = "") -> str:
        """The anchor of the part that holds some evidence, or nothing when the report has no such section."""
        section = re.split(r"[-/]", anchor.lstrip("#"), maxsplit=1)[0]
        if section == "fairness" and on in self.result.fairness.attributes:
            return slug(f"fairness-{on}")
        return section if section in self.sections else ""


def estimate_cell(estimate: Estimate, unit: str) -> Cell:
    """A number with its interval and n underneath, in the number's unit, or why there is none."""
    sort = "" if estimate.value is None else repr(estimate.value)
    return Cell(wording.shown(estimate, unit), wording.basis(estimate, unit, bare=True), sort=sort)


def count_cell(number: int | None) -> Cell:
    """A count, or `suppressed`."""
    return Cell(wording.count(number), sort="" if number is None else str(number))


def methods_note(estimates: Sequence[Estimate], *, place: str = "Under") -> list[str]:
    """One note naming the level and the methods of the intervals of a table."""
    with_interval = [e for e in estimates if e.known and e.low is not None]
    methods = phrasing.collapsed(dict.fromkeys(e.method for e in with_interval if e.method))
    levels = list(dict.fromkeys(wording.level(e) for e in with_interval))
    if not with_interval:
        return []
    return [f"{place} each number: {phrasing.listed(levels)} and n. Method: {'; '.join(methods) or 'not stated'}."]
