"""What the fairness chapter shows of conditional parity: one table per attribute and control, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing, wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.report.views.fairness_tests import p
from auditkit.result import Conditional


def view(found: Sequence[Conditional], on: str, book: Book) -> list[dict[str, object]]:
    """One table per control of the attribute, under the sentences on the groups that could be compared.

    A sentence stands out where the association within strata reverses. The rates by stratum stand in the annex.
    """
    own = [row for row in found if row.on == on]
    out = list[dict[str, object]]()
    for control in dict.fromkeys(row.control for row in own):
        rows = [row for row in own if row.control == control]
        compared = [row for row in rows if row.adjusted.known or row.crude.known]
        out.append({
            "sentences": [(row.words, row.pattern == "reverses") for row in rows if row.words],
            "table": _table(compared, control, book) if compared else None,
            "left": _left([row for row in rows if row not in compared], control),
            "strata": _strata(compared, control, book) if any(row.strata for row in compared) else None,
        })  # fmt: skip
    return out


def _left(rows: Sequence[Conditional], control: str) -> str:
    """Which groups could not be compared within strata, and why."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(wording.why_withheld(row.adjusted) or "not estimable", []).append(row.group)
    told = [f"{phrasing.listed(names)} ({why})" for why, names in reasons.items()]
    return f"Not compared within strata of {control}: {'; '.join(told)}." if told else ""


def _table(rows: Sequence[Conditional], control: str, book: Book) -> Table:
    columns = (
        Column("Group"), Column("Over all records", numeric=True), Column("Within strata", numeric=True),
        Column("Odds ratio", numeric=True), Column("p, alike within strata", numeric=True),
        Column("p, one odds ratio", numeric=True),
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
        "p, alike: Cochran–Mantel–Haenszel, that the groups are alike within strata; p, one odds ratio: Breslow–Day "
        "with Tarone's correction, that the strata share one odds ratio. Where they do not, one figure does not stand "
        "for all strata."
    )
    title = f"Selection by {rows[0].on}, over all records and within strata of {control}"
    return book.table(title, columns, lines, notes=notes, sortable=False, even=True)


def _strata(rows: Sequence[Conditional], control: str, book: Book) -> Table:
    """The rates that the figures within strata are made of."""
    lines = [
        Row((
            Cell(row.group), Cell(stratum.stratum), estimate_cell(stratum.group_rate, "rate"),
            estimate_cell(stratum.reference_rate, "rate"),
        ))
        for row in rows
        for stratum in row.strata
    ]  # fmt: skip
    columns = (
        Column("Group"), Column(f"Stratum of {control}"), Column("Selection rate of the group", numeric=True),
        Column(f"Of the reference, {rows[0].reference}", numeric=True),
    )  # fmt: skip
    rates = [rate for row in rows for stratum in row.strata for rate in (stratum.group_rate, stratum.reference_rate)]
    title = f"Selection rates by {rows[0].on} within strata of {control}"
    return book.table(title, columns, lines, notes=methods_note(rates), sortable=False, splits=True, annex=True)


def _p(value: float | None) -> Cell:
    return Cell(p(value), sort="" if value is None else repr(value))
