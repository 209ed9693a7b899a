"""Group statistics, attribute by attribute: a figure, its table, the other rates and the comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import charts, wording
from auditkit.report.book import (
    Book,
    Cell,
    Column,
    Figure,
    Row,
    Table,
    count_cell,
    estimate_cell,
    methods_note,
)
from auditkit.report.drawing import short
from auditkit.report.views.front import is_waived
from auditkit.result import AuditResult, Estimate, Finding, Group, Measurement

FOUR_FIFTHS = 0.8
LINES = (FOUR_FIFTHS, 1.25)
COLUMNS_AT_MOST = 5
PANELS = ("fairness.tpr", "fairness.fpr", "fairness.ppv")
COMPLEMENTS = ("fairness.tnr", "fairness.tnr_difference", "fairness.fnr_difference")
"""Measures that say the same as a printed one; they and the ratios are printed where a rule judges them."""
SELECTION, IMPACT = "fairness.selection_rate", "fairness.impact_ratio"
PRIMARY = (SELECTION, IMPACT)

Pivot = dict[str, dict[str, Measurement]]
"""measure -> group -> row, in the order of the result."""


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """One part per attribute; what is over all records stands first."""
    part = result.fairness
    overall = [m for m in part.measurements if not m.on]
    return {
        "part": part,
        "agreement": wording.LABELS[result.data.label_means],
        "overall": _overall(overall, book) if overall else None,
        "attributes": [_attribute(result, book, on) for on in part.attributes],
    }


def pivot(measurements: Sequence[Measurement], on: str) -> Pivot:
    """The rows of one attribute by measure and group."""
    table: Pivot = {}
    for row in measurements:
        if row.on == on and row.group:
            table.setdefault(row.measure, {})[row.group] = row
    return table


def _attribute(result: AuditResult, book: Book, on: str) -> dict[str, object]:
    part = result.fairness
    cells = pivot(part.measurements, on)
    groups = [group for group in part.groups if group.on == on]
    heading = book.heading(f"Groups by {on}", f"fairness-{on}")
    rules = [finding for finding in result.findings if finding.on == on]
    table = _main_table(book, on, groups, cells, rules)
    figure = _main_figure(book, on, groups, cells, rules=rules, table=table)
    judged = {rule.measure for rule in rules}
    rest = {m: row for m, row in cells.items() if m not in PRIMARY and (m in judged or _printed(m))}
    left = [m for m in cells if m not in PRIMARY and m not in rest]
    rates = {m: row for m, row in rest.items() if not _compares(row)}
    gaps = {m: row for m, row in rest.items() if _compares(row)}
    rate_tables = _matrices(book, f"Other rates by {on}", groups, rates)
    return {
        "name": on,
        "heading": heading,
        "table": table,
        "figure": figure,
        "rates": rate_tables,
        "panels": _panels(book, on, groups, cells, rate_tables),
        "gaps": _matrices(book, f"Comparisons with the reference by {on}", groups, gaps),
        "left": wording.listed([lowered(book.title(m)) for m in left]),
        "suppressed": any(group.n is None for group in groups),
    }


def _printed(measure: str) -> bool:
    return measure not in COMPLEMENTS and not measure.endswith("_ratio")


def _overall(rows: Sequence[Measurement], book: Book) -> Table:
    cells = [Row((Cell(book.title(m.measure)), estimate_cell(m.estimate, m.unit))) for m in rows]
    notes = methods_note([m.estimate for m in rows])
    columns = (Column("Measure", wide=True), Column("Value", numeric=True))
    return book.table("Over all evaluation records", columns, cells, notes=notes)


def _compares(row: dict[str, Measurement]) -> bool:
    return any(m.reference for m in row.values())


def _main_table(book: Book, on: str, groups: Sequence[Group], cells: Pivot, rules: Sequence[Finding]) -> Table:
    shown = [measure for measure in PRIMARY if measure in cells]
    judged = [rule for rule in rules if rule.groups][:2]
    rows = []
    for group in groups:
        line = [_group_cell(group), _size_cell(group)]
        line += [_measure_cell(group, cells[measure]) for measure in shown]
        line += [_verdict_cell(rule, group) for rule in judged]
        rows.append(Row(tuple(line)))
    columns = [Column("Group"), Column("Records", numeric=True)]
    columns += [Column(book.title(measure), numeric=True) for measure in shown]
    columns += [Column(f"Rule {rule.id}") for rule in judged]
    notes = methods_note([m.estimate for measure in shown for m in cells[measure].values()])
    return book.table(f"Who was assessed, and how often selected, by {on}", columns, rows, notes=notes)


def _group_cell(group: Group) -> Cell:
    words = {"insufficient-evidence": "insufficient evidence", "unknown": "membership unknown", "empty": "no records"}
    detail = "reference" if group.is_reference else words.get(group.status, "")
    return Cell(group.group, "; ".join(text for text in (detail, group.reason) if text))


def _size_cell(group: Group) -> Cell:
    cell = count_cell(group.n)
    share = wording.value(group.share, "share") if group.share is not None and group.n is not None else ""
    return Cell(cell.text, share, sort=cell.sort)


def _measure_cell(group: Group, row: dict[str, Measurement]) -> Cell:
    if group.group in row:
        return estimate_cell(row[group.group].estimate, row[group.group].unit)
    return Cell("reference" if group.is_reference and _compares(row) else "not assessed")


def _verdict_cell(rule: Finding, group: Group) -> Cell:
    for judged in rule.groups:
        if judged.group == group.group:
            waived = is_waived(rule) and judged.verdict == "breaches"
            word = wording.VERDICTS[judged.verdict].word + (", waived" if waived else "")
            return Cell(word, verdict=judged.verdict, waived=waived)
    return Cell("reference" if group.is_reference else "not judged")


def _matrices(book: Book, title: str, groups: Sequence[Group], cells: Pivot) -> list[Table]:
    measures = list(cells)
    tables = []
    parts = -(-len(measures) // COLUMNS_AT_MOST)
    size = -(-len(measures) // parts) if parts else 1
    for start in range(0, len(measures), size):
        chunk = measures[start : start + size]
        named = [g for g in groups if any(g.group in cells[measure] for measure in chunk)]
        rows = [Row((Cell(g.group), *(_measure_cell(g, cells[measure]) for measure in chunk))) for g in named]
        columns = [Column("Group"), *(Column(book.title(measure), numeric=True) for measure in chunk)]
        measured = [m for measure in chunk for m in cells[measure].values()]
        references = dict.fromkeys(m.reference for m in measured if m.reference)
        notes = [f"Reference: {wording.listed(list(references))}."] if references else []
        notes += methods_note([m.estimate for m in measured])
        notes += list(dict.fromkeys(caveat for m in measured for caveat in m.parts))
        tables.append(book.table(title if not start else f"{title}, continued", columns, rows, notes=notes))
    return tables


def _main_figure(
    book: Book, on: str, groups: Sequence[Group], cells: Pivot, *, rules: Sequence[Finding], table: Table
) -> Figure | None:
    rates, ratios = cells.get(SELECTION, {}), cells.get(IMPACT, {})
    shown = [g for g in groups if g.group in rates and rates[g.group].estimate.known]
    if not shown:
        return None
    reference = next((rates[g.group].estimate.value for g in shown if g.is_reference), None)
    low = {name: m.estimate.value for name, m in ratios.items() if m.estimate.value is not None}
    flagged = {name for name, value in low.items() if value < FOUR_FIFTHS}
    thresholds = [rule.threshold for rule in rules if rule.measure == IMPACT and rule.threshold > 0]
    drawing = charts.rates_and_ratios(
        tuple(_mark(g.group, rates[g.group].estimate, g.group in flagged, "") for g in shown),
        tuple(_ratio_mark(g, ratios, flagged) for g in shown) if low else (),
        reference=reference,
        zone=reference * FOUR_FIFTHS if low and reference is not None else None,
        lines=tuple(sorted({*LINES, *thresholds})),
        titles=("Selection rate", "Impact ratio (log scale)"),
    )
    title = _finding_title(on, shown, rates, low)
    return book.figure(title, _alt(on, shown, rates, ratios, table), drawing, note=_legend(bool(low), reference))


def _legend(ratios: bool, reference: float | None) -> str:
    words = "Dot: observed value; bar: interval."
    if reference is not None:
        words += " Grey line: the reference group."
    if ratios:
        words += " Diamond and shaded zone: below four-fifths of the reference. Dashed: 0.80, 1.25 and the rule."
    return words


def _finding_title(on: str, shown: Sequence[Group], rates: dict[str, Measurement], ratios: dict[str, float]) -> str:
    reference = next((g.group for g in shown if g.is_reference), "")
    if ratios and reference:
        name = min(ratios, key=lambda key: ratios[key])
        times = wording.value(ratios[name], "ratio")
        return f"By {on}, {name} is selected {times} times as often as {reference}"
    ordered = sorted(shown, key=lambda g: rates[g.group].estimate.value or 0.0)
    low, high = (wording.value(rates[g.group].estimate.value, "rate") for g in (ordered[0], ordered[-1]))
    return f"By {on}, selection rates run from {low} to {high}"


def _alt(
    on: str, shown: Sequence[Group], rates: dict[str, Measurement], ratios: dict[str, Measurement], table: Table
) -> str:
    values = []
    for group in shown[:8]:
        text = f"{short(group.group)} {wording.value(rates[group.group].estimate.value, 'rate')}"
        row = ratios.get(group.group)
        if row is not None and row.estimate.known:
            text += f" (ratio {wording.value(row.estimate.value, 'ratio')})"
        values.append(text)
    return (
        f"Dot plot with intervals: selection rate and impact ratio by {on}. {'; '.join(values)}. "
        f"Data in Table {table.number}."
    )


def _mark(label: str, estimate: Estimate, flagged: bool, note: str) -> charts.Mark:
    return charts.Mark(label, estimate.value, estimate.low, estimate.high, flagged, note)


def _ratio_mark(group: Group, ratios: dict[str, Measurement], flagged: set[str]) -> charts.Mark:
    row = ratios.get(group.group)
    if row is None or not row.estimate.value or row.estimate.value <= 0:
        return charts.Mark(group.group, None, note="reference" if group.is_reference else "")
    estimate = row.estimate
    low = max(estimate.low, 1e-3) if estimate.low is not None else None
    note = wording.value(estimate.value, "ratio")
    return charts.Mark(group.group, estimate.value, low, estimate.high, group.group in flagged, note)


def lowered(title: str) -> str:
    """A title inside a sentence; abbreviations keep their capitals."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _panels(book: Book, on: str, groups: Sequence[Group], cells: Pivot, tables: Sequence[Table]) -> Figure | None:
    measures = [m for m in PANELS if m in cells]
    shown = [g for g in groups if any(g.group in cells[m] and cells[m][g.group].estimate.known for m in measures)]
    if not measures or not shown or not tables:
        return None
    panels, words = [], []
    for measure in measures:
        row = cells[measure]
        estimates = [row[g.group].estimate if g.group in row else Estimate(value=None) for g in shown]
        reference = next((e.value for e, g in zip(estimates, shown, strict=True) if g.is_reference), None)
        marks = tuple(_mark(g.group, e, False, "") for e, g in zip(estimates, shown, strict=True))
        panels.append((book.title(measure), marks, reference))
        known = [e.value for e in estimates if e.value is not None]
        if known:
            low, high = wording.value(min(known), "rate"), wording.value(max(known), "rate")
            words.append(f"the {lowered(book.title(measure))} runs from {low} to {high}")
    alt = (
        f"Dot plots with intervals, one panel per rate, by {on}: {'; '.join(words)}. Data in Table {tables[0].number}."
    )
    title = f"By {on}, {words[0]}" if words else f"Rates by {on}"
    return book.figure(
        title, alt, charts.small_multiples(tuple(panels)), note="Dot: observed value; bar: interval; line: reference."
    )
