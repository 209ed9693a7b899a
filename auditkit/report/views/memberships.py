"""Attributes of which a record may have several groups, or only a probability of each."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Pivot, Row, Table, count_cell, estimate_cell, methods_note
from auditkit.report.views.fairness_matrices import compares, matrices
from auditkit.result import Estimate, Group, Measurement, MembershipBounds, MembershipGroup, MembershipPart

SELECTION, IMPACT = "fairness.selection_rate", "fairness.impact_ratio"
LEADING = tuple(
    f"fairness.{name}{kind}"
    for kind in ("", "_difference")
    for name in ("selection_rate", "tpr", "fpr", "ppv", "accuracy")
)
KINDS = {
    "several": "a record may belong to several groups",
    "probabilities": "only the probability that a record belongs to a group is known",
}
STATES = {"insufficient-evidence": "insufficient evidence", "empty": "no records"}


def view(parts: Sequence[MembershipPart], book: Book) -> list[dict[str, object]]:
    """Per membership a heading, who belongs to which group, and the rates, comparisons and bounds."""
    return [_membership(part, book) for part in parts]


def _membership(part: MembershipPart, book: Book) -> dict[str, object]:
    kind = "Overlapping groups" if part.kind == "several" else "Groups known by probability"
    heading = book.heading(f"{kind}: {part.on}", f"fairness-membership-{part.on}")
    shown: dict[str, object] = {"heading": heading, "part": part, "kind": KINDS[part.kind]}
    if part.status != "assessed":
        return shown
    cells = _pivot(part.measurements)
    groups = [_as_group(part, group) for group in part.groups if group.status not in ("several", "none", "unknown")]
    first = {m: row for m, row in cells.items() if m in LEADING and m != SELECTION}
    more = {m: row for m, row in cells.items() if m not in LEADING and not m.endswith("_ratio")}
    lead, rest = (
        [row for row in part.bounds if (row.measure in (*LEADING, IMPACT)) == leads] for leads in (True, False)
    )
    tables = [_who(part, cells, book), *matrices(book, f"Rates and comparisons by {part.on}", groups, first)]
    tables += _bounds(f"Bounds by {part.on}", lead, book)
    matrices(book, f"Other rates and comparisons by {part.on}", groups, more, annex=True)
    _bounds(f"Other bounds by {part.on}", rest, book, annex=True)
    further = book.put_off(f"Membership {part.on}: other figures", f"annex-membership-{part.on}")
    return shown | {"tables": tables, "further": further}


def _pivot(rows: Sequence[Measurement]) -> Pivot:
    table: Pivot = {}
    for row in rows:
        table.setdefault(row.measure, {})[row.group] = row
    return table


def _as_group(part: MembershipPart, group: MembershipGroup) -> Group:
    return Group(on=part.on, group=group.group, n=group.n, status="assessed", is_reference=group.is_reference)


def _who(part: MembershipPart, cells: Pivot, book: Book) -> Table:
    """Who belongs to which group, and how often each is selected."""
    shown = [measure for measure in (SELECTION, IMPACT) if measure in cells]
    rows = []
    for group in part.groups:
        line = [_name(group), _size(part, group)]
        line += [_figure(group, cells[measure]) for measure in shown]
        rows.append(Row(tuple(line)))
    size = "Expected records" if part.kind == "probabilities" else "Records"
    columns = [Column("Group"), Column(size, numeric=True)]
    columns += [Column(book.title(measure), numeric=True) for measure in shown]
    measured = [m for measure in shown for m in cells[measure].values()]
    against = dict.fromkeys(m.reference for m in measured if m.reference)
    notes = [f"Compared with: {', '.join(against)}."] if against else []
    notes += methods_note([m.estimate for m in measured])
    table = book.table(f"Who belongs to which group, and how often selected, by {part.on}", columns, rows, notes=notes,
                       sortable=False)  # fmt: skip
    book.shows(table, shown)
    return table


def _name(group: MembershipGroup) -> Cell:
    words = ["reference"] if group.is_reference else []
    words += [STATES[group.status]] if group.status in STATES else []
    return Cell(group.group, "; ".join([*words, *([group.reason] if group.reason else [])]))


def _size(part: MembershipPart, group: MembershipGroup) -> Cell:
    number = group.expected if part.kind == "probabilities" and group.status != "unknown" else group.n
    share = "" if number is None or group.share is None else wording.value(group.share, "share")
    cell = count_cell(number)
    return Cell(cell.text, share, sort=cell.sort)


def _figure(group: MembershipGroup, row: dict[str, Measurement]) -> Cell:
    if group.group in row and group.status not in ("several", "none", "unknown"):
        return estimate_cell(row[group.group].estimate, row[group.group].unit)
    return Cell("reference" if group.is_reference and compares(row) else "not assessed")


def _bounds(title: str, rows: Sequence[MembershipBounds], book: Book, *, annex: bool = False) -> list[Table]:
    """A row per measure and group: the ends with their sampling error, and as the records give them."""
    if not rows:
        return []
    order = list(dict.fromkeys(row.measure for row in rows))
    rows = sorted(rows, key=lambda row: order.index(row.measure))
    columns = (
        Column("Measure"), Column("Group"), Column("Between, with sampling error", numeric=True),
        Column("Between, in these records", numeric=True),
    )  # fmt: skip
    lines = [
        Row((
            Cell(book.title(row.measure)), Cell(row.group), _between(row.region, row.unit),
            _between(row.bounds, row.unit),
        ))
        for row in rows
    ]  # fmt: skip
    level = wording.percent(rows[0].region.level)
    notes = [f"Sampling error at {level}, simultaneous over the groups (Šidák). Method: {_methods(rows)}."]
    against = dict.fromkeys(row.reference for row in rows if row.reference)
    notes = [f"Differences are from: {', '.join(against)}.", *notes] if against else notes
    return [book.table(title, columns, lines, notes=notes, sortable=False, splits=True, annex=annex)]


def _between(estimate: Estimate, unit: str) -> Cell:
    text = wording.interval(estimate, unit)
    if not text and estimate.low is not None:
        text = f"at least {wording.value(estimate.low, unit)}"
    return Cell(text, "rounded" if estimate.step else "") if text else Cell("withheld", wording.why_withheld(estimate))


def _methods(rows: Sequence[MembershipBounds]) -> str:
    found = dict.fromkeys(one.method for row in rows for one in (row.region, row.bounds) if one.method)
    return "; ".join(found) or "not stated"
