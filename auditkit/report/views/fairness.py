"""Group statistics, attribute by attribute: a figure, its table, the other rates and the comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing, wording
from auditkit.report.book import (
    Book,
    Cell,
    Column,
    Pivot,
    Row,
    Table,
    count_cell,
    estimate_cell,
    methods_note,
)
from auditkit.report.views import discovery, fairness_control, fairness_tests
from auditkit.report.views.fairness_figures import IMPACT, SELECTION, main_figure, panels_figure
from auditkit.report.views.front import is_waived
from auditkit.result import AuditResult, Finding, Group, Measurement

COLUMNS_AT_MOST = 5
COMPLEMENTS = tuple(
    f"fairness.{name}"
    for name in ("tnr", "tnr_difference", "fnr_difference", "fdr", "fdr_difference", "for", "for_difference")
)
"""Measures that say the same as a printed one; they and the ratios are printed where a rule judges them."""
PRIMARY = (SELECTION, IMPACT)
ROUNDING = ("rounded to ", "figures rounded: ")
"""How the result's caveats on rounding begin; the chapter says once what they mean."""


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """One part per attribute; what is over all records stands first."""
    part = result.fairness
    overall = [m for m in part.measurements if not m.on]
    return {
        "part": part,
        "agreement": wording.LABELS[result.data.label_means],
        "rounding": _rounding(result),
        "overall": _overall(overall, book) if overall else None,
        "attributes": [_attribute(result, book, on) for on in part.attributes],
        "discovery": discovery.view(part.discovery, book),
        "proxies": discovery.proxies(part.proxies, book),
    }


def _rounding(result: AuditResult) -> str:
    """Why and how some figures of the chapter are rounded, in plain words; empty when none is."""
    steps: dict[bool, set[float]] = {True: set(), False: set()}
    for m in result.fairness.measurements:
        if m.estimate.step:
            steps[m.unit == "ratio"].add(m.estimate.step)
    said = []
    for is_ratio, name, scale in ((False, "rates and differences", 100), (True, "ratios", 1)):
        sizes = [f"{step * scale:g}" for step in sorted(steps[is_ratio])]
        if sizes:
            said.append(f"{name} to steps of {phrasing.listed(sizes, 'or')}{'' if is_ratio else ' points'}")
    if not said:
        return ""
    return (
        f"Where an exact figure would let a reader work out a count of fewer than {result.minimum_cell} persons, it is "
        f"rounded: {' and '.join(said)}, with the interval widened to the same steps. Such figures are marked "
        "“rounded”, and stand without n where n would tell too much."
    )


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
    figure = main_figure(book, on, groups, cells, rules=rules, table=table)
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
        "panels": panels_figure(book, on, groups, cells, rate_tables)
        if any(rule.measure not in PRIMARY for rule in rules)
        else None,
        "gaps": _matrices(book, f"Comparisons with the reference by {on}", groups, gaps, last=_left(on, len(left))),
        "tests": fairness_tests.view(part.tests, on, rules, book),
        "conditional": fairness_control.view(part.conditional, on, book),
        "left": "" if gaps else " ".join(_left(on, len(left))),
        "suppressed": any(group.n is None for group in groups),
    }


def _left(on: str, number: int) -> list[str]:
    """How many measures of an attribute are in audit.json alone."""
    if not number:
        return []
    counted = phrasing.plural(number, "further measure", "further measures")
    return [f"In audit.json: {counted} by {on}, complements of those above and ratios of rates that no rule judges."]


def _printed(measure: str) -> bool:
    return measure not in COMPLEMENTS and not measure.endswith("_ratio")


def _overall(rows: Sequence[Measurement], book: Book) -> Table:
    cells = [Row((Cell(book.title(m.measure)), estimate_cell(m.estimate, m.unit))) for m in rows]
    notes = methods_note([m.estimate for m in rows], place="Beside")
    columns = (Column("Measure", wide=True), Column("Value", numeric=True))
    return book.table("Over all evaluation records", columns, cells, notes=notes, inline=True)


def caveats(rows: Sequence[Measurement]) -> list[str]:
    """What belongs to some of the rows of a table, as one note."""
    told = (caveat for row in rows for caveat in row.parts if not caveat.startswith(ROUNDING))
    found = phrasing.collapsed(dict.fromkeys(told))
    return [f"Some numbers: {'; '.join(found)}."] if found else []


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
    reasons = [reason for reason in group.reason.split("; ") if reason and not reason.startswith(ROUNDING)]
    if group.is_reference:
        reasons.insert(0, "reference")
    elif group.status in words and not (group.status == "unknown" and reasons):
        reasons.insert(0, words[group.status])
    return Cell(group.group, "; ".join(reasons))


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


def _matrices(
    book: Book, title: str, groups: Sequence[Group], cells: Pivot, *, last: Sequence[str] = ()
) -> list[Table]:
    """Measures of an attribute by group, at most five to a table; `last` are notes under the last of them."""
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
        notes = [f"Reference: {phrasing.listed(list(references))}."] if references else []
        notes += methods_note([m.estimate for m in measured])
        notes += caveats(measured)
        notes += last if start + size >= len(measures) else ()
        tables.append(
            book.table(title if not start else f"{title}, continued", columns, rows, notes=notes, even=len(chunk) > 3)
        )
    return tables
