"""What the fairness chapter shows of slices that nobody named."""

from __future__ import annotations

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.result import Discovery, Proxies, Proxy, WorstSlices
from auditkit.result import Slice as Found


def view(part: Discovery | None, book: Book) -> dict[str, object] | None:
    """Heading, and per outcome a sentence and a table of the slices tested."""
    if part is None:
        return None
    heading = book.heading("Slices that nobody named", "fairness-discovery")
    return {"heading": heading, "part": part, "outcomes": [_outcome(part, item, book) for item in part.outcomes]}


def proxies(part: Proxies | None, book: Book) -> dict[str, object] | None:
    """Heading, and one row per column that tells most, all columns together first."""
    if part is None:
        return None
    heading = book.heading("What goes along with protected attributes", "fairness-proxies")
    shown = {"heading": heading, "part": part, "table": None}
    if part.status != "assessed":
        return shown
    attributes = list(dict.fromkeys(row.on for row in part.rows))
    columns = (
        Column("Attribute"),
        Column("All columns together, AUC", numeric=True),
        *(Column(f"{place} column, AUC", numeric=True) for place in ("First", "Second", "Third")),
    )
    rows = [_nearest(on, [row for row in part.rows if row.on == on]) for on in attributes]
    notes = [*methods_note([row.auc for row in part.rows]), "Every column is in audit.json."]
    return shown | {"table": book.table("Columns that tell the groups", columns, rows, notes=notes, sortable=False)}


def _nearest(on: str, found: list[Proxy]) -> Row:
    whole = next(row for row in found if not row.column)
    single = sorted((row for row in found if row.column and row.auc.known), key=lambda row: -(row.auc.value or 0))[:3]
    cells = [estimate_cell(row.auc, "score") for row in single]
    named = [Cell(f"{row.column}: {cell.text}", cell.detail) for row, cell in zip(single, cells, strict=True)]
    return Row((Cell(on), estimate_cell(whole.auc, "score"), *named, *[Cell("")] * (3 - len(named))))


def _outcome(part: Discovery, item: WorstSlices, book: Book) -> dict[str, object]:
    return {
        "title": item.outcome[0].upper() + item.outcome[1:],
        "words": _words(part, item),
        "table": _table(item, book) if item.slices else None,
    }


def _words(part: Discovery, item: WorstSlices) -> str:
    """How much was searched, and how much of it was confirmed."""
    searched = f"Searched on {item.n_searched:,} records over {item.conditions:,} conditions"
    scope = "every conjunction looked at or bounded" if item.complete else "triples only from the best pairs"
    if not item.tested:
        return f"{searched} ({scope}): no slice stands out."
    confirmed = sum(row.confirmed for row in item.slices)
    level = f"{100 * (part.false_discovery or 0):g}{wording.NBSP}%"
    told = f"{confirmed} confirmed at a false-discovery level of {level}" if confirmed else "none was confirmed"
    hidden = "may not be shown, because a count would tell of a few persons"
    withheld = f"; {item.withheld} {hidden}" if item.withheld else ""
    return f"{searched} ({scope}). {item.tested} slices were tested: {told}{withheld}."


def _table(item: WorstSlices, book: Book) -> Table:
    columns = (
        Column("Slice", wide=True),
        Column("In the slice", numeric=True),
        Column("Elsewhere", numeric=True),
        Column("Excess", numeric=True),
        Column("p, adjusted", numeric=True),
        Column("Confirmed"),
    )
    first = item.slices[0]
    notes = [
        f"Under each number: its interval and n. {first.inside.method}; excess: {first.excess.method}, simultaneous "
        f"over the {item.tested} slices tested. p: one-sided, Benjamini–Hochberg over the slices.",
    ]
    return book.table(f"Slices: {item.outcome}", columns, [_row(row) for row in item.slices], notes=notes)


def _row(row: Found) -> Row:
    return Row((
        Cell(row.where), estimate_cell(row.inside, "rate"), estimate_cell(row.outside, "rate"),
        estimate_cell(row.excess, "points"), Cell(_p(row.adjusted_p), sort=repr(row.adjusted_p)),
        Cell("yes" if row.confirmed else "no"),
    ))  # fmt: skip


def _p(value: float) -> str:
    """Three decimals, or below a thousandth only that."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
