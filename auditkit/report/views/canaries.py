"""Lower limits of epsilon, the canaries behind one of them, the claim beside them, and the attacks that were run."""

from __future__ import annotations

from auditkit.report import wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell
from auditkit.result import CanaryPart, ClaimPart, EpsilonBound, EpsilonPart, Estimate, ThreatRow

EACH = "Each limit holds at its own level; all together hold at a lower one."
RELATIONS = {
    ("replace", "record"): "a record replaced by another",
    ("replace", "person"): "a person's records replaced by those of others",
    ("add-or-remove", "record"): "a record added or not",
    ("add-or-remove", "person"): "a person's records added or not",
}


def view(book: Book, part: EpsilonPart) -> dict[str, object]:
    """The table of limits, what they assume, the canaries, and the claim."""
    measured = [bound for bound in part.bounds if bound.status == "assessed"]
    canaries = part.canaries if part.canaries is not None and part.canaries.status == "assessed" else None
    most = next((bound for bound in measured if bound.most is not None), None)
    return {
        "table": _bounds(book, part.bounds) if measured else None,
        "absent": [bound for bound in part.bounds if bound.status != "assessed"],
        "assumes": [(bound.title, bound.assumes) for bound in measured],
        "canaries": canaries,
        "counts": _counts(book, canaries) if canaries is not None and len(canaries.counts) > 1 else None,
        "most": None if most is None or most.most is None else wording.value(most.most, "score"),
        "at_most": most is not None and most.bound.value is not None and most.bound.value >= (most.most or 0.0),
        "nothing": [bound.title for bound in measured if bound.bound.value == 0],
        "claim": part.claim,
        "points": () if part.claim is None else part.claim.points,
        "held": _held(book, part.claim) if part.claim is not None and part.claim.held else None,
        "contradicted": part.claim is not None and any(row.warns for row in part.claim.held),
    }


def threats(book: Book, rows: tuple[ThreatRow, ...]) -> Table | None:
    """One row an attack: what its attacker has, and whether it was run."""
    if not rows:
        return None
    cells = [
        Row((
            Cell(row.attack, f"{row.goal}; {row.stage.lower()}"), Cell(row.knowledge), Cell(row.capability),
            Cell("run" if row.run else "not run"),
        ))
        for row in rows
    ]  # fmt: skip
    columns = (
        Column("Attack, goal and stage"), Column("Attacker's knowledge", wide=True), Column("Attacker's capability"),
        Column("Here"),
    )  # fmt: skip
    return book.table("Attacks of the threat model", columns, cells, sortable=False, splits=True, annex=True)


def _bounds(book: Book, bounds: tuple[EpsilonBound, ...]) -> Table:
    rows = [
        Row((
            Cell(bound.title, _apart(bound)), _limit(bound.bound),
            _rate(bound.true_positives), _rate(bound.false_positives),
        ))
        for bound in bounds
        if bound.status == "assessed"
    ]  # fmt: skip
    columns = (
        Column("About", wide=True), Column("Epsilon is at least", numeric=True),
        Column("True-positive rate", numeric=True), Column("False-positive rate", numeric=True),
    )  # fmt: skip
    return book.table("Lower limits of epsilon", columns, rows, notes=_notes(bounds), sortable=False)


def _counts(book: Book, part: CanaryPart) -> Table:
    """Every number of guesses that was looked at, and what it shows."""
    rows = [
        Row((
            Cell(f"{count.guesses:,}"), Cell(f"{count.right:,}"), Cell(wording.value(count.bound, "score")),
            Cell(wording.value(count.most, "score")),
        ))
        for count in part.counts
    ]  # fmt: skip
    columns = (
        Column("Guesses", numeric=True), Column("Right", numeric=True), Column("Epsilon is at least", numeric=True),
        Column("At most, all being right", numeric=True),
    )  # fmt: skip
    notes = [f"Each number of guesses at a level of {100 * part.counts[0].level:g} %; the largest limit stands."]
    return book.table("Canaries by number of guesses", columns, rows, notes=notes, sortable=False, annex=True)


def _apart(bound: EpsilonBound) -> str:
    """By which attack, on how many models, and what it tells apart."""
    models = "" if bound.models is None else f"mean over {bound.models} models"
    parts = (bound.attack, models, RELATIONS[bound.relation, bound.unit])
    return "; ".join(part for part in parts if part)


def _notes(bounds: tuple[EpsilonBound, ...]) -> list[str]:
    shown = [bound for bound in bounds if bound.status == "assessed"]
    levels = ", ".join(dict.fromkeys(f"{100 * bound.bound.level:g} %" for bound in shown))
    deltas = ", ".join(dict.fromkeys(f"{bound.delta:g}" for bound in shown))
    rates = ", ".join(dict.fromkeys(wording.percent(b.aimed_fpr) for b in shown if b.aimed_fpr is not None))
    notes = [f"Level of each limit: {levels}, one-sided. Delta: {deltas}. {EACH}"]
    if rates:
        notes.append(f"Thresholds were set elsewhere, at a false-positive rate of {rates} stated beforehand.")
    return [*notes, *(f"{bound.title}: {bound.bound.method}." for bound in shown)]


def _limit(bound: Estimate) -> Cell:
    return Cell(wording.shown(bound, "score"), wording.basis(bound, "score", bare=True))


def _rate(found: Estimate | None) -> Cell:
    return Cell(wording.NONE) if found is None else estimate_cell(found, "rate")


def _held(book: Book, claim: ClaimPart) -> Table:
    rows = [
        Row((Cell(row.name), Cell(wording.NONE if row.value is None else wording.value(row.value, "score")),
             Cell(row.text)))
        for row in claim.held
    ]  # fmt: skip
    columns = (Column("Limit"), Column("Epsilon is at least", numeric=True), Column("Against the claim", wide=True))
    return book.table("The claim of differential privacy against the limits", columns, rows, sortable=False)
