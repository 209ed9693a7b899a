"""What the model gives away about who was in its training data, and what these data cannot resolve."""

from __future__ import annotations

from auditkit.report import charts, phrasing, wording
from auditkit.report.book import Book, Cell, Column, Figure, Row, Table, count_cell, estimate_cell, methods_note
from auditkit.report.views import canaries, exposed, inference, screen
from auditkit.result import AttackPart, AuditResult, Duplicates, Exposure, PrivacyPart, ResolutionRow, RiskBand

JOINED = "Bands that would tell of a few persons are joined."
SCATTER = (
    "Each risk is the mean of what the retrained models leave possible, drawn to what all training records have in "
    "common; a record counts as exposed only by the lower limit of its own interval."
)
ATTACKERS = {
    "loss": "The attacker sees the model's answer for the record.",
    "retrained": "The attacker has the same retrained models, read in another way.",
    "features": (
        "The attacker needs no retrained models: he knows the record's features and label, and the answers for some "
        "records that the model never saw. What he learned from them is measured on others."
    ),
    "course": (
        "The attacker saw the training or holds its checkpoints, as a developer does; one who uses the model does not."
    ),
}
COIN = (
    "The threshold is read off all reserve records on which the attack was not fitted, so that it meets the rate "
    "exactly on them; its interval says what rate it may have on others. Among records of equal score the attacker "
    "tosses a coin."
)
EXPECTED_AT_LEAST = 10.0
"""Expected false positives below which a point of the curve is not drawn."""


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """Gap and attack, resolution, curve, the uncalibrated screen, duplicates, threat model, what was not tested."""
    part = result.privacy
    measures = _measures(book, part) if part.measurements else None
    plain = f"Success of the attack “{part.attack}” at fixed false-positive rates"
    resolution = _resolution(book, part.resolution, plain) if part.resolution else None
    if resolution is not None:
        rates = [row.tpr for row in part.resolution]
        book.shows(resolution, [m.measure for m in part.measurements if m.estimate in rates])
    return {
        "part": part,
        "measures": measures,
        "resolution": resolution,
        "roc": _roc(book, part, resolution) if resolution is not None else None,
        "strongest": [
            "; ".join([f"{book.title(m.measure)}: {wording.sentence(m.estimate, m.unit)}", *m.parts])
            for m in part.measurements
            if m.parts and wording.names_no_attack(m.measure)
        ],
        "unresolved": [row for row in part.resolution if not row.tpr.known],
        "attacks": [_attack(book, found) for found in part.attacks[:1]],
        "more_attacks": _more_attacks(book, part.attacks[1:]),
        "more_sources": [_attacker(found) for found in part.attacks[1:]],
        "inference": inference.view(book, part.inference) if part.inference is not None else None,
        "exposure": _exposure(book, part.exposure) if part.exposure is not None else None,
        "exposed": exposed.view(book, part.exposure) if part.exposure is not None else None,
        "screen": screen.view(book, part.screen) if part.screen is not None else None,
        "duplicates": _duplicates(book, part.duplicates) if part.duplicates is not None else None,
        "structure": exposed.structure(book, part.structure) if part.structure is not None else None,
        "epsilon": canaries.view(book, part.epsilon) if part.epsilon is not None else None,
        "threats": canaries.threats(book, part.threats),
    }


def _measures(book: Book, part: PrivacyPart) -> Table:
    """Every measure that no table of its own shows."""
    resolved = [row.tpr for rows in (part.resolution, *(a.resolution for a in part.attacks)) for row in rows]
    shown = [
        m for m in part.measurements
        if (part.screen is None or m not in part.screen.by_group)
        and (part.epsilon is None or m.measure not in {bound.name for bound in part.epsilon.bounds})
        and (part.exposure is None or m not in part.exposure.by_group)
        and not ("_at_fpr_" in m.measure and m.estimate in resolved)
    ]  # fmt: skip
    rows = [
        Row((
            Cell(book.title(m.measure), book.place(m)),
            estimate_cell(m.estimate, m.unit),
            Cell(m.estimate.method or ("not stated" if m.estimate.known else wording.NONE), "; ".join(m.parts)),
        ))
        for m in shown
    ]  # fmt: skip
    columns = (Column("Measure", wide=True), Column("Value", numeric=True), Column("Method"))
    table = book.table("What an attacker gains on average", columns, rows)
    book.shows(table, [m.measure for m in shown])
    return table


def _attack(book: Book, found: AttackPart) -> dict[str, object]:
    title = f"Success of the attack “{found.title}” at fixed false-positive rates"
    table = _resolution(book, found.resolution, title) if found.resolution else None
    return {"attack": found, "table": table, "roc": None if table is None else _roc(book, found, table)}


def _attacker(found: AttackPart) -> str:
    """An attack, its source, and what its attacker has; or why it was not run."""
    if found.status != "assessed":
        return f"{found.title} ({found.source}). Not run: {found.reason}."
    return f"{found.title} ({found.source}). {ATTACKERS[found.needs]}"


def _more_attacks(book: Book, found: tuple[AttackPart, ...]) -> Table | None:
    """The other attacks side by side; nothing where none was run."""
    rows = [
        Row((
            Cell(attack.title), Cell(wording.percent(row.false_positive_rate)), estimate_cell(row.tpr, "rate"),
            estimate_cell(row.realised_fpr, "rate"),
        ))
        for attack in found
        for row in attack.resolution
    ]  # fmt: skip
    columns = (
        Column("Attack", wide=True), Column("False-positive rate aimed at", numeric=True),
        Column("True-positive rate", numeric=True), Column("False-positive rate of the threshold", numeric=True),
    )  # fmt: skip
    notes = methods_note([row.tpr for attack in found for row in attack.resolution])
    return book.table("Success of the further attacks", columns, rows, notes=notes, annex=True) if rows else None


