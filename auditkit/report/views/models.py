"""The audited model beside others on the same records: who decides otherwise, and what changes for which group."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing, wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.report.views.fairness_tests import ADJUSTED, p
from auditkit.result import AuditResult
from auditkit.result.comparison_of_models import ComparedModel, ModelChange, ModelComparison

PRINTED = tuple(f"fairness.{name}" for name in ("selection_rate", "tpr", "fpr", "ppv", "accuracy"))
"""Rates that are printed for every group; the others are complements of them, or stand in audit.json."""
GAP = "_difference"
CROSSED = " x "
"""In the name of an intersection, whose tables stand in the annex."""


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """One part per model: the whole evaluation set, then one pair of tables per attribute."""
    part = result.fairness.models
    if part is None or part.status != "assessed":
        return {"part": part, "models": (), "table": None}
    return {
        "part": part,
        "table": _models(part.models, book),
        "models": [_model(model, part, result.fairness.attributes, book) for model in part.models],
    }


def _models(models: Sequence[ComparedModel], book: Book) -> Table:
    """Who is compared, and how often each decides otherwise."""
    columns = (Column("Model"), Column("What it is"), Column("Threshold", numeric=True), Column("Decides otherwise"))
    rows = [
        Row((
            Cell(model.name), Cell(model.source),
            Cell(wording.NONE if model.threshold is None else f"{model.threshold:g}"),
            estimate_cell(model.disagree, "share"),
        ))
        for model in models
    ]  # fmt: skip
    notes = ["Decides otherwise: share of the evaluation records that it and the audited model decide differently."]
    notes += methods_note([model.disagree for model in models])
    return book.table("Models compared with the audited one", columns, rows, notes=notes)


def _model(
    model: ComparedModel, part: ModelComparison, attributes: Sequence[str], book: Book
) -> dict[str, object]:
    own = [row for row in part.changes if row.model == model.name]
    heading = book.heading(f"From the audited model to {model.name}", f"models-{model.name}")
    tables = [_whole(model, [row for row in own if not row.on], part, book)]
    for on in attributes:
        rows = [row for row in own if row.on == on]
        rates, gaps = ([row for row in rows if bool(row.reference) == gap] for gap in (False, True))
        crossed = CROSSED in on
        made = [_groups(f"{model.name}: change of rates by {on}", rates, part, book, annex=crossed)]
        if gaps:
            title = f"{model.name}: change of gaps to {gaps[0].reference} by {on}"
            made.append(_groups(title, gaps, part, book, annex=crossed))
        tables += [] if crossed else made
    further = book.put_off(f"{model.name} beside the audited model: intersections", f"annex-models-{model.name}")
    return {"heading": heading, "shown": _shown(own, book), "tables": tables, "further": further}


def _whole(model: ComparedModel, rows: Sequence[ModelChange], part: ModelComparison, book: Book) -> Table:
    """Every rate over all evaluation records, under both models."""
    columns = (
        Column("Measure"), Column("Audited model", numeric=True), Column(model.name, numeric=True),
        Column("Change", numeric=True), Column("Lost, gained", numeric=True), Column("p, adjusted", numeric=True),
    )  # fmt: skip
    shown = [row for row in rows if row.measure in PRINTED]
    lines = [
        Row((
            Cell(book.title(row.measure)), estimate_cell(row.before, "rate"), estimate_cell(row.after, "rate"),
            estimate_cell(row.change, "points"), _discordant(row), _p(row),
        ))
        for row in shown
    ]  # fmt: skip
    notes = methods_note([e for row in shown for e in (row.before, row.after, row.change)])
    notes.append("Lost, gained: records that are an event under the audited model only, and under the other only.")
    notes += _tests(shown, part)
    return book.table(f"{model.name}: rates over all evaluation records", columns, lines, notes=notes, even=True)


def _groups(
    title: str, rows: Sequence[ModelChange], part: ModelComparison, book: Book, *, annex: bool
) -> Table:
    """One line per group, one column per printed rate; the adjusted p under the interval."""
    printed = [row for row in rows if row.measure.removesuffix(GAP) in PRINTED]
    measures = list(dict.fromkeys(row.measure for row in printed))
    found = {(row.group, row.measure): row for row in printed}
    columns = (Column("Group"), *(Column(book.title(measure), numeric=True) for measure in measures))
    lines = [
        Row((Cell(group), *(_change(found[group, measure]) for measure in measures)))
        for group in dict.fromkeys(row.group for row in printed)
    ]
    notes = [*methods_note([row.change for row in printed]), *_tests(printed, part)]
    return book.table(title, columns, lines, notes=notes, even=True, annex=annex)


def _change(row: ModelChange) -> Cell:
    cell = estimate_cell(row.change, "points")
    tested = "" if row.adjusted_p_value is None else f"; p-value {p(row.adjusted_p_value)}"
    return Cell(cell.text, f"{cell.detail}{tested}", sort=cell.sort)


def _discordant(row: ModelChange) -> Cell:
    if row.lost is None or row.gained is None:
        return Cell(wording.NONE)
    return Cell(f"{row.lost:,}, {row.gained:,}")


def _p(row: ModelChange) -> Cell:
    return Cell(p(row.adjusted_p_value), sort="" if row.adjusted_p_value is None else repr(row.adjusted_p_value))


def _tests(rows: Sequence[ModelChange], part: ModelComparison) -> list[str]:
    tests = list(dict.fromkeys(row.test for row in rows if row.adjusted_p_value is not None))
    why = list(dict.fromkeys(row.test for row in rows if row.adjusted_p_value is None and row.test))
    told = [f"p: {phrasing.listed(tests, 'or')}; {ADJUSTED[part.multiplicity]} over the family."] if tests else []
    return told + [f"Rounded, and p {reason}." for reason in why]


def _shown(rows: Sequence[ModelChange], book: Book) -> list[str]:
    """In words: which changes of printed rates and gaps are shown, by the side on which the whole interval lies."""
    out = []
    for gap, what in ((False, "rates"), (True, "gaps to the reference")):
        own = [row for row in rows if bool(row.reference) == gap and row.measure.removesuffix(GAP) in PRINTED]
        for side, word in (("up", "higher"), ("down", "lower")):
            found = [row for row in own if _side(row) == side]
            if found:
                out.append(f"Shown to be {word} ({what}): {'; '.join(_named(found, book))}.")
        if own and not any(_side(row) for row in own):
            out.append(f"No change of {what} is shown.")
    return out


def _side(row: ModelChange) -> str:
    low, high = row.change.low, row.change.high
    if low is None or high is None:
        return ""
    return "up" if low > 0 else "down" if high < 0 else ""


def _named(rows: Sequence[ModelChange], book: Book) -> list[str]:
    """Measure by measure, the groups in question."""
    out = []
    for measure in dict.fromkeys(row.measure for row in rows):
        groups = [f"{row.on}: {row.group}" if row.on else "all records" for row in rows if row.measure == measure]
        title = book.title(measure.removesuffix(GAP))
        out.append(f"{phrasing.lowered(title)} ({phrasing.listed(groups)})")
    return out
