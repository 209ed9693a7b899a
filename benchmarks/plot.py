"""Fidelity against cost, as a small vector picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Row, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "auditkit": "#b3001b",
    "kronfluence": "#1f4e79",
    "captum": "#6b8e23",
    "dattri": "#b8860b",
    "pyDVL": "#6a4c93",
    "LogIX": "#2a9d8f",
}


def write(sections: list[Section], file: Path) -> bool:
    """Panels for each world (LDS of rows and of slices) and for speed; False where there is nothing to draw."""
    import matplotlib as mpl

    mpl.use("svg")
    # Text stays text and names are drawn from a fixed salt, so that two runs with equal figures give equal files.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "auditkit", "font.size": 8})
    from matplotlib import pyplot as plt

    panels = [(s, kind) for s in sections if s.task in ("digits", "compas") and s.rows for kind in ("rows", "slices")]
    timed = [s for s in sections if s.task == "speed" and any(r.figures for r in s.rows)]
    if not panels and not timed:
        return False
    count = len(panels) + len(timed)
    across = 2 if count > 1 else 1
    down = -(-count // across)
    figure, axes = plt.subplots(down, across, figsize=(4.6 * across, 3.1 * down), squeeze=False, layout="constrained")
    places = [axis for line in axes for axis in line]
    for axis, (section, kind) in zip(places, panels, strict=False):
        _fidelity(axis, section, kind)
    for axis, section in zip(places[len(panels) :], timed, strict=False):
        _speed(axis, section)
    for axis in places[count:]:
        axis.set_axis_off()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return True


def _fidelity(axis: Axes, section: Section, kind: str) -> None:
    for row in section.rows:
        lds = row.figures.get(f"LDS {kind}")
        if lds is None:
            continue
        cost = row.figures["epochs"] + row.figures.get("epochs to train the bank", 0)
        low, high = row.figures[f"LDS {kind} low"], row.figures[f"LDS {kind} high"]
        axis.errorbar(cost, lds, yerr=[[lds - low], [high - lds]], fmt="o", ms=4, lw=0.8, color=_colour(row))
        _name(axis, row, cost, lds)
    title = f"{section.title}, per {kind[:-1]}"
    axis.set(xscale="log", xlabel="cost, in plain training epochs", ylabel="LDS", title=title)
    axis.grid(alpha=0.3, lw=0.4)


def _speed(axis: Axes, section: Section) -> None:
    for name, text in dict.fromkeys((row.peer, row.text) for row in section.rows if row.figures):
        rows = [r for r in section.rows if (r.peer, r.text) == (name, text) and r.figures]
        sizes, costs = [r.size for r in rows], [r.figures["epochs"] for r in rows]
        axis.plot(sizes, costs, marker="o", ms=4, lw=1, color=_colour(rows[0]))
        _name(axis, rows[0], sizes[-1], costs[-1])
    axis.set(xscale="log", yscale="log", xlabel="records", ylabel="plain training epochs", title=section.title)
    axis.grid(alpha=0.3, lw=0.4)


def _name(axis: Axes, row: Row, x: float, y: float) -> None:
    axis.annotate(f"{row.peer} {_short(row)}", (x, y), xytext=(4, 3), textcoords="offset points", fontsize=5)


def _colour(row: Row) -> str:
    return COLOURS.get(row.peer, "#444444")


def _short(row: Row) -> str:
    return row.text.split(",")[0] + (" (by hand)" if "by hand" in row.text else "")
