"""Group statistics, attribute by attribute: a figure, its table, the other rates and the comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import phrasing, wording
from auditkit.report.book import (
    Book,
    Cell,
    Column,
    Further,
    Pivot,
    Row,
    Table,
    count_cell,
    estimate_cell,
    methods_note,
)
from auditkit.report.views import discovery, fairness_control, fairness_scores, fairness_tests, memberships, outcomes
from auditkit.report.views.fairness_figures import IMPACT, SELECTION, main_figure, panels_figure
from auditkit.report.views.fairness_matrices import (
    ROUNDING,
    TURNED_AT_MOST,
    compares,
    groups_in,
    matrices,
    measure_cell,
)
from auditkit.report.views.front import is_waived
from auditkit.result import AuditResult, FairnessPart, Finding, Group, Measurement

COMPLEMENTS = tuple(
    f"fairness.{name}"
    for name in ("tnr", "tnr_difference", "fnr_difference", "fdr", "fdr_difference", "for", "for_difference")
)
"""Measures that say the same as a printed one; they and the ratios are printed where a rule judges them."""
FOLD = 8
"""Measures over all records beyond which their table stands in two columns of pairs."""
PRIMARY = (SELECTION, IMPACT)
LEADING = tuple(
    f"fairness.{name}"
    for name in (
        "tpr", "fpr", "ppv", "accuracy", "selection_rate_difference", "tpr_difference", "fpr_difference",
        "ppv_difference", "equalised_odds_difference",
    )
)  # fmt: skip
"""Measures that stand in the chapter beside what a rule judges; the others stand in the annex."""


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """One part per attribute; what is over all records stands first."""
    part = result.fairness
    overall = [m for m in part.measurements if not m.on]
    whole = _overall(overall, book) if overall else None
    attributes = [_attribute(result, book, on) for on in part.attributes]
    if whole is not None:  # a measure's first table is one by groups, where there is one
        book.shows(whole, [m.measure for m in overall])
    return {
        "part": part,
        "agreement": wording.LABELS[result.data.label_means],
        "rounding": _rounding(result),
        "overall": whole,
        "attributes": attributes,
        "memberships": memberships.view(part.memberships, book),
        "outcomes": outcomes.view(part.outcomes, book),
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
    scored = {m: row for m, row in rest.items() if m in fairness_scores.MEASURES}
    first = {m: row for m, row in rest.items() if m not in scored and (m in LEADING or m in judged)}
    few = len(groups_in(groups, first)) <= TURNED_AT_MOST
    rates = matrices(book, f"Rates by {on}", groups, first if few else _kept(first, against=False))
    panels = any(rule.measure not in PRIMARY for rule in rules)
    shown = {
        "name": on, "heading": heading, "table": table, "figure": figure, "rates": rates,
        "panels": panels_figure(book, on, groups, cells, rates) if panels else None,
        "gaps": []
        if few
        else matrices(book, f"Comparisons with the reference by {on}", groups, _kept(first, against=True)),
        "tests": fairness_tests.view(part.tests, on, rules, book),
    }  # fmt: skip
    data = fairness_scores.tables(book, on, part.scores)
    return shown | {
        "scores": matrices(book, f"Scores by {on}", groups, scored),
        "curves": fairness_scores.figure(book, on, groups, cells, part.scores, data=data),
        "curveless": fairness_scores.without(on, part.scores) if data else "",
        "conditional": fairness_control.view(part.conditional, on, book),
        "further": _further(part, book, on, groups, {m: rest[m] for m in rest if m not in first | scored}),
        "left": _left(on, len(left)),
        "suppressed": any(group.n is None for group in groups),
    }


def _further(part: FairnessPart, book: Book, on: str, groups: Sequence[Group], more: Pivot) -> Further | None:
    """What stands in the annex: beside the data of curves the other rates and comparisons, and tests of every pair."""
    if len(groups_in(groups, more)) <= TURNED_AT_MOST:
        matrices(book, f"Other rates by {on}", groups, more, annex=True)
    else:
        matrices(book, f"Other rates by {on}", groups, _kept(more, against=False), annex=True)
        matrices(book, f"Other comparisons with the reference by {on}", groups, _kept(more, against=True), annex=True)
    fairness_tests.pairs(part.tests, on, book)
    return book.put_off(f"Groups by {on}: other figures", f"annex-fairness-{on}")


def _kept(rows: Pivot, *, against: bool) -> Pivot:
    """Comparisons with a reference, or what is none."""
    return {measure: row for measure, row in rows.items() if compares(row) == against}


def _left(on: str, number: int) -> str:
    """How many measures of an attribute are in audit.json alone."""
    if not number:
        return ""
    counted = phrasing.plural(number, "further measure", "further measures")
    return f"In audit.json: {counted} by {on}, complements of those printed and ratios of rates that no rule judges."


def _printed(measure: str) -> bool:
    return measure not in COMPLEMENTS and not measure.endswith("_ratio")


def _overall(rows: Sequence[Measurement], book: Book) -> Table:
    pairs = [(Cell(book.title(m.measure)), estimate_cell(m.estimate, m.unit)) for m in rows]
    folds = 1 if len(pairs) <= FOLD else 2
    height = -(-len(pairs) // folds)
    pairs += [(Cell(wording.NONE), Cell(wording.NONE))] * (height * folds - len(pairs))
    lines = [Row(tuple(cell for pair in pairs[k::height] for cell in pair)) for k in range(height)]
    notes = methods_note([m.estimate for m in rows])
    columns = (Column("Measure"), Column("Value", numeric=True)) * folds
    return book.table("Over all evaluation records", columns, lines, notes=notes, sortable=folds == 1, splits=True)


def _main_table(book: Book, on: str, groups: Sequence[Group], cells: Pivot, rules: Sequence[Finding]) -> Table:
    shown = [measure for measure in PRIMARY if measure in cells]
    judged = [rule for rule in rules if rule.groups][:2]
    rows = []
    for group in groups:
        line = [_group_cell(group), _size_cell(group)]
        line += [measure_cell(group, cells[measure]) for measure in shown]
        line += [_verdict_cell(rule, group) for rule in judged]
        rows.append(Row(tuple(line)))
    columns = [Column("Group"), Column("Records", numeric=True)]
    columns += [Column(book.title(measure), numeric=True) for measure in shown]
    columns += [Column(f"Rule {rule.id}") for rule in judged]
    notes = methods_note([m.estimate for measure in shown for m in cells[measure].values()])
    table = book.table(f"Who was assessed, and how often selected, by {on}", columns, rows, notes=notes)
    book.shows(table, shown)
    return table


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


def _verdict_cell(rule: Finding, group: Group) -> Cell:
    for judged in rule.groups:
        if judged.group == group.group:
            waived = is_waived(rule) and judged.verdict == "breaches"
            word = wording.VERDICTS[judged.verdict].word + (", waived" if waived else "")
            return Cell(word, verdict=judged.verdict, waived=waived)
    return Cell("reference" if group.is_reference else "not judged")
