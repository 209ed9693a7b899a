"""Tables in a law's own layout: the bias audit's three tables, and four fifths beside the tests."""

from __future__ import annotations

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Heading, Row, Table, count_cell, estimate_cell, methods_note
from auditkit.result import AuditResult, BiasAudit, CategoryRow, CategoryTable, FourFifths, FourFifthsRow, Median

KINDS = {"sex": "Sex", "race": "Race or ethnicity", "sex-by-race": "Sex by race or ethnicity"}
RATES = {"selection": "Selection rate", "scores": "Scoring rate"}
CHOSEN = {"selection": "Selected", "scores": "Scored high"}
MOST = {"selection": "selected most", "scores": "scored high most often"}
CELLS = {
    "below-and-significant": "below four fifths, and more than chance explains",
    "below-not-significant": "below four fifths, not more than chance explains",
    "not-below-but-significant": "not below four fifths, yet more than chance explains",
    "not-below-not-significant": "not below four fifths, not more than chance explains",
    "not-determined": "not determined",
}
TIES = {
    "above": "A record whose score is the median itself does not count as scored high, in the rule's words",
    "at-or-above": "A record whose score is the median itself counts as scored high: the policy's choice, where the "
    "rule says above",
}


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """Each rule set's tables under a heading of its own."""
    part = result.statutory
    audit = part.bias_audit if part else None
    fifths = part.four_fifths if part else None
    return {
        "audit": _bias_audit(audit, book) if audit else None,
        "fifths": _four_fifths(fifths, book) if fifths else None,
    }


def _bias_audit(audit: BiasAudit, book: Book) -> dict[str, object]:
    heading = book.heading("New York City bias audit", "statutory-bias-audit")
    return {
        "heading": heading,
        "notes": [*audit.notes, *_choices(audit)],
        "tables": [_category_table(table, audit, book) for table in audit.tables],
    }


def _choices(audit: BiasAudit) -> list[str]:
    """What the rule leaves open and the policy decided."""
    said = []
    if audit.exclude_below is not None:
        share = wording.percent(audit.exclude_below)
        said.append(
            f"Categories below {share} of the data are left out of the impact ratio and are never its denominator; "
            f"their number and rate stand in the tables unless they tell of few persons. "
            f"Justification: {audit.justification}"
        )
    return said + (_median(audit.median) if audit.median else [])


def _median(median: Median) -> list[str]:
    if median.value is None:
        told = "The median of the scores is withheld: it would tell the score of a few persons."
    else:
        of = f"Median of the scores of {wording.count(median.n)} records"
        told = f"{of}, to steps of {median.step:g}: {median.value:g}."
    at = "which share that is would tell of a few persons"
    if median.at_median is not None:
        at = f"{wording.value(median.at_median, 'share')} of the records"
    return [told, f"{TIES[median.ties]} ({at})."]


def _category_table(table: CategoryTable, audit: BiasAudit, book: Book) -> Table:
    rows = [Row(_category(row, audit)) for row in table.rows]
    columns = [
        Column("Category", wide=True), Column("Number assessed", numeric=True),
        Column(CHOSEN[audit.variant], numeric=True),
        Column(RATES[audit.variant], numeric=True), Column("Impact ratio", numeric=True),
    ]  # fmt: skip
    unknown = "withheld" if table.unknown is None else wording.count(table.unknown)
    notes = [f"Number assessed whose category is unknown, left out of the rates: {unknown}."]
    notes += methods_note([e for row in table.rows for e in (row.rate, row.ratio)])
    return book.table(f"{KINDS[table.kind]} ({table.on})", columns, rows, notes=[*notes, *table.notes], sortable=False)


def _category(row: CategoryRow, audit: BiasAudit) -> tuple[Cell, ...]:
    share = wording.value(row.share, "share") if row.share is not None else ""
    words = [MOST[audit.variant]] if row.is_most_selected else []
    words += ["left out of the impact ratio"] if row.excluded else []
    size = count_cell(row.n)
    ratio = Cell("left out") if row.excluded else estimate_cell(row.ratio, "ratio")
    chosen = Cell("not shown") if row.selected is None else Cell(wording.count(row.selected))
    return (
        Cell(row.category, "; ".join(words)), Cell(size.text, share), chosen, estimate_cell(row.rate, "rate"), ratio,
    )  # fmt: skip


def _four_fifths(fifths: FourFifths, book: Book) -> dict[str, object]:
    heading: Heading = book.heading("Four fifths, and chance", "statutory-four-fifths")
    tables = []
    for table in fifths.tables:
        columns = [
            Column("Group", width=13), Column("Selected", numeric=True, width=13), Column("Ratio", numeric=True),
            Column("z", numeric=True), Column("p, Fisher", numeric=True), Column("Practical and statistical", width=20),
            Column("One selection", width=20),
        ]  # fmt: skip
        notes = [f"Highest selection rate: {table.highest}."] if table.highest else []
        notes += methods_note([row.ratio for row in table.rows])
        rows = [Row(_fifths_row(row)) for row in table.rows]
        tables.append(
            book.table(f"Selection by {table.on}", columns, rows, notes=[*notes, *table.notes], sortable=False)
        )
    return {"heading": heading, "notes": list(fifths.notes), "tables": tables}


def _fifths_row(row: FourFifthsRow) -> tuple[Cell, ...]:
    size = "" if row.n is None else f"of {wording.count(row.n)}"
    chosen = Cell("not shown", size) if row.selected is None else Cell(wording.count(row.selected), size)
    first = Cell(row.group, "highest rate" if row.is_highest else "")
    rate = Cell(chosen.text, "; ".join(t for t in (size, _rate(row)) if t))
    ratio = estimate_cell(row.ratio, "ratio")
    if row.is_highest:
        return (first, rate, ratio, Cell(wording.NONE), Cell(wording.NONE), Cell("the others are held against it"),
                Cell(wording.NONE))  # fmt: skip
    decides = "Fisher's test decides" if row.by_fisher else ""
    return (
        first, rate, ratio, Cell(wording.significant(row.z), _p(row)), Cell(wording.significant(row.p_fisher), decides),
        Cell(CELLS[row.cell], row.reason), _flip(row),
    )  # fmt: skip


def _rate(row: FourFifthsRow) -> str:
    return wording.shown(row.rate, "rate") if row.rate.known else wording.why_withheld(row.rate)


def _p(row: FourFifthsRow) -> str:
    return "" if row.p_z is None else f"p{wording.NBSP}={wording.NBSP}{wording.significant(row.p_z)}"


def _flip(row: FourFifthsRow) -> Cell:
    """Whether one selection more or less would move the ratio across four fifths."""
    if row.flips is None or row.flip_to is None or row.selected is None:
        return Cell("not determined")
    way = "more" if row.flip_to > row.selected else "fewer"
    answer = "would change the answer" if row.flips else "would not change it"
    then = f"ratio {wording.value(row.flip_ratio, 'ratio')} with {wording.count(row.flip_to)}"
    return Cell(f"One {way} {answer}", then)
