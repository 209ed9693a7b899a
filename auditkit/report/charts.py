"""The report's charts: plain marks in, SVG out, the same in HTML, PDF and print.

Colour never stands alone: what needs attention is also a diamond, a zone is also hatched or bounded by a dashed line.
A chart decides nothing: which mark is flagged is given. The same input gives the same bytes, in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from auditkit.report.drawing import (
    WIDTH,
    Drawing,
    add_axes,
    axis_title,
    label_width,
    log_percent,
    name_rows,
    new_figure,
    percent_axis,
    put_text,
    set_ticks,
    short,
    to_svg,
)
from auditkit.report.palette import BLUE, GREY, INK, MUTED, ORANGE, PAPER, ZONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = (0, (4, 2))
RATIO_TICKS = (0.1, 0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0, 10.0)


@dataclass(frozen=True)
class Mark:
    """One dot with its interval; `flagged` draws it as a diamond; `note` is printed at the end of its row."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    flagged: bool = False
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """One row of a dumbbell: a share among the top records beside the share among all."""

    label: str
    share: float
    base: float


@dataclass(frozen=True)
class RocPoint:
    """One point of a ROC curve with the bounds of its true-positive rate; `label` marks an operating point."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str = ""


@lru_cache(maxsize=64)
def rates_and_ratios(
    rates: tuple[Mark, ...],
    ratios: tuple[Mark, ...],
    *,
    reference: float | None,
    zone: float | None,
    lines: tuple[float, ...],
    titles: tuple[str, str],
) -> Drawing:
    """Left: rate and interval per group, the reference line, the zone below `zone`. Right: ratios on a log axis."""
    labels = [short(mark.label) for mark in rates]
    figure = new_figure(0.27 * len(rates) + 0.66)
    left = label_width(labels) + 0.15
    split = (WIDTH - left) * (0.55 if ratios else 1.0)
    main = add_axes(figure, left, split - 0.2)
    main.set_xlim(*_rate_limits(rates, (reference, zone)))
    if zone is not None:
        main.axvspan(main.get_xlim()[0], zone, color=ZONE, lw=0, zorder=0)
        main.axvline(zone, color=ORANGE, lw=0.9, ls=DASHES, zorder=1)
    if reference is not None:
        main.axvline(reference, color=GREY, lw=1.0, zorder=1)
    _marks(main, rates)
    percent_axis(main)
    name_rows(main, labels)
    axis_title(main, titles[0])
    if ratios:
        side = add_axes(figure, left + split + 0.1, WIDTH - left - split - 0.8)
        _ratio_panel(side, ratios, lines)
        axis_title(side, titles[1])
    return to_svg(figure)


@lru_cache(maxsize=64)
def small_multiples(panels: tuple[tuple[str, tuple[Mark, ...], float | None], ...]) -> Drawing:
    """One panel of dots and intervals per rate, rows shared, the reference group's rate as a line."""
    labels = [short(mark.label) for mark in panels[0][1]]
    figure = new_figure(0.25 * len(labels) + 0.66)
    left = label_width(labels) + 0.15
    step = (WIDTH - left) / len(panels)
    for k, (title, marks, reference) in enumerate(panels):
        axes = add_axes(figure, left + k * step, step - 0.25)
        axes.set_xlim(*_rate_limits(marks, (reference,)))
        if reference is not None:
            axes.axvline(reference, color=GREY, lw=1.0, zorder=1)
        _marks(axes, marks)
        percent_axis(axes, most=4)
        name_rows(axes, labels if k == 0 else [""] * len(labels))
        axis_title(axes, title)
    return to_svg(figure)


@lru_cache(maxsize=64)
def dumbbells(panels: tuple[tuple[str, tuple[Pair, ...]], ...]) -> Drawing:
    """Per direction: the share of each level among the top records (diamond) and among all (ring)."""
    rows = max(len(pairs) for _, pairs in panels)
    figure = new_figure(0.21 * rows + 0.8)
    step = WIDTH / len(panels)
    for k, (title, pairs) in enumerate(panels):
        labels = [short(pair.label) for pair in pairs] + [""] * (rows - len(pairs))
        left = label_width(labels) + 0.15
        axes = add_axes(figure, k * step + left, step - left - 0.25, top=0.3)
        for y, pair in enumerate(pairs):
            axes.plot([pair.base, pair.share], [y, y], color=GREY, lw=1.6, zorder=2)
            axes.plot(pair.base, y, "o", ms=6, mfc=PAPER, mec=MUTED, mew=1.3, zorder=3)
            axes.plot(pair.share, y, "D", ms=6, mfc=ORANGE, mec=PAPER, mew=0.8, zorder=4)
        top = max([0.05, *(max(pair.share, pair.base) for pair in pairs)])
        axes.set_xlim(-0.03 * top, top * 1.08)
        percent_axis(axes, most=4)
        name_rows(axes, labels)
        put_text(axes, 0.0, 1.0, title, bold=True, shift=(-left * 72, 8), where="axes")
        axis_title(axes, "◆ top records   ○ all training records")
    return to_svg(figure)


