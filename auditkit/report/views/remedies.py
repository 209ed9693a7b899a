"""What was tried against membership risk, and what each remedy changed beside it."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing, wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.result import AuditResult, Change, Remedy

LEADING = {
    "remedies.average_risk": "Average risk", "remedies.attack_auc": "AUC of the attack", "model.accuracy": "Accuracy",
}  # fmt: skip
"""Measures of the overview, and how their columns are headed."""


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """One heading, sentence and table per remedy; those not tried with the reason."""
    part = result.remedies
    tried = [remedy for remedy in part.remedies if remedy.status == "assessed"]
    return {
        "part": part,
        "overview": _overview(book, tried) if tried else None,
        "tried": [_tried(book, remedy) for remedy in part.remedies],
    }


def _overview(book: Book, tried: Sequence[Remedy]) -> Table:
    """What every remedy changed in risk and accuracy, side by side, and how many group comparisons moved."""
    rows = []
    for remedy in tried:
        by = {row.measure: row for row in remedy.changes if not row.on}
        told = [by.get(measure) for measure in LEADING]
        cells = [Cell(wording.NONE) if row is None else estimate_cell(row.change, _unit(row)) for row in told]
        group = [row for row in remedy.changes if row.on and row.change.known]
        moved = sum(_clear(row) for row in group)
        rows.append(Row((Cell(remedy.title), *cells, Cell(f"{moved:,}", f"of {len(group):,}"))))
    columns = (
        Column("Remedy", wide=True), *(Column(title, numeric=True) for title in LEADING.values()),
        Column("Group comparisons changed", numeric=True),
    )  # fmt: skip
    notes = methods_note([row.change for remedy in tried for row in remedy.changes if row.measure in LEADING])
    notes.append(
        "Changes on retrained models with the remedy, against the same models without. A group comparison counts as "
        "changed where the interval of its change lies off zero. n: pairs of retrained models."
    )
    return book.table("What the remedies changed", columns, rows, notes=notes, sortable=False)


def _tried(book: Book, remedy: Remedy) -> dict[str, object]:
    heading = book.heading(remedy.title, f"remedies-{remedy.name}")
    shown = remedy.status == "assessed"
    return {
        "heading": heading,
        "remedy": remedy,
        "table": _changes(book, remedy) if shown else None,
        "facts": [(fact.name, fact.value) for fact in remedy.facts],
        "summary": _summary(remedy) if shown else "",
        "onion": _onion(remedy),
    }


def _changes(book: Book, remedy: Remedy) -> Table:
    known = [row for row in remedy.changes if row.change.known]
    rows = [
        Row((
            Cell(book.title(row.measure), _place(row)), estimate_cell(row.before, row.unit),
            estimate_cell(row.after, row.unit), estimate_cell(row.change, _unit(row)),
        ))
        for row in known
    ]  # fmt: skip
    columns = (
        Column("Measure", wide=True), Column("Without", numeric=True), Column("With", numeric=True),
        Column("Change", numeric=True),
    )  # fmt: skip
    notes = [*methods_note([row.change for row in known]), "n: pairs of retrained models."]
    reasons: dict[str, list[str]] = {}
    for row in remedy.changes:
        if not row.change.known:
            reasons.setdefault(row.change.withheld or "not estimable", []).append(f"{row.on} = {row.group}")
    notes += [f"Not shown ({why}): {phrasing.listed(list(dict.fromkeys(where)))}." for why, where in reasons.items()]
    title = f"What changed with “{phrasing.lowered(remedy.title)}”"
    return book.table(title, columns, rows, notes=notes, sortable=False, splits=True, annex=True)


def _place(row: Change) -> str:
    against = f" (against {row.reference})" if row.reference else ""
    return f"{row.on} · {row.group}{against}" if row.on else ""


def _unit(row: Change) -> str:
    """A change of a rate is in points."""
    return "points" if row.unit in ("rate", "share") else row.unit


def _summary(remedy: Remedy) -> str:
    """Which way risk, accuracy and how many group measures moved, by their intervals."""
    told = [_moved(name, row) for name, row in _leading(remedy)]
    group = [row for row in remedy.changes if row.on and row.change.known]
    clear = [row for row in group if _clear(row)]
    if group:
        words = phrasing.plural(len(group), "group comparison", "group comparisons")
        told.append(f"of {words}, {len(clear):,} changed with an interval off zero")
    text = "; ".join(told)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _leading(remedy: Remedy) -> list[tuple[str, Change]]:
    names = {"remedies.average_risk": "average risk", "model.accuracy": "accuracy"}
    return [(names[row.measure], row) for row in remedy.changes if row.measure in names and row.change.known]


def _moved(name: str, row: Change) -> str:
    if not _clear(row) or row.change.value is None:
        return f"no change of {name} is shown"
    way = "lower" if row.change.value < 0 else "higher"
    return f"{name} is {way} with the remedy: change {wording.sentence(row.change, _unit(row))}"


def _clear(row: Change) -> bool:
    return row.change.low is not None and row.change.high is not None and (row.change.low > 0 or row.change.high < 0)


def _onion(remedy: Remedy) -> list[tuple[str, str]]:
    if remedy.onion is None:
        return []
    found = remedy.onion
    return [
        ("Newly exposed, of the records that stay", wording.sentence(found.newly, "share")),
        ("No longer exposed", wording.sentence(found.no_longer, "share")),
        ("Newly exposed after removing as many others at random", wording.sentence(found.control, "share")),
        ("Change in average risk after that", wording.sentence(found.control_risk, "score")),
    ]
