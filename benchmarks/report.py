"""The results file: one table for each piece of work, the raw figures as JSON, and the plot."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.runner import Outcome

LIBRARIES = ("auditkit", "kronfluence", "captum", "dattri", "pyDVL", "logix-ai", "torch", "numpy")
BOUNDS = (" low", " high")


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    peer: str
    text: str
    size: int
    figures: dict[str, Any]
    why: str
    """Why there are no figures."""
    notes: str = ""

    @staticmethod
    def of(outcome: Outcome, figures: dict[str, Any]) -> Row:
        """What was measured, with what it cost."""
        if outcome.answer is None:
            return Row(outcome.peer, outcome.text, outcome.size, {}, outcome.why)
        took = outcome.answer
        cost: dict[str, Any] = {"processor seconds": took.processor_seconds, "wall seconds": took.wall_seconds}
        if took.epoch_seconds:
            cost = {"epochs": took.processor_seconds / took.epoch_seconds, **cost, "epoch seconds": took.epoch_seconds}
        if took.damping is not None:
            cost["damping"] = took.damping
        return Row(outcome.peer, outcome.text, outcome.size, {**figures, **cost}, "", took.notes)

    def line(self) -> str:
        """For the screen."""
        shown = self.why or ", ".join(f"{name} {shortly(value)}" for name, value in self.figures.items())
        return f"{self.peer}: {self.text}{f', {self.size:,} records' if self.size else ''}: {shown}"


@dataclass(frozen=True)
class Section:
    """One piece of work."""

    task: str
    title: str
    text: str
    rows: tuple[Row, ...]


def write(sections: list[Section], absent: dict[str, str], *, when: datetime, quick: bool, folder: Path) -> list[Path]:
    """Three files with the date in their names."""
    from benchmarks import plot

    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"influence-{'quick-' if quick else ''}{when:%Y-%m-%d-%H%M}"
    markdown, raw, picture = (stem.with_name(f"{stem.name}.{kind}") for kind in ("md", "json", "svg"))
    drawn = plot.write(sections, picture)
    markdown.write_text(_text(sections, absent, when, picture.name if drawn else "", quick=quick), encoding="utf-8")
    kept = {"when": f"{when:%Y-%m-%d %H:%M} UTC", "machine": machine(), "versions": versions(), "absent": absent}
    raw.write_text(json.dumps({**kept, "sections": [asdict(s) for s in sections]}, indent=1) + "\n", encoding="utf-8")
    return [markdown, raw, *([picture] if drawn else [])]


def _command() -> str:
    """As it was given: a run of some parts, or with other limits, must not pass for the whole."""
    flags = shlex.join(sys.argv[1:])
    return f'`make benchmark BENCHMARK_FLAGS="{flags}"`' if flags else "`make benchmark`"


def versions() -> dict[str, str]:
    """Of the libraries that are there."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """In the words of the other results files."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}"


def shortly(value: Any) -> str:
    """Three or four digits, whatever the size."""
    if not isinstance(value, float):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.1e}"


def _text(sections: list[Section], absent: dict[str, str], when: datetime, picture: str, *, quick: bool) -> str:
    told = ", ".join(f"{name} {number}" for name, number in versions().items())
    lines = [
        f"# Influence benchmark, {when:%Y-%m-%d %H:%M} UTC",
        "",
        f"Command: {_command()}. Machine: {machine()}, one thread. Python {sys.version.split()[0]}, {told}.",
        "What is measured and how to read it: [README](../README.md).",
        "",
    ]
    if quick:
        lines += ["**Small sizes: this run shows that everything works; its figures measure nothing.**", ""]
    lines += [f"- {name} takes no part: {why}" for name, why in absent.items()] + ([""] if absent else [])
    lines += [f"![Fidelity against cost]({picture})", ""] if picture else []
    for section in sections:
        lines += _table(section)
    return "\n".join(lines)


def _cell(row: Row, column: str) -> str:
    """The figure, with its interval where there is one."""
    if column not in row.figures:
        return "—"
    low, high = (row.figures.get(f"{column}{bound}") for bound in BOUNDS)
    between = "" if low is None else f" ({shortly(low)} to {shortly(high)})"
    return shortly(row.figures[column]) + between


def _table(section: Section) -> list[str]:
    lines = [f"## {section.title}", "", section.text, ""]
    columns = list(dict.fromkeys(name for row in section.rows for name in row.figures if not name.endswith(BOUNDS)))
    if section.rows:
        sized = any(row.size for row in section.rows)
        head = ["library", "method", *(["records"] if sized else []), *columns]
        rule = "|" + " --- |" * (len(head) - len(columns)) + " ---: |" * len(columns)
        lines += ["| " + " | ".join(head) + " |", rule]
        for row in section.rows:
            cells = [row.peer, row.text, *([f"{row.size:,}"] if sized else [])]
            shown = [_cell(row, column) for column in columns]
            if row.why:
                shown = [row.why.replace("|", "/"), *([""] * (len(columns) - 1))] if columns else []
                cells[1] += "" if columns else f" ({row.why})"
            lines.append("| " + " | ".join(cells + shown) + " |")
        lines.append("")
    notes = dict.fromkeys(f"- {row.peer}, {row.text}: {row.notes}" for row in section.rows if row.notes)
    return [*lines, *notes, *([""] if notes else [])]
