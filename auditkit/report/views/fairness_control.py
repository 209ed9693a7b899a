"""What the fairness chapter shows of conditional parity: one table per attribute and control, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report.book import Book, Cell, Column, Row, estimate_cell, methods_note
from auditkit.report.views.fairness_tests import p
from auditkit.result import Conditional


def view(found: Sequence[Conditional], on: str, book: Book) -> list[dict[str, object]]:
    """One table per control of the attribute, under the sentences on the groups that could be compared."""
    own = [row for row in found if row.on == on]
    out = []
    for control in dict.fromkeys(row.control for row in own):
        rows = [row for row in own if row.control == control]
        out.append({"sentences": [row.words for row in rows if row.words], "table": _table(rows, control, book)})
    return out


def _table(rows: Sequence[Conditional], control: str, book: Book) -> object:
    columns = (
        Column("Group"), Column("Over all records", numeric=True), Column("Within strata", numeric=True),
        Column("Odds ratio", numeric=True), Column("p", numeric=True), Column("p, one ratio", numeric=True),
    )  # fmt: skip
    lines = [
        Row((
            Cell(row.group), estimate_cell(row.crude, "points"), estimate_cell(row.adjusted, "points"),
            estimate_cell(row.odds_ratio, "ratio"), _p(row.cmh_p), _p(row.heterogeneity_p),
        ))
        for row in rows
    ]  # fmt: skip
    notes = [f"Reference: {rows[0].reference}. Differences in selection rate."]
    notes += methods_note([e for row in rows for e in (row.crude, row.adjusted, row.odds_ratio)])
    notes.append(
        "p: Cochran–Mantel–Haenszel, that the groups are alike within strata; p, one ratio: Breslow–Day with Tarone's "
        "correction, that the strata share one odds ratio. Where they do not, one figure does not stand for all "
        "strata; the rates by stratum are in audit.json."
    )
    return book.table(
        f"{rows[0].on} within strata of {control}", columns, lines, notes=notes, sortable=False, even=True
    )


def _p(value: float | None) -> Cell:
    return Cell(p(value), sort="" if value is None else repr(value))
