"""The numbering of one document: tables, figures and headings as the views ask for them.

A view asks the book for the next table or figure; the number, the anchor and the place in the contents follow.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from auditkit.report import phrasing, wording
from auditkit.report.tables import Cell, Column, Figure, Further, Heading, Row, Table
from auditkit.result import AuditResult, Estimate, Measurement

__all__ = ["Book", "Cell", "Column", "Figure", "Further", "Heading", "Row", "Table"]

Medium = Literal["html", "pdf"]
Pivot = dict[str, dict[str, Measurement]]
"""measure -> group -> row, in the order of the result."""


def slug(text: str) -> str:
    """A heading as an id: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "part"


@dataclass
class Book:
    """The numbering of one document, and the names and anchors that its sections share."""

    result: AuditResult
    medium: Medium
    tables: int = 0
    annexed: int = 0
    """Tables of the annex so far."""
    figures: int = 0
    section: int = 0
    headings: list[Heading] = field(default_factory=list)
    sections: frozenset[str] = frozenset()
    """Ids of the sections that this report has."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Id of a section -> its number."""
    digest: str = ""
    """sha256 of audit.json."""
    annex: list[Further] = field(default_factory=list)
    """What the chapters have put off to the annex, in their order."""
    waiting: list[Table] = field(default_factory=list)
    """Tables for the annex that no heading has yet."""
    shown: dict[str, Table] = field(default_factory=dict)
    """Measure -> the first table that shows it."""
    headed: dict[str, str] = field(default_factory=dict)
    """Anchor of a heading -> its number."""
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
        annex: bool = False,
    ) -> Table:
        """The next table; more than three rows can be sorted in the HTML unless their order says something.

        One for the `annex` has a number of its own row and waits for `put_off`.
        """
        self.tables += not annex
        self.annexed += annex
        table = Table(
            f"A{self.annexed}" if annex else str(self.tables),
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
        if annex:
            self.waiting.append(table)
        return table

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
        return self._headed(heading)

    def _headed(self, heading: Heading) -> Heading:
        self.headings.append(heading)
        self.headed[heading.anchor] = heading.number
        return heading

    def put_off(self, title: str, anchor: str) -> Further | None:
        """Put the tables that wait off to the annex, under one heading; None where none waits."""
        if not self.waiting:
            return None
        further = Further(title, self._anchor(anchor), tuple(self.waiting))
        self.waiting = []
        self.annex.append(further)
        return further

    def heading_of(self, further: Further) -> Heading:
        """The numbered heading of what was put off, at the anchor that its chapter links to."""
        return self._headed(Heading(f"{self.section}.{len(self.headings) + 1}", further.title, further.anchor))

    def shows(self, table: Table, measures: Iterable[str]) -> None:
        """Remember the first table of each measure, for the checklists of rule sets."""
        for measure in measures:
            self.shown.setdefault(measure, table)

    def _anchor(self, wanted: str) -> str:
        base = slug(wanted)
        anchor, k = base, 2
        while anchor in self._taken or anchor in self.sections:
            anchor, k = f"{base}-{k}", k + 1
        self._taken.add(anchor)
        return anchor

    def link(self, anchor: str, *, on: str = "") -> str:
        """The anchor of the part that holds some evidence, or nothing when the report has no such section."""
        if anchor in self.headed:
            return anchor
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
