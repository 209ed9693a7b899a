"""Which training records the measures rest on, as patterns: never a record, always a direction and a unit."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import charts, phrasing, wording
from auditkit.report.book import Book, Cell, Column, Figure, Row, Table, count_cell, estimate_cell, methods_note
from auditkit.report.drawing import short
from auditkit.result import AuditResult, Composition, CompositionRow, InfluencePart, SliceInfluence

DETAILED_KINDS = ("slice", "case", "gap")
DETAILED_AT_MOST = 4
ROWS_AT_MOST = 5
REMOVALS = {
    "fixed": "fixed: the other records keep their weight",
    "renormalised": "renormalised: the mean is taken over the remaining records",
}
DIRECTIONS = {"lowers": "lower", "raises": "raise"}


def view(result: AuditResult, book: Book) -> dict[str, object]:
    """The method, every measure in one table, then the patterns of the slices and gaps that the policy names."""
    part = result.influence
    detailed = _detailed(part.slices)
    overview = _overview(book, part) if part.slices else None
    others = [s for s in part.slices if s.compositions and s not in detailed]
    return {
        "part": part,
        "method": _method(part),
        "overview": overview,
        "withheld": [s for s in part.slices if s.withheld],
        "slices": [_slice(book, item) for item in detailed],
        "others": _strongest(book, others) if others else None,
        "quality": _quality(book, part) if part.quality else None,
    }


def _detailed(slices: Sequence[SliceInfluence]) -> list[SliceInfluence]:
    """Slices, cases and gaps first; where the policy names none, the groups themselves."""
    told = [s for s in slices if s.compositions]
    return [s for s in told if s.kind in DETAILED_KINDS][:DETAILED_AT_MOST] or told[:2]


def _method(part: InfluencePart) -> list[tuple[str, str]]:
    rows = [
        ("Estimator", " — ".join(text for text in (part.estimator, part.why_estimator) if text)),
        ("Source", part.source),
        ("Sign", part.sign),
        ("Retraining meant", REMOVALS.get(part.removal, part.removal)),
        ("Weight decay", part.weight_decay),
        ("Damping", "" if part.damping is None else wording.significant(part.damping)),
        ("Parameters", "" if part.parameters is None else _parameters(part)),
        ("Training records", "" if part.n_train is None else wording.count(part.n_train)),
    ]  # fmt: skip
    return [(name, text) for name, text in rows if text]


def _parameters(part: InfluencePart) -> str:
    covered = "" if part.covered_share is None else f", {wording.percent(part.covered_share)} of them covered"
    return f"{part.parameters:,}{covered}"


def _overview(book: Book, part: InfluencePart) -> Table:
    rows = []
    for item in part.slices:
        share = "" if item.share_in_top_1pct is None else wording.value(item.share_in_top_1pct, "share")
        cells = (
            Cell(item.name, "" if item.kind == "gap" else f"{item.why}; {item.measure}"),
            count_cell(item.n),
            Cell("withheld" if item.withheld else _level(item)),
            Cell(wording.effect(item.p99_raises, item.unit)),
            Cell(wording.effect(item.p99_lowers, item.unit)),
            Cell(share or wording.NONE),
        )
        rows.append(Row(cells))
    columns = (
        Column("Measured on", wide=True), Column("n", numeric=True), Column("Measure", numeric=True),
        Column("Raising effect, 99th percentile", numeric=True),
        Column("Lowering effect, 99th percentile", numeric=True),
        Column(f"Carried by the top 1{wording.NBSP}%", numeric=True),
    )  # fmt: skip
    notes = [
        "Effects are predicted changes of the measure if one training record were removed and the model retrained. "
        "For a gap, the measure is the gap in mean favourable score. "
        "The last column is the share of the summed absolute effect that one record in a hundred carries.",
    ]
    return book.table("Every measure whose training records were ranked", columns, rows, notes=notes)


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
    known = [row for row in found.rows if row.share.value is not None]
    return sorted(known, key=lambda row: -((row.share.value or 0.0) - row.base_share))


def _words(item: SliceInfluence, by_direction: dict[str, list[Composition]]) -> list[str]:
    words = []
    for direction, found in by_direction.items():
        ranked = _ranked(_smallest(found)) if found else []
        if ranked and ranked[0].share.value is not None:
            row, top = ranked[0], _smallest(found)
            words.append(
                f"Among the {top.n:,} records whose removal is predicted to {DIRECTIONS[direction]} the "
                f"{item.measure} most, {row.column} = {row.level} makes up "
                f"{wording.sentence(row.share, 'share')}, against {wording.value(row.base_share, 'share')} of all."
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
        cells += [estimate_cell(s[key].share, "share") if key in s else Cell(wording.NONE) for s in shares]
        cells += [Cell(wording.value(row.base_share, "share")), _lift(row)]
        rows.append(Row(tuple(cells)))
    columns = [Column("Pattern", wide=True)]
    columns += [
        Column(f"Among the top {wording.percent(c.top_share)} ({c.n:,} records)", numeric=True) for c in ordered
    ]
    columns += [Column("Among all", numeric=True), Column("Times as frequent", numeric=True)]
    notes = methods_note([row.share for row in ranked[:ROWS_AT_MOST]], place="Beside")
    if len(ranked) > ROWS_AT_MOST:
        notes.append(
            f"{phrasing.plural(len(ranked) - ROWS_AT_MOST, 'further level is', 'further levels are')} in audit.json."
        )
    title = f"Records whose removal is predicted to {DIRECTIONS[direction]} the {item.measure} of {item.name}"
    return book.table(title, columns, rows, notes=notes, inline=True)


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
        pairs = tuple(charts.Pair(f"{r.column} = {r.level}", r.share.value or 0.0, r.base_share) for r in ranked)
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


def _strongest(book: Book, items: Sequence[SliceInfluence]) -> Table:
    rows = [Row((Cell(item.name), *(_top_pattern(item, direction) for direction in DIRECTIONS))) for item in items]
    columns = (Column("Measured on"), Column("Removal lowers it"), Column("Removal raises it"))
    title = "The most over-represented pattern among the top records, for the other measures"
    return book.table(title, columns, rows, notes=["In brackets: the interval and n. Then the share of all records."])


def _top_pattern(item: SliceInfluence, direction: str) -> Cell:
    found = [c for c in item.compositions if c.direction == direction]
    ranked = _ranked(_smallest(found)) if found else []
    if not ranked:
        return Cell("none shown")
    row = ranked[0]
    of_all = wording.value(row.base_share, "share")
    share = f"{wording.shown(row.share, 'share')} ({wording.basis(row.share, 'share')})"
    return Cell(f"{row.column} = {row.level}", f"{share}, {of_all} of all")


def _quality(book: Book, part: InfluencePart) -> Table:
    rows = []
    for quality in part.quality:
        figure = "none" if quality.value is None else wording.significant(quality.value)
        state = "read with care" if quality.warns else "in order"
        rows.append(Row((Cell(quality.name), Cell(figure), Cell(state), Cell(quality.text))))
    columns = (Column("Check"), Column("Figure", numeric=True), Column("State"), Column("What it means", wide=True))
    return book.table("How far these rankings can be trusted", columns, rows)
