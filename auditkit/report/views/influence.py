"""Which training records the measures rest on, as patterns: never a record, always a direction and a unit."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import charts, phrasing, wording
from auditkit.report.book import Book, Cell, Column, Figure, Row, Table, count_cell, estimate_cell, methods_note
from auditkit.report.drawing import short
from auditkit.report.views.influence_method import method, quality, trust
from auditkit.result import AuditResult, Composition, CompositionRow, Estimate, InfluencePart, SliceInfluence

DETAILED_KINDS = ("slice", "case", "gap")
DETAILED_AT_MOST = 4
ROWS_AT_MOST = 5
DIRECTIONS = {"lowers": "lower", "raises": "raise"}


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """The method, every measure in one table, then the patterns of the slices and gaps that the policy names."""
    part = result.influence
    detailed = _detailed(part.slices)
    overview = _overview(book, part) if part.slices else None
    others = [s for s in part.slices if s.compositions and s not in detailed]
    return {
        "part": part,
        "method": method(part),
        "trust": trust(part),
        "overview": overview,
        "withheld": [s for s in part.slices if s.withheld],
        "slices": [_slice(book, item) for item in detailed],
        "others": _strongest(book, others) if others else None,
        "quality": quality(book, part) if part.quality else None,
    }


def _detailed(slices: Sequence[SliceInfluence]) -> list[SliceInfluence]:
    """Slices, cases and gaps first; where the policy names none, the groups themselves."""
    told = [s for s in slices if s.compositions]
    return [s for s in told if s.kind in DETAILED_KINDS][:DETAILED_AT_MOST] or told[:2]


def _overview(book: Book, part: InfluencePart) -> Table:
    rows = []
    measured, sized = (
        any(estimate is not None for estimate in estimates)
        for estimates in ([item.fidelity for item in part.slices], [item.size for item in part.slices])
    )
    for item in part.slices:
        share = "" if item.share_in_top_1pct is None else wording.value(item.share_in_top_1pct, "share")
        cells = (
            Cell(item.name, "" if item.kind == "gap" else f"{item.why}; {item.measure}"),
            count_cell(item.n),
            Cell("withheld" if item.withheld else _level(item)),
            Cell(wording.effect(item.p99_raises, item.unit)),
            Cell(wording.effect(item.p99_lowers, item.unit)),
            Cell(share or wording.NONE),
            *([_estimate(item.fidelity)] if measured else []),
            *([_estimate(item.size)] if sized else []),
        )
        rows.append(Row(cells))
    columns = (
        Column("Measured on", wide=True, width=35), Column("n", numeric=True), Column("Measure", numeric=True),
        Column("Raising effect, 99th percentile", numeric=True),
        Column("Lowering effect, 99th percentile", numeric=True),
        Column(f"Carried by the top 1{wording.NBSP}%", numeric=True),
        *([Column("Fidelity", numeric=True, tight=True)] if measured else []),
        *([Column("Slope", numeric=True, tight=True)] if sized else []),
    )  # fmt: skip
    notes = [
        "Effects are predicted changes of the measure if one training record were removed and the model retrained. "
        "For a gap, the measure is the gap in mean favourable score, and n counts the group named first. "
        "The last column is the share of the summed absolute effect that one record in a hundred carries.",
    ]
    if measured:
        notes.append("Beneath the fidelity: its interval and the number of models.")
    if sized:
        notes.append(
            "Slope: of retrained on predicted changes, over models retrained on random halves of the records, with its "
            "interval; at 1 effects have the size of such changes. A half is a larger change than one record, so the "
            "slope is no factor for a single effect."
        )
    elif measured or any(item.p99_raises is not None for item in part.slices):
        notes.append("Order, not size: no retrained model says how large the effects are.")
    return book.table("Every measure whose training records were ranked", columns, rows, notes=notes)


def _estimate(estimate: Estimate | None) -> Cell:
    return Cell(wording.NONE) if estimate is None else estimate_cell(estimate, "score")


def _level(item: SliceInfluence) -> str:
    """The measure itself: a mean score is a number from 0 to 1, a gap is in points, a loss in nats."""
    if item.value is None:
        return wording.NONE
    unit = "score" if item.unit == "points" and not item.measure.startswith("gap") else item.unit
    return wording.value(item.value, unit)


def _slice(book: Book, item: SliceInfluence) -> dict[str, object]:
    heading = book.heading(item.name, f"influence-{item.name}")
    by_direction = {d: [c for c in item.compositions if c.direction == d] for d in DIRECTIONS}
    tables = {d: _composition(book, item, d, found) for d, found in by_direction.items() if found}
    return {
        "heading": heading, "item": item, "tables": list(tables.values()),
        "figure": _figure(book, item, by_direction, tables), "words": _words(item, by_direction),
    }  # fmt: skip


def _smallest(found: Sequence[Composition]) -> Composition:
    return min(found, key=lambda c: c.top_share)


def _ranked(found: Composition) -> list[CompositionRow]:
    """Levels by how far their share among the top records stands above their share among all."""
    return sorted(found.rows, key=lambda row: row.base_share - _at(row))


def _at(row: CompositionRow) -> float:
    """Where a share stands: its value, or the lower limit of a band (`all of them but at most 9`)."""
    return (row.share.low or 0.0) if row.share.value is None else row.share.value


def _banded(share: Estimate) -> bool:
    """A share that is told as limits only, because an exact count would tell of fewer than the minimum cell."""
    return share.value is None and share.low is not None and share.high is not None


def _share_cell(share: Estimate) -> Cell:
    if not _banded(share):
        return estimate_cell(share, "share")
    return Cell(wording.interval(share, "share"), _band_basis(share), sort=repr(share.low))


def _band_basis(share: Estimate) -> str:
    """`banded` and n; what a band covers is said once, in a note under the table."""
    return "banded" if share.n is None else f"banded, n{wording.NBSP}={wording.NBSP}{share.n:,}"


def _band_notes(shares: Sequence[Estimate]) -> list[str]:
    """What the bands of a table cover, once each."""
    return [f"Banded: {text}." for text in dict.fromkeys(s.withheld for s in shares if _banded(s))]


def _share_words(share: Estimate) -> str:
    if not _banded(share):
        return wording.sentence(share, "share")
    return f"{wording.interval(share, 'share')} ({wording.level(share)}, {_band_basis(share)})"


def _words(item: SliceInfluence, by_direction: dict[str, list[Composition]]) -> list[str]:
    words = []
    for direction, found in by_direction.items():
        ranked = _ranked(_smallest(found)) if found else []
        if ranked:
            row, top = ranked[0], _smallest(found)
            words.append(
                f"Among the {top.n:,} records whose removal is predicted to {DIRECTIONS[direction]} the "
                f"{item.measure} most, {row.column} = {row.level} makes up "
                f"{_share_words(row.share)}, against {wording.value(row.base_share, 'share')} of all."
            )
    return words


def _composition(book: Book, item: SliceInfluence, direction: str, found: Sequence[Composition]) -> Table:
    ordered = sorted(found, key=lambda c: c.top_share)
    ranked = _ranked(ordered[0])
    shares = [{(row.column, row.level): row for row in c.rows} for c in ordered]
    rows = []
    for row in ranked[:ROWS_AT_MOST]:
        key = (row.column, row.level)
        cells = [Cell(f"{row.column} = {row.level}")]
        cells += [_share_cell(s[key].share) if key in s else Cell(wording.NONE) for s in shares]
        cells += [Cell(wording.value(row.base_share, "share")), _lift(row)]
        rows.append(Row(tuple(cells)))
    columns = [Column("Pattern", wide=True)]
    columns += [
        Column(f"Among the top {wording.percent(c.top_share)} ({c.n:,} records)", numeric=True) for c in ordered
    ]
    columns += [Column("Among all", numeric=True), Column("Times as frequent", numeric=True)]
    notes = methods_note([row.share for row in ranked[:ROWS_AT_MOST]], place="Beside")
    keys = [(row.column, row.level) for row in ranked[:ROWS_AT_MOST]]
    notes += _band_notes([s[key].share for key in keys for s in shares if key in s])
    if len(ranked) > ROWS_AT_MOST:
        notes.append(
            f"{phrasing.plural(len(ranked) - ROWS_AT_MOST, 'further level is', 'further levels are')} in audit.json."
        )
    title = f"Records whose removal is predicted to {DIRECTIONS[direction]} the {item.measure} of {item.name}"
    return book.table(title, columns, rows, notes=[" ".join(notes)], inline=True, annex=True)


def _lift(row: CompositionRow) -> Cell:
    return Cell(wording.NONE if row.lift is None else f"{row.lift:.2f}")


def _figure(
    book: Book, item: SliceInfluence, by_direction: dict[str, list[Composition]], tables: dict[str, Table]
) -> Figure | None:
    panels, alts = [], []
    for direction, found in by_direction.items():
        ranked = _ranked(_smallest(found))[:ROWS_AT_MOST] if found else []
        if not ranked:
            continue
        pairs = tuple(charts.Pair(_pattern(r), _at(r), r.base_share) for r in ranked)
        panels.append((f"Removal {direction} it", pairs))
        told = "; ".join(
            f"{short(p.label)} {wording.value(p.share, 'share')} against {wording.value(p.base, 'share')}"
            for p in pairs[:3]
        )
        alts.append(f"records whose removal {direction} it: {told}")
    if not panels:
        return None
    found = next(f for f in by_direction.values() if f)
    top = wording.percent(_smallest(found).top_share)
    first = panels[0][1][0]
    numbers = phrasing.listed([str(table.number) for table in tables.values()])
    alt = (
        f"Dumbbell plot, share among the top {top} against all training records; {'. '.join(alts)}. "
        f"Data in Table {numbers}."
    )
    share, base = wording.value(first.share, "share"), wording.value(first.base, "share")
    title = f"For {item.name}, {first.label} is {share} of the top {top}, and {base} of all"
    return book.figure(title, alt, charts.dumbbells(tuple(panels)))


def _pattern(row: CompositionRow) -> str:
    return f"{row.column} = {row.level}" + (" (at least)" if _banded(row.share) else "")


def _strongest(book: Book, items: Sequence[SliceInfluence]) -> Table:
    rows = [Row((Cell(item.name), *(_top_pattern(item, direction) for direction in DIRECTIONS))) for item in items]
    columns = (Column("Measured on"), Column("Removal lowers it"), Column("Removal raises it"))
    title = "The most over-represented pattern among the top records, for the other measures"
    strongest = [
        _ranked(_smallest(of))[0].share
        for item in items
        for of in ([c for c in item.compositions if c.direction == direction] for direction in DIRECTIONS)
        if of and of[0].rows
    ]
    notes = ["In brackets: the interval and n. Then the share of all records.", *_band_notes(strongest)]
    return book.table(title, columns, rows, notes=notes, annex=True)


def _top_pattern(item: SliceInfluence, direction: str) -> Cell:
    found = [c for c in item.compositions if c.direction == direction]
    ranked = _ranked(_smallest(found)) if found else []
    if not ranked:
        return Cell("none shown")
    row = ranked[0]
    of_all = wording.value(row.base_share, "share")
    share = f"{wording.shown(row.share, 'share')} ({wording.basis(row.share, 'share')})"
    if _banded(row.share):
        share = f"{wording.interval(row.share, 'share')} ({_band_basis(row.share)})"
    return Cell(f"{row.column} = {row.level}", f"{share}, {of_all} of all")
