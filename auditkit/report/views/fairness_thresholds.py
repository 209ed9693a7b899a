"""What groups' records could show, and every group against the rules' thresholds where verdicts rest on such tests."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Row, Table
from auditkit.result import AttributeTests

ADJUSTED = {"holm": "Holm's adjustment", "bh": "Benjamini–Hochberg's adjustment"}


def detectable(part: AttributeTests, measure: str) -> tuple[str, str]:
    """The largest of the groups' detectable gaps, and whose; and how many groups' records find no gap at all."""
    own = [pair for pair in part.pairs if pair.measure == measure and pair.difference.known]
    found = [(pair.detectable, pair.group) for pair in own if pair.detectable is not None]
    if not found:
        return wording.NONE, ""
    largest, group = max(found)
    without = len(own) - len(found)
    return wording.value(largest, "points"), group + (f"; {without} find none" if without else "")


def detectable_note(part: AttributeTests) -> str:
    """What the column says."""
    return (
        f"Detectable: the difference from {part.reference} that every group's records find with a probability of "
        f"{part.power:g}, and the group that needs one so large; a rate and its complement need the same."
    )


def view(tests: Sequence[AttributeTests], on: str, book: Book) -> list[Table]:
    """The tests of thresholds on one attribute; none where verdicts rest on the intervals."""
    own = next((part for part in tests if part.on == on and part.thresholds), None)
    return [] if own is None else [_table(own, book)]


def _table(part: AttributeTests, book: Book) -> Table:
    columns = (
        Column("Measure", wide=True), Column("Group"), Column("Threshold", numeric=True), Column("p", numeric=True),
        Column("Adjusted", numeric=True),
    )  # fmt: skip
    rows = [
        Row((
            Cell(book.title(test.measure)), Cell(test.group), Cell(f"{test.threshold:g}", sort=repr(test.threshold)),
            _p(test.p), _p(test.adjusted_p),
        ))
        for test in part.thresholds
    ]  # fmt: skip
    notes = [
        f"Two-sided, from the limits of the measure's interval; {ADJUSTED[part.multiplicity]} over the groups of a "
        "rule. The policy has its verdicts rest on these tests; the intervals hold together in one step."
    ]
    return book.table(f"Tests of the thresholds by {part.on}", columns, rows, notes=notes, even=True)


def _p(value: float) -> Cell:
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", sort=repr(value))
