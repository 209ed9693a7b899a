"""Persons instead of records, groups and slices, records that also widen a gap, and the structural checks."""

from __future__ import annotations

from auditkit.report import phrasing, wording
from auditkit.report.book import Book, Cell, Column, Row, Table, estimate_cell, methods_note
from auditkit.result import Estimate, Exposure, PersonRisk, RiskBand, StructuralCheck, Structure, WhoIsExposed

JOINED = "Bands that would tell of a few persons are joined."
DRAWN = (
    "Means are drawn to what all training records have in common, so differences between lines are rather understated; "
    "intervals speak of these records, each on its own."
)


def view(book: Book, found: Exposure) -> dict[str, object]:
    """Risk by persons, by group and slice, and beside the gaps."""
    return {
        "persons": None if found.persons is None else _persons(book, found, found.persons),
        "who": None if found.who is None else _who(book, found.who),
    }


def structure(book: Book, found: Structure) -> Table:
    """The structural checks as one table."""
    rows = [
        Row((Cell(check.name, "look at this" if check.warns else ""), _checked(check), Cell(check.meaning)))
        for check in found.checks
    ]
    columns = (Column("Check", width=30), Column("Value", numeric=True), Column("What it means", wide=True))
    notes = methods_note([check.estimate for check in found.checks])
    return book.table("Structural checks of data and model", columns, rows, notes=notes, sortable=False, splits=True)


def between(band: RiskBand) -> str:
    """`from 0.60, below 0.75`."""
    return f"from {band.low:.2f}, {'at most' if band.high == 1 else 'below'} {band.high:.2f}"


def banded(estimate: Estimate, unit: str) -> Cell:
    """A number with what stands under it; where only a band may be shown, the band."""
    if estimate.known or estimate.low is None:
        return estimate_cell(estimate, unit)
    text = wording.interval(estimate, unit)
    n = "" if estimate.n is None else f"n = {estimate.n:,}, "
    return Cell(text or f"at least {estimate.low:,.0f}", f"{n}{wording.why_withheld(estimate)}")


def _persons(book: Book, by_record: Exposure, found: PersonRisk) -> dict[str, object]:
    if found.status != "assessed":
        return {"persons": found, "table": None, "bands": None}
    pairs = (
        ("Average risk", by_record.average, found.average, "score"),
        ("Share marked as exposed", by_record.flagged, found.flagged, "share"),
    )
    nothing = Estimate(value=None)
    rows = [Row((Cell(name), banded(one or nothing, unit), banded(two or nothing, unit)))
            for name, one, two, unit in pairs]  # fmt: skip
    columns = (
        Column("Figure", wide=True), Column("Of training records", numeric=True), Column("Of persons", numeric=True),
    )  # fmt: skip
    notes = methods_note([e for _, one, two, _ in pairs for e in (one, two) if e is not None])
    table = book.table("Membership risk by record and by person", columns, rows, notes=notes)
    shares = [Row((Cell(between(band)), banded(band.share, "share"))) for band in found.bands]
    titles = (Column("Risk of the person"), Column("Share of persons", numeric=True, wide=True))
    notes = [*methods_note([band.share for band in found.bands]), JOINED]
    return {
        "persons": found,
        "several": "" if found.several is None else wording.sentence(found.several, "share"),
        "table": table,
        "bands": book.table("Membership risk of persons", titles, shares, notes=notes) if shares else None,
        "maximum": next((between(band) for band in found.bands[::-1] if band.share.events != 0), ""),
        "smallest": "" if found.p_steps is None else f"1 in {found.p_steps:,}",
    }


def _who(book: Book, who: WhoIsExposed) -> dict[str, object]:
    return {"who": who, "groups": _groups(book, who), "slices": _slices(book, who), "gaps": _gaps(book, who)}


def _groups(book: Book, who: WhoIsExposed) -> Table | None:
    known = [m for m in who.by_group if m.estimate.known]
    hidden: dict[str, list[str]] = {}
    for m in who.by_group:
        if not m.estimate.known:
            hidden.setdefault(wording.why_withheld(m.estimate), []).append(f"{m.on} = {m.group}")
    rows = [Row((Cell(f"{m.on} = {m.group}"), estimate_cell(m.estimate, m.unit))) for m in known]
    notes = [*methods_note([m.estimate for m in known]), DRAWN]
    notes += [f"Not shown ({why}): {phrasing.listed(names)}." for why, names in hidden.items()]
    columns = (Column("Group"), Column("Mean risk of its training records", numeric=True, wide=True))
    title = "Mean membership risk by group"
    return book.table(title, columns, rows, notes=notes, inline=True, annex=True) if rows else None


def _slices(book: Book, who: WhoIsExposed) -> Table | None:
    rows = [Row((Cell(s.name, s.why), banded(s.average, "score"), banded(s.flagged, "share"))) for s in who.slices]
    columns = (
        Column("Slice of the training records", wide=True), Column("Mean risk", numeric=True),
        Column("Share marked as exposed", numeric=True),
    )  # fmt: skip
    notes = [*methods_note([e for s in who.slices for e in (s.average, s.flagged)]), DRAWN]
    return book.table("Membership risk by slice", columns, rows, notes=notes) if rows else None


def _gaps(book: Book, who: WhoIsExposed) -> Table | None:
    rows = [Row((Cell(g.name), banded(g.both, "share"), banded(g.expected, "share"))) for g in who.gaps]
    columns = (
        Column("Gap in mean favourable score", wide=True), Column("Marked, of those that widen it most", numeric=True),
        Column("Expected by chance", numeric=True),
    )  # fmt: skip
    notes = methods_note([e for g in who.gaps for e in (g.both, g.expected)])
    title = f"Training {who.gaps_unit} that widen a gap and are exposed"
    return book.table(title, columns, rows, notes=notes, inline=True, splits=True, annex=True) if rows else None


def _checked(check: StructuralCheck) -> Cell:
    cell = banded(check.estimate, check.unit)
    if check.unit == "count" and check.estimate.known:
        return Cell(cell.text, f"of {check.of}", sort=cell.sort)
    return Cell(cell.text, f"{cell.detail}; of {check.of}" if check.unit == "share" else cell.detail, sort=cell.sort)
