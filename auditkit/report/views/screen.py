"""The screen of outsized self-influence, and what it and other rankings of the training records are worth."""

from __future__ import annotations

from auditkit.report import charts, phrasing, wording
from auditkit.report.book import Book, Cell, Column, Figure, Row, Table, estimate_cell, methods_note
from auditkit.report.views.exposed import banded
from auditkit.result import Screen

FOLD = 8
"""Bins beyond which the table of the tail stands in two or three columns of pairs."""


def view(book: Book, screen: Screen) -> dict[str, object]:
    """Tail, who is marked, and what the marks and the other rankings are worth."""
    tail = _tail_table(book, screen)
    by = _where(book, screen) if screen.by or screen.by_group else None
    slices = _slices(book, screen) if screen.slices else None
    flagged = wording.sentence(screen.flagged, "share") if screen.flagged is not None else ""
    worth = _quality(book, screen) if screen.quality else None
    without = [f"{name}: {why}" for name, why in screen.not_ranked]
    figure = _tail(book, screen, tail)
    share = screen.flagged
    return {
        "screen": screen, "flagged": flagged, "table": tail, "figure": figure, "by": by, "slices": slices,
        "quality": worth, "not_ranked": without,
        "marked": share is not None and (share.known or share.low is not None),
    }  # fmt: skip


def _quality(book: Book, screen: Screen) -> Table:
    rows = [
        Row((
            Cell(f"{row.ranking}, {row.selection}"), banded(row.precision, "share"), banded(row.recall, "share"),
            banded(row.lift, "ratio"),
        ))
        for row in screen.quality
    ]  # fmt: skip
    columns = (
        Column("Records picked", wide=True), Column("Precision", numeric=True), Column("Recall", numeric=True),
        Column("Lift", numeric=True),
    )  # fmt: skip
    notes = methods_note([row.precision for row in screen.quality])
    return book.table("What rankings of the records find of those most at risk", columns, rows, notes=notes)


def _slices(book: Book, screen: Screen) -> Table:
    rows = [Row((Cell(m.group), banded(m.estimate, m.unit))) for m in screen.slices]
    share = Column("Share with outsized self-influence", numeric=True)
    columns = (Column("Slice of the training records", wide=True), share)
    notes = methods_note([m.estimate for m in screen.slices])
    return book.table("Outsized self-influence by slice", columns, rows, notes=notes)


def _where(book: Book, screen: Screen) -> Table:
    known = [m for m in screen.by_group if m.estimate.known]
    rows = [
        Row((Cell(f"{m.on} = {m.group}"), estimate_cell(m.estimate, m.unit), Cell("of the group is marked")))
        for m in known
    ]
    for r in screen.by:
        of_all = f"of the marked records; {wording.value(r.base_share, 'share')} of all records"
        rows.append(Row((Cell(f"{r.column} = {r.level}"), estimate_cell(r.share, "share"), Cell(of_all))))
    notes = methods_note([m.estimate for m in known] + [r.share for r in screen.by], place="Beside")
    reasons: dict[str, list[str]] = {}
    for m in screen.by_group:
        if not m.estimate.known:
            reasons.setdefault(m.estimate.withheld or "not estimable", []).append(f"{m.on} = {m.group}")
    notes += [f"Not shown ({reason}): {phrasing.listed(names)}." for reason, names in reasons.items()]
    columns = (Column("Pattern"), Column("Share", numeric=True), Column("Of what", wide=True))
    title = "Where the outsized records are"
    return book.table(title, columns, rows, notes=notes, inline=True, splits=True, annex=True)


def _tail_table(book: Book, screen: Screen) -> Table | None:
    if screen.tail is None or not screen.tail.points:
        return None
    pairs = [(f"{p.x:.4g}", wording.value(p.y, "share")) for p in screen.tail.points]
    folds = 1 if len(pairs) <= FOLD else 3 if len(pairs) > 2 * FOLD else 2
    height = -(-len(pairs) // folds)
    padded = pairs + [("–", "–")] * (height * folds - len(pairs))
    rows = [Row(tuple(Cell(text) for pair in padded[k::height] for text in pair)) for k in range(height)]
    columns = (Column(screen.tail.x_label, numeric=True), Column(screen.tail.y_label, numeric=True)) * folds
    notes = [screen.tail.method] if screen.tail.method else []
    return book.table("Tail of self-influence", columns, rows, notes=notes, sortable=folds == 1, annex=True)


def _tail(book: Book, screen: Screen, table: Table | None) -> Figure | None:
    if screen.tail is None or table is None:
        return None
    points = tuple((p.x, p.y) for p in screen.tail.points if p.x > 0 and p.y > 0)
    if len(points) < 2:
        return None
    drawing = charts.tail(points, cut=screen.cut, titles=(screen.tail.x_label, screen.tail.y_label))
    flagged = screen.flagged
    marked = wording.value(flagged.value, "share") if flagged is not None and flagged.known else "An undisclosed share"
    alt = (
        f"Step plot on log axes: {screen.tail.y_label.lower()} each value of {screen.tail.x_label.lower()}, from "
        f"{points[0][0]:.3g} to {points[-1][0]:.3g}; the cut of the screen is dashed. Data in Table {table.number}."
    )
    note = "" if screen.cut is None else f"Dashed: the cut at {screen.cut:.3g}; hatched: what is shown beyond it."
    title = f"{marked} of the training records stand out in self-influence, a ranking that is {screen.calibration}"
    return book.figure(title, alt, drawing, note=note)
