"""What the fairness chapter shows of the tests: widest gaps by attribute, and every pair on the selection rate."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.report.views import fairness_thresholds
from auditkit.result import AttributeTests, Finding, GapTest, PairTest

SHOWN = (
    "fairness.selection_rate",
    "fairness.tpr",
    "fairness.fpr",
    "fairness.ppv",
    "fairness.equalised_odds_difference",
)
SELECTION = "fairness.selection_rate"
ADJUSTED = {
    "simultaneous": "Šidák's adjustment",
    "holm": "Holm's adjustment",
    "bh": "Benjamini–Hochberg's adjustment",
}


def view(tests: Sequence[AttributeTests], on: str, rules: Sequence[Finding], book: Book) -> list[Table]:
    """The widest gaps of one attribute, and its tests of thresholds; none where it has no tests."""
    gaps = [_gaps(part, book, judged=_judged(rules)) for part in tests if part.on == on]
    return [*gaps, *fairness_thresholds.view(tests, on, book)]


def pairs(tests: Sequence[AttributeTests], on: str, book: Book) -> list[Table]:
    """Every group against the reference, for the annex; none where the attribute has no tests."""
    return [_pairs(part, book) for part in tests if part.on == on]


def _judged(rules: Sequence[Finding]) -> set[str]:
    """Measures of METRICS that a rule judges as they are, as differences or as ratios."""
    return {rule.measure.removesuffix("_difference").removesuffix("_ratio") for rule in rules}


def _gaps(part: AttributeTests, book: Book, *, judged: set[str]) -> Table:
    """Widest gap of each measure, its p-value, and which pairs are shown to be alike."""
    shown = [gap for gap in part.gaps if gap.measure in SHOWN or gap.measure in judged]
    columns = (
        Column("Measure", wide=True), Column("Widest gap", numeric=True), Column("Between"),
        Column("p", numeric=True), Column("Alike", width=20), Column("Detectable", numeric=True),
    )  # fmt: skip
    rows = [
        Row((
            Cell(book.title(gap.measure)), estimate_cell(gap.gap, "points"), Cell(_between(gap)),
            Cell(p(gap.p), sort="" if gap.p is None else repr(gap.p)), Cell(*_alike(part, gap.measure)),
            Cell(*fairness_thresholds.detectable(part, gap.measure)),
        ))
        for gap in shown
    ]  # fmt: skip
    methods = dict.fromkeys(gap.method for gap in shown if gap.method)
    notes = methods_note([gap.gap for gap in shown])
    notes += [f"p: {'; '.join(methods)}."] if methods else []
    notes += _left_out(shown)
    notes.append(
        f"Alike: groups whose difference from {part.reference} is shown to lie within {_points(part.margin)} points, "
        f"and whose ratio within {part.ratio_low:g}–{part.ratio_high:g} (two one-sided tests)."
    )
    notes.append(fairness_thresholds.detectable_note(part))
    return book.table(f"Widest gaps by {part.on}", columns, rows, notes=notes, sortable=False)


def _between(gap: GapTest) -> str:
    return f"{gap.highest} over {gap.lowest}" if gap.gap.known else wording.NONE


def _left_out(gaps: Sequence[GapTest]) -> list[str]:
    """How many groups a gap says nothing of."""
    least, most = min(gap.left_out for gap in gaps), max(gap.left_out for gap in gaps)
    if not most:
        return []
    counted = f"{most}" if least == most else f"up to {most}"
    return [f"Left out: {counted} of the groups, with too few records to be assessed or to be shown exactly."]


def _alike(part: AttributeTests, measure: str) -> tuple[str, str]:
    """How many pairs are within the margin, and within the ratio; in words where none could be tested."""
    own = [pair for pair in part.pairs if pair.measure == measure]
    tested = [pair for pair in own if pair.within_margin is not None]
    if not own:
        return wording.NONE, ""
    if not tested:
        return "insufficient evidence", ""
    margin, ratio = sum(t.within_margin is True for t in tested), sum(t.within_ratio is True for t in tested)
    return f"{margin} of {len(tested)} by difference", f"{ratio} of {len(tested)} by ratio"


def _pairs(part: AttributeTests, book: Book) -> Table:
    """Every group against the reference, on the selection rate."""
    own = [pair for pair in part.pairs if pair.measure == SELECTION]
    columns = (
        Column("Group"), Column("z test", numeric=True), Column("Fisher", numeric=True),
        Column("Adjusted", numeric=True),
        Column("Detectable gap", numeric=True), Column("Difference", numeric=True), Column("Ratio", numeric=True),
    )  # fmt: skip
    rows = [_pair_row(part, pair) for pair in own]
    notes = [f"Reference: {part.reference}. p-values are two-sided; adjusted: {ADJUSTED[part.multiplicity]}."]
    notes.append(
        f"Detectable gap: the smallest difference that so many records find with a probability of {part.power:g}."
    )
    notes += methods_note([e for pair in own for e in (pair.difference, pair.ratio)])
    why = dict.fromkeys(pair.withheld for pair in own if pair.withheld and not pair.withheld.startswith("reference"))
    notes += [f"{reason[0].upper()}{reason[1:]}." for reason in why if reason.startswith("p-values")]
    return book.table(f"Tests of the selection rate by {part.on}", columns, rows, notes=notes, even=True, annex=True)


def _pair_row(part: AttributeTests, pair: PairTest) -> Row:
    if not pair.difference.known and pair.detectable is None:
        nothing = [Cell(wording.NONE) for _ in range(5)]
        return Row((Cell(pair.group), *nothing, Cell(wording.NONE)))
    numbers = [Cell(p(x), sort="" if x is None else repr(x)) for x in (pair.z_p, pair.fisher_p, pair.adjusted_p)]
    gap = wording.NONE if pair.detectable is None else wording.value(pair.detectable, "points")
    return Row((
        Cell(pair.group), *numbers, Cell(gap), _equivalence(pair, "points"), _equivalence(pair, "ratio"),
    ))  # fmt: skip


def _equivalence(pair: PairTest, unit: str) -> Cell:
    estimate, within = (pair.difference, pair.within_margin) if unit == "points" else (pair.ratio, pair.within_ratio)
    cell = estimate_cell(estimate, unit)
    words = {True: "; shown to be alike", False: "", None: ""}[within]
    return Cell(cell.text, f"{cell.detail}{words}", sort=cell.sort)


def p(value: float | None) -> str:
    """Three decimals, or below a thousandth only that."""
    if value is None:
        return wording.NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _points(margin: float) -> str:
    return f"{100 * margin:g}"
