"""The two figures of an attribute: selection rates with impact ratios, and the error rates as small multiples."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import charts, phrasing, wording
from auditkit.report.book import Book, Figure, Pivot, Table
from auditkit.report.drawing import short
from auditkit.result import Estimate, Finding, Group, Measurement

FOUR_FIFTHS = 0.8
LINES = (FOUR_FIFTHS, 1.25)
PANELS = ("fairness.tpr", "fairness.fpr", "fairness.ppv")
GROUPS_AT_MOST = 6
"""Groups beyond which the small multiples are left out; the table has the numbers."""
SELECTION, IMPACT = "fairness.selection_rate", "fairness.impact_ratio"


def main_figure(
    book: Book, on: str, groups: Sequence[Group], cells: Pivot, *, rules: Sequence[Finding], table: Table
) -> Figure | None:
    """Selection rate and impact ratio of every group with a known rate; None when there is none."""
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
        words += " Grey line: reference."
    if ratios:
        words += " Diamond, shaded zone: below four-fifths of it. Dashed: 0.80, 1.25 and the rule."
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


def panels_figure(book: Book, on: str, groups: Sequence[Group], cells: Pivot, tables: Sequence[Table]) -> Figure | None:
    """True-positive, false-positive and positive predictive rates side by side; None when none is known."""
    measures = [m for m in PANELS if m in cells]
    shown = [g for g in groups if any(g.group in cells[m] and cells[m][g.group].estimate.known for m in measures)]
    if not measures or not shown or not tables or len(shown) > GROUPS_AT_MOST:
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
            words.append(f"the {phrasing.lowered(book.title(measure))} runs from {low} to {high}")
    alt = (
        f"Dot plots with intervals, one panel per rate, by {on}: {'; '.join(words)}. Data in Table {tables[0].number}."
    )
    title = f"By {on}, {words[0]}" if words else f"Rates by {on}"
    return book.figure(
        title, alt, charts.small_multiples(tuple(panels)), note="Dot: observed value; bar: interval; line: reference."
    )
