"""Which cells are withheld beside earlier releases, and the sums along which a withheld one could be worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from auditkit.release.cells import OUTCOMES, SPLITS, UNKNOWN_GROUP, Cells, Name
from auditkit.release.compare import Line, complete, differing
from auditkit.subject.types import Grouping

EVALUATION: Final = "evaluation"


def lines(cells: Cells, groupings: Sequence[Grouping]) -> tuple[Line, ...]:
    """Every published whole with the disjoint cells that divide it, for sizes and for each outcome."""
    found: list[Line] = []
    for split in SPLITS:
        if Name(split) not in cells.members:
            continue
        for grouping in groupings:
            parts = [Name(split, grouping.name, label) for label in (*grouping.labels, UNKNOWN_GROUP)]
            parts = [name for name in parts if name in cells.members]
            groups = [name for name in cells.members if name == name.held and name.split == split]
            wholes = [Name(split), *(name for name in groups if name.on in grouping.of)]
            for whole in wholes:
                inside = [p for p in parts if whole.whole or _within(cells, p, whole)]
                found += [_line(whole, inside, outcome) for outcome in ("", *(OUTCOMES if split == EVALUATION else ()))]
    return tuple(found)


def _line(whole: Name, parts: Sequence[Name], outcome: str) -> Line:
    return Line(replace(whole, outcome=outcome), tuple(replace(part, outcome=outcome) for part in parts))


def _within(cells: Cells, part: Name, whole: Name) -> bool:
    units = cells.members[part]
    return len(units) > 0 and bool(np.isin(units, cells.members[whole]).all())


def held_cells(cells: Cells, earlier: Sequence[Cells], along: Sequence[Line], minimum: int) -> frozenset[Name]:
    """Cells to withhold: those that differ by few, all that is published together with them, and their complements."""
    # Nothing is published of what becomes of records whose group is not known, so it may stand for others.
    never = {name for name in cells.members if name.group == UNKNOWN_GROUP and name.outcome}
    found = _together(cells, differing(cells, earlier, minimum=minimum) - never)
    while True:
        more = _together(cells, complete(cells, earlier, found | never, along, minimum=minimum) - never)
        if more == found:
            return found | (never if found else frozenset())
        found = more


def _together(cells: Cells, held: frozenset[Name]) -> frozenset[Name]:
    """Cells whose figures stand or fall together: the outcomes of one group, all marked sets, all of training."""
    groups = {name.held for name in held if name.split == EVALUATION and (name.outcome or name == name.held)}
    marks = any(name.mark for name in held) or any(name.split == "train" for name in held)
    return held | {
        name for name in cells.members
        if (name.outcome and name.split == EVALUATION and name.held in groups) or (marks and name.mark)
        or (name.outcome and Name(name.split) in held and name.split != EVALUATION)
    }  # fmt: skip
