"""The charts of scores by group: how they are spread, and how often the label of a score is favourable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from auditkit.report.charts import DASHES
from auditkit.report.drawing import BOTTOM, WIDTH, Drawing, axis_title, new_figure, put_text, set_ticks, short, to_svg
from auditkit.report.palette import BLUE, GREY, MUTED, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
"""Groups side by side."""
LEFT, GAP, TOP, TITLE = 0.52, 0.2, 0.08, 0.24
"""Inches: left of the first panel, between two panels, over a row of panels, for the names over it."""
HEIGHT = 1.12
"""Inches of a panel."""
TICKS = (0.0, 0.5, 1.0)
STEPS, SHARES = "Share below the score", "Favourable share"


@dataclass(frozen=True)
class Curve:
    """One line: its points, and the limits of each where there are any."""

    points: tuple[tuple[float, float], ...]
    limits: tuple[tuple[float, float] | None, ...] = ()


@dataclass(frozen=True)
class Scored:
    """One group's two lines."""

    label: str
    spread: Curve
    calibration: Curve


@lru_cache(maxsize=32)
def scores(groups: tuple[Scored, ...], *, reference: Scored | None) -> Drawing:
    """Per group two panels, the reference's line dashed in each: the spread of scores, and the calibration curve.

    One group stands with its panels side by side; several stand in columns, at most four to a row.
    """
    if len(groups) == 1:
        figure = new_figure(TOP + TITLE + HEIGHT * 1.15 + BOTTOM)
        half = (WIDTH - 2 * LEFT - GAP) / 2
        for k, of in enumerate((0, 1)):
            box = (LEFT + k * (half + LEFT + GAP), BOTTOM, half, HEIGHT * 1.15)
            axes = _panel(figure, box, groups[0], reference, of=of, name=k == 0, title=True)
            axis_title(axes, "Score")
        return to_svg(figure)
    blocks = [groups[start : start + ACROSS] for start in range(0, len(groups), ACROSS)]
    block = TITLE + 2 * HEIGHT + GAP + BOTTOM
    figure = new_figure(TOP + len(blocks) * block)
    step = (WIDTH - LEFT) / max(len(own) for own in blocks)
    for row, own in enumerate(blocks):
        floor = (len(blocks) - 1 - row) * block + BOTTOM
        for k, group in enumerate(own):
            left = LEFT + k * step
            for of, base in ((0, floor + HEIGHT + GAP), (1, floor)):
                box = (left, base, step - GAP, HEIGHT)
                axes = _panel(figure, box, group, reference, of=of, name=of == 0, title=k == 0)
                if of:
                    axis_title(axes, "Score")
                else:
                    set_ticks(axes, TICKS, [""] * len(TICKS))
    return to_svg(figure)


def _panel(
    figure: Figure, box: tuple[float, float, float, float], group: Scored, reference: Scored | None, *,
    of: int, name: bool, title: bool,
) -> Axes:  # fmt: skip
    """One panel; `of` is 0 for the spread and 1 for the calibration curve."""
    height = figure.get_figheight()
    left, base, wide, high = box
    axes = figure.add_axes((left / WIDTH, base / height, wide / WIDTH, high / height))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(axis="both", length=3, pad=3, color=GREY)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    set_ticks(axes, TICKS, [f"{tick:g}" for tick in TICKS])
    set_ticks(axes, TICKS, [f"{100 * tick:g}\u00a0%" if title else "" for tick in TICKS], axis="y")
    if of:
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls=(0, (1, 2)), zorder=1)
    curves = ((reference, MUTED, DASHES), (group, BLUE, "-"))
    for one, colour, style in curves:
        if one is not None:
            _line(axes, one.calibration if of else one.spread, colour, style, solid=one is group)
    if title:
        axis_title(axes, SHARES if of else STEPS, axis="y")
    if name:
        put_text(axes, 0.0, 1.0, short(group.label), bold=True, shift=(0, 6), where="axes")
    return axes


def _line(axes: Axes, curve: Curve, colour: str, style: object, *, solid: bool) -> None:
    xs, ys = [x for x, _ in curve.points], [y for _, y in curve.points]
    axes.plot(xs, ys, color=colour, lw=1.6 if solid else 1.1, ls=style, zorder=3 if solid else 2)
    if not solid or not curve.limits:
        return
    for x, limits in zip(xs, curve.limits, strict=True):
        if limits is not None:
            axes.plot([x, x], limits, color=colour, lw=1.2, zorder=3, solid_capstyle="butt")
    axes.plot(xs, ys, "o", color=colour, ms=4.2, mec=PAPER, mew=0.6, zorder=4)