def _resolution(book: Book, found: tuple[ResolutionRow, ...], title: str) -> Table:
    rows = []
    for row in found:
        times = "" if row.tpr.value is None else f"{row.tpr.value / row.false_positive_rate:.2f}"
        needed = "enough" if row.needed_n is None else f"needs {row.needed_n:,} non-members"
        rows.append(
            Row((
                Cell(wording.percent(row.false_positive_rate)), estimate_cell(row.tpr, "rate"),
                Cell(times or wording.NONE), estimate_cell(row.realised_fpr, "rate"),
                Cell(f"{row.expected_false_positives:g}", needed),
            ))
        )  # fmt: skip
    columns = (
        Column("False-positive rate aimed at", numeric=True), Column("True-positive rate", numeric=True),
        Column("Times chance", numeric=True), Column("False-positive rate of the threshold", numeric=True),
        Column("Expected false positives", numeric=True),
    )  # fmt: skip
    notes = [*methods_note([row.tpr for row in found]), COIN]
    return book.table(title, columns, rows, notes=notes)


def _roc(book: Book, part: PrivacyPart | AttackPart, table: Table) -> Figure | None:
    if part.roc is None:
        return None
    floor = _resolved_from(part.resolution)
    points = tuple(
        charts.RocPoint(p.x, p.y, p.low if p.low else None, p.high) for p in part.roc.points if p.x >= floor and p.y > 0
    )
    if len(points) < 2:
        return None
    operating = tuple(
        charts.RocPoint(row.false_positive_rate, row.tpr.value, row.tpr.low, row.tpr.high, _operating_label(row))
        for row in part.resolution
        if row.tpr.value and row.false_positive_rate >= floor
    )
    lead = operating[0] if operating else None
    name = part.title if isinstance(part, AttackPart) else part.attack
    subject = f"The attack “{name}”" if isinstance(part, AttackPart) else "The attack"
    title = f"{subject} reaches {lead.label}" if lead else f"{subject}: the curve where the data resolve it"
    values = "; ".join(point.label for point in operating)
    alt = (
        f"Line plot on log axes: true-positive rate of the {name or 'membership'} attack against its "
        f"false-positive rate, from {wording.percent(points[0].x)} on, with the chance line. {values}. "
        f"Data in Table {table.number}."
    )
    note = (
        "Line: attack; band: interval; dotted: chance; diamond: rates of the table. "
        "Nothing is drawn below the rate that the data resolve."
    )
    return book.figure(title, alt, charts.roc(points, operating), note=note)


def _operating_label(row: ResolutionRow) -> str:
    at = wording.percent(row.false_positive_rate)
    return f"{wording.value(row.tpr.value, 'rate')} true positives at {at} false positives"


def _resolved_from(rows: tuple[ResolutionRow, ...]) -> float:
    """The smallest false-positive rate at which the reserve holds ten false positives."""
    sizes = [row.expected_false_positives / row.false_positive_rate for row in rows]
    return min(EXPECTED_AT_LEAST / max(sizes), 1.0) if sizes and max(sizes) > 0 else 1.0


def _exposure(book: Book, found: Exposure) -> dict[str, object]:
    rows = [
        Row((Cell(_between(band)), estimate_cell(band.share, "share"))) for band in found.bands
    ]
    columns = (Column("Risk of the record"), Column("Share of training records", numeric=True, wide=True))
    notes = [*methods_note([band.share for band in found.bands]), JOINED, SCATTER]
    bands = book.table("Membership risk of the training records", columns, rows, notes=notes) if rows else None
    return {
        "exposure": found,
        "average": wording.sentence(found.average, "score") if found.average is not None else "",
        "flagged": wording.sentence(found.flagged, "share") if found.flagged is not None else "",
        "smallest": "" if found.p_steps is None else f"1 in {found.p_steps:,}",
        "smaller": (found.learned_from or 0) < 0.95 * (found.audited_learned_from or 0),
        "maximum": next((_between(band) for band in found.bands[::-1] if band.share.events != 0), ""),
        "bands": bands,
        "by": _exposed_by(book, found),
    }


def _between(band: RiskBand) -> str:
    edge = "at most" if band.high == 1 else "below"
    return f"from {band.low:.2f}, {edge} {band.high:.2f}"


def _exposed_by(book: Book, found: Exposure) -> Table | None:
    known = [m for m in found.by_group if m.estimate.known]
    hidden = [f"{m.on} = {m.group}" for m in found.by_group if not m.estimate.known]
    rows = [Row((Cell(f"{m.on} = {m.group}"), estimate_cell(m.estimate, m.unit))) for m in known]
    notes = methods_note([m.estimate for m in known])
    if hidden:
        notes.append(f"Not shown, as it would tell of a few persons or there are none: {phrasing.listed(hidden)}.")
    columns = (Column("Group"), Column("Share marked as exposed", numeric=True, wide=True))
    return book.table("Who is marked as exposed", columns, rows, notes=notes) if rows else None


def _duplicates(book: Book, found: Duplicates) -> dict[str, object]:
    rows = [
        Row((Cell("Within training"), count_cell(found.exact_in_train), count_cell(found.near_in_train))),
        Row((Cell("Between training and other splits"), count_cell(found.exact_across), count_cell(found.near_across))),
    ]
    columns = (Column("Pairs", wide=True), Column("Exact", numeric=True), Column("Near", numeric=True))
    copied = None if found.copied is None else exposed.banded(found.copied, "share")
    return {"copied": copied, "table": book.table("Duplicate records", columns, rows, notes=[found.rule, *found.notes])}