@lru_cache(maxsize=16)
def roc(points: tuple[RocPoint, ...], operating: tuple[RocPoint, ...]) -> Drawing:
    """True against false positives on log axes with the chance line and the named operating points."""
    figure = new_figure(2.3)
    axes = add_axes(figure, 0.8, WIDTH - 2.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    xs = [p.x for p in points]
    start = min([*xs, *(p.x for p in operating)])
    low = min(start, *(p.low or p.y for p in (*points, *operating)))
    axes.set_xlim(start, 1.0)
    axes.set_ylim(max(low * 0.8, start * 0.1), 1.0)
    banded = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if len(banded) > 1:
        bx, lower, upper = zip(*banded, strict=True)
        axes.fill_between(bx, lower, upper, color=BLUE, alpha=0.18, lw=0)
    axes.plot(xs, [p.y for p in points], color=BLUE, lw=1.8, zorder=3, clip_on=False)
    axes.plot([start, 1.0], [start, 1.0], color=GREY, lw=1.3, ls=(0, (1, 2)))
    put_text(axes, 1.0, 1.0, "dotted: chance", shift=(7, -8), colour=MUTED)
    for point in operating:
        axes.plot(point.x, point.y, "D", color=ORANGE, ms=6.5, mec=PAPER, mew=0.9, zorder=5, clip_on=False)
        put_text(axes, point.x, point.y, point.label, shift=(9, -11), colour=ORANGE, bold=True)
    log_percent(axes)
    axis_title(axes, "False-positive rate (log scale)")
    axis_title(axes, "True-positive rate (log scale)", axis="y")
    return to_svg(figure)


@lru_cache(maxsize=16)
def tail(points: tuple[tuple[float, float], ...], *, cut: float | None, titles: tuple[str, str]) -> Drawing:
    """The share of records at or above each value, on log axes; what lies beyond the cut is hatched."""
    figure = new_figure(2.1)
    axes = add_axes(figure, 0.8, WIDTH - 1.0, top=0.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    axes.set_xlim(min(xs), max(*xs, cut or 0.0) * 1.15)
    axes.set_ylim(min(ys) * 0.6, 1.25)
    axes.plot(xs, ys, color=BLUE, lw=1.8, drawstyle="steps-pre", zorder=3)
    if cut is not None:
        beyond = [(x, y) for x, y in points if x >= cut]
        if len(beyond) > 1:
            bx, by = zip(*beyond, strict=True)
            axes.fill_between(bx, by, min(ys) * 0.6, step="pre", fc=ZONE, ec=ORANGE, hatch="////", lw=0)
        axes.axvline(cut, color=ORANGE, lw=1.1, ls=DASHES)
        put_text(
            axes, cut, 1.0, "cut of the screen", shift=(-5, -7), colour=ORANGE, bold=True, where="column", align="right"
        )
    low, high = axes.get_xlim()
    places = [m * 10.0**k for k in range(-9, 10) for m in (1, 3) if low <= m * 10.0**k <= high]
    set_ticks(axes, places, [f"{place:g}" for place in places])
    shares = [10.0**k for k in range(-7, 1) if min(ys) * 0.6 <= 10.0**k]
    set_ticks(axes, shares, [f"{share * 100:g}\u00a0%" for share in shares], axis="y")
    axis_title(axes, titles[0])
    axis_title(axes, titles[1], axis="y")
    return to_svg(figure)


def _ratio_panel(axes: Axes, ratios: Sequence[Mark], lines: Sequence[float]) -> None:
    known = [bound for mark in ratios for bound in (mark.value, mark.low, mark.high) if bound]
    low, high = max(min([*known, *lines, 0.78]) * 0.95, 0.05), min(max([*known, *lines, 1.28]) * 1.05, 20.0)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.axvline(1.0, color=GREY, lw=1.0, zorder=1)
    for line in lines:
        axes.axvline(line, color=ORANGE, lw=0.9, ls=DASHES, zorder=1)
    _marks(axes, ratios)
    wanted = [tick for tick in RATIO_TICKS if low <= tick <= high]
    set_ticks(axes, wanted, [f"{tick:g}" for tick in wanted])
    name_rows(axes, [""] * len(ratios))
    for y, mark in enumerate(ratios):
        if mark.note:
            colour = ORANGE if mark.flagged else INK
            put_text(axes, 1.0, y, mark.note, shift=(8, -3), colour=colour, bold=mark.flagged, where="row")


def _marks(axes: Axes, marks: Sequence[Mark]) -> None:
    for y, mark in enumerate(marks):
        if mark.value is None:
            continue
        colour = ORANGE if mark.flagged else BLUE
        if mark.low is not None and mark.high is not None:
            axes.plot([mark.low, mark.high], [y, y], color=colour, lw=2.2, zorder=3, solid_capstyle="butt")
        shape = "D" if mark.flagged else "o"
        axes.plot(mark.value, y, shape, color=colour, ms=6.5, mec=PAPER, mew=0.9, zorder=4)


def _rate_limits(marks: Sequence[Mark], lines: Sequence[float | None]) -> tuple[float, float]:
    known = [b for mark in marks for b in (mark.value, mark.low, mark.high) if b is not None]
    known += [line for line in lines if line is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max(high - low, 0.02) * 0.08
    return low - room, high + room
