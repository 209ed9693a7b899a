"""What the fairness chapter shows of scores: their spread and their calibration curve by group, drawn and tabulated."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.report import curves, phrasing, wording
from auditkit.report.book import Book, Cell, Column, Figure, Pivot, Row, Table
from auditkit.report.drawing import short
from auditkit.result import Estimate, Group, Measurement, ScoreGroup, Series

MEASURES = (
    "fairness.auc", "fairness.calibration_error", "fairness.brier", "fairness.standardised_difference",
)  # fmt: skip
"""What the table beside the figure holds."""
ERROR = "fairness.calibration_error"
GROUPS_AT_MOST = 8
"""Groups beyond which the figure is left out; the tables of the annex hold every group."""
TO_A_TABLE = 4
WHOLE = 0.01
"""The step of figures that are whole percents."""


def tables(book: Book, on: str, scores: Sequence[ScoreGroup]) -> list[Table]:
    """The two series of every group that has them, for the annex; none where no group has."""
    shown = [group for group in scores if group.on == on and group.distribution.points]
    out = []
    for start in range(0, len(shown), TO_A_TABLE):
        part = shown[start : start + TO_A_TABLE]
        more = ", continued" if start else ""
        out.append(_spread(book, f"Share of records with a score below, by {on}{more}", part))
        if any(group.calibration.points for group in part):
            out.append(_calibration(book, f"Favourable labels by mean score, by {on}{more}", part))
    return out


def figure(
    book: Book, on: str, groups: Sequence[Group], cells: Pivot, scores: Sequence[ScoreGroup], *, data: Sequence[Table]
) -> Figure | None:
    """Every group with both series beside the reference; None where there is none, or too many to be told apart."""
    drawn = {s.group: _scored(s) for s in scores if s.on == on and s.distribution.points and s.calibration.points}
    reference = next((drawn.get(group.group) for group in groups if group.is_reference), None)
    shown = tuple(one for one in drawn.values() if one is not reference)
    if not data or not shown or len(shown) > GROUPS_AT_MOST:
        return None
    title = _title(on, cells)
    against = f", each beside {reference.label}" if reference is not None else ""
    numbers = phrasing.listed([table.number for table in data])
    alt = (
        f"Two line plots for {phrasing.listed([short(one.label) for one in shown])}{against}: the share of "
        "records below each score, and the share of favourable labels by mean score with intervals and the diagonal "
        f"on which the score is the share. Data in Table {numbers}."
    )
    note = "Line: the group." + (f" Dashed: {reference.label}." if reference is not None else "")
    note += " Dots with bars: shares by bin with intervals. Dotted: the score is the share."
    return book.figure(title, alt, curves.scores(shown, reference=reference), note=note)


def without(on: str, scores: Sequence[ScoreGroup]) -> str:
    """Which groups have no curve, and why."""
    reasons: dict[str, list[str]] = {}
    for group in scores:
        if group.on == on and group.withheld:
            reasons.setdefault(group.withheld.removeprefix("withheld: "), []).append(group.group)
    told = [f"{phrasing.listed(names)} ({why})" for why, names in reasons.items()]
    return f"No curve: {'; '.join(told)}." if told else ""


def _title(on: str, cells: Pivot) -> str:
    row = cells.get(ERROR, {})
    known = sorted((m for m in row.values() if m.estimate.known), key=_value)
    if len(known) < 2:
        return f"Scores by {on}"
    low, high = (wording.shown(m.estimate, m.unit) for m in (known[0], known[-1]))
    return f"By {on}, the calibration error runs from {low} to {high}"


def _value(row: Measurement) -> float:
    return row.estimate.value or 0.0


def _scored(group: ScoreGroup) -> curves.Scored:
    spread = curves.Curve(tuple((p.x, p.y) for p in group.distribution.points))
    limits = tuple(
        (p.low, p.high) if p.low is not None and p.high is not None else None for p in group.calibration.points
    )
    return curves.Scored(group.group, spread, curves.Curve(tuple((p.x, p.y) for p in group.calibration.points), limits))


def _spread(book: Book, title: str, shown: Sequence[ScoreGroup]) -> Table:
    edges = sorted({p.x for group in shown for p in group.distribution.points if 0 < p.x < 1})
    at = [{p.x: p.y for p in group.distribution.points} for group in shown]
    rows = [
        Row((Cell(f"{edge:g}"), *(Cell(wording.value(own.get(edge), "share")) for own in at))) for edge in edges
    ]
    columns = (Column("Score", wide=True), *(Column(group.group, numeric=True) for group in shown))
    methods = dict.fromkeys(group.distribution.method for group in shown if group.distribution.method)
    notes = [f"{'; '.join(methods)[:1].upper()}{'; '.join(methods)[1:]}."] if methods else []
    return book.table(title, columns, rows, notes=notes, sortable=False, annex=True, inline=True, even=True)


def _calibration(book: Book, title: str, shown: Sequence[ScoreGroup]) -> Table:
    own = [_shares(group.calibration) for group in shown]
    rows = [
        Row((Cell(f"Bin {k + 1}"), *(cells[k] if k < len(cells) else Cell(wording.NONE) for cells in own)))
        for k in range(max(len(cells) for cells in own))
    ]
    columns = (Column("By score"), *(Column(group.group, numeric=True) for group in shown))
    methods = phrasing.collapsed(dict.fromkeys(group.calibration.method for group in shown if group.calibration.method))
    notes = [f"Under each share: the mean score of the bin and the interval. Method: {'; '.join(methods)}."]
    inline = len(shown) <= 2
    return book.table(title, columns, rows, notes=notes, sortable=False, annex=True, splits=True, inline=inline)


def _shares(series: Series) -> list[Cell]:
    """One cell per bin; a series rounded to whole percents is printed without decimals."""
    ends = [end for p in series.points for end in (p.y, p.low, p.high) if end is not None]
    whole = all(abs(100 * end - round(100 * end)) < 1e-9 for end in ends)
    cells = []
    for p in series.points:
        share = Estimate(value=p.y, low=p.low, high=p.high, step=WHOLE if whole else 0.0)
        limits = wording.interval(share, "share")
        cells.append(Cell(wording.shown(share, "share"), f"at {p.x:g}" + (f", {limits}" if limits else "")))
    return cells
