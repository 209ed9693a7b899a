"""What every chart stands on: a bare figure, axes placed in inches, text by font path, and the SVG writer.

No pyplot and no system font. Text becomes outlines, since an image cannot reach the page's fonts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from auditkit.report.fonts import text_face
from auditkit.report.palette import GREY, INK, MUTED, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

Drawing = tuple[bytes, int, int]
"""SVG, and its width and height in CSS pixels."""

WIDTH = 6.7
"""Inches; the text width of the PDF page, 643 CSS pixels."""
SIZE = 9.0
SMALL = 8.0
BOTTOM = 0.44
"""Inches below the axes for tick labels and the axis title."""
LABEL_LIMIT = 30


def short(text: str) -> str:
    """A label cut to what a figure can hold; the table beside it has the whole."""
    return text if len(text) <= LABEL_LIMIT else text[: LABEL_LIMIT - 1] + "…"


def new_figure(height: float) -> Figure:
    """An empty figure of the report's width; `height` in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    FigureCanvasSVG(figure)
    return figure


def add_axes(figure: Figure, left: float, width: float, *, top: float = 0.1) -> Axes:
    """Axes at `left`, `width` inches wide, between `top` and the room for the axis title."""
    height = figure.get_figheight()
    box = (left / WIDTH, BOTTOM / height, width / WIDTH, (height - BOTTOM - top) / height)
    axes = figure.add_axes(box)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(axis="both", length=0, pad=4)
    axes.tick_params(axis="x", length=3, color=GREY)
    return axes


def font(text: str, *, size: float = SIZE, bold: bool = False) -> FontProperties:
    """The face that shows all of `text`, by path."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(fname=str(text_face(text, bold=bold).path), size=size)


def label_width(labels: Sequence[str]) -> float:
    """Inches that the widest label takes."""
    from matplotlib.textpath import TextPath

    widths = [TextPath((0, 0), text, size=SIZE, prop=font(text)).get_extents().width for text in labels if text.strip()]
    return float(max(widths, default=0.0)) / 72


def put_text(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    colour: str = INK,
    bold: bool = False,
    where: Literal["data", "axes", "row", "column"] = "data",
    align: Literal["left", "right", "center"] = "left",
) -> None:
    """Text at a place in data or axes coordinates, moved by `shift` points; a row keeps y in data, a column x."""
    frames = {
        "data": axes.transData, "axes": axes.transAxes,
        "row": axes.get_yaxis_transform(), "column": axes.get_xaxis_transform(),
    }  # fmt: skip
    axes.annotate(
        text, (x, y), xytext=shift, xycoords=frames[where], textcoords="offset points", color=colour, ha=align,
        fontproperties=font(text, size=SMALL, bold=bold), annotation_clip=False, parse_math=False,
    )  # fmt: skip


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Row labels at the left, first row on top."""
    axes.set_yticks(range(len(labels)), labels=list(labels), parse_math=False)
    for tick, text in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontproperties(font(text))
        tick.set_color(INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def set_ticks(axes: Axes, places: Sequence[float], labels: Sequence[str], *, axis: Literal["x", "y"] = "x") -> None:
    """Fixed ticks with given words and no minor ticks."""
    from matplotlib.ticker import NullLocator

    ruler = axes.xaxis if axis == "x" else axes.yaxis
    ruler.set_minor_locator(NullLocator())
    ruler.set_ticks(list(places), labels=list(labels), parse_math=False)
    for tick, text in zip(ruler.get_ticklabels(), labels, strict=True):
        tick.set_fontproperties(font(text, size=SMALL))
        tick.set_color(INK)


def nice_ticks(axes: Axes, *, most: int, axis: Literal["x", "y"] = "x") -> list[float]:
    """Round places inside the limits of a linear axis."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    return [float(t) for t in MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
            if low <= t <= high]  # fmt: skip


def percent_axis(axes: Axes, *, most: int = 5) -> None:
    """The x axis in percent."""
    places = [t for t in nice_ticks(axes, most=most) if t >= 0]
    set_ticks(axes, places, [f"{t * 100:g}\u00a0%" for t in places])


def log_percent(axes: Axes) -> None:
    """Both axes in percent, one tick per decade."""
    for axis in ("x", "y"):
        low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
        places = [10.0**k for k in range(-6, 1) if low * 0.999 <= 10.0**k <= high]
        set_ticks(axes, places, [f"{t * 100:g}\u00a0%" for t in places], axis=axis)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(GREY)


def axis_title(axes: Axes, text: str, *, axis: Literal["x", "y"] = "x") -> None:
    """The title of an axis, in small muted type."""
    face = font(text, size=SMALL)
    style: dict[str, Any] = {"fontproperties": face, "color": MUTED, "labelpad": 4, "parse_math": False}
    if axis == "x":
        axes.set_xlabel(text, **style)
    else:
        axes.set_ylabel(text, **style)


def to_svg(figure: Figure) -> Drawing:
    """Write the SVG without date and with fixed ids."""
    import matplotlib as mpl

    out = io.BytesIO()
    settings: dict[Any, Any] = {"svg.hashsalt": "auditkit", "svg.fonttype": "path", "hatch.linewidth": 0.6}
    with mpl.rc_context(settings):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return compact(out.getvalue()), round(WIDTH * 96), round(figure.get_figheight() * 96)


def compact(svg: bytes) -> bytes:
    """The same picture without prolog, metadata, comments and line breaks: a third fewer bytes."""
    bare = named(re.sub(rb"^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->", b"", svg, flags=re.DOTALL))
    return re.sub(rb"> <", b"><", re.sub(rb"\s+", b" ", bare)).strip()


def named(svg: bytes) -> bytes:
    """The same picture with its clips and marks numbered as they come: matplotlib's hashes look like ids of records."""
    found = dict.fromkeys(re.findall(rb'id="([pmh][0-9a-f]{10})"', svg))
    numbers = {name: b"s%d" % k for k, name in enumerate(found, start=1)}
    return re.sub(rb"(?<=[\"#])[pmh][0-9a-f]{10}(?=[\")])", lambda m: numbers.get(m[0], m[0]), svg)
