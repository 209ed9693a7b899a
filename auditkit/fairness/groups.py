"""Which groups can be assessed, which counts may be shown, and the Group rows of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditkit.fairness.cells import Cells
from auditkit.fairness.disclosure import complete, share_at_most
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Group
from auditkit.subject.types import Grouping, Ints, Mask

GroupStatus = Literal["assessed", "insufficient-evidence", "unknown", "empty"]
UNKNOWN_LABEL = "unknown"
LABELLED = 4
"""The first four cells of six have a label."""


@dataclass(frozen=True)
class Standing:
    """What may be said of each group of one grouping; the last position is unknown membership."""

    minimum: int
    """Records (and persons) a group needs to be assessed: the policy's minimum group, at least the minimum cell."""
    assessed: Mask
    """[G]"""
    empty: Mask
    """[G]"""
    hidden: Mask
    """[G + 1] the count is not published."""
    closed: Mask
    """[G + 1] no exact figure is published."""

    def why_not(self, group: int, *, repeats: bool) -> str:
        """Why a group is not assessed; empty when it is."""
        if self.assessed[group]:
            return ""
        if self.empty[group]:
            return "no records of this group in the evaluation data"
        return f"fewer than {self.minimum} records{' or persons' if repeats else ''} in this group"


def standing(cells: Cells, *, settings: FairnessSettings, minimum_cell: int, along: tuple[Ints, ...]) -> Standing:
    """Judge the groups' sizes and apply the three rules of `disclosure`."""
    sizes = np.minimum(cells.group_records, cells.group_persons)
    minimum = max(settings.minimum_group, minimum_cell)
    assessed = sizes >= minimum
    assessed[-1] = False
    few = (sizes > 0) & (sizes < minimum_cell)
    hidden = complete(withheld=few, sensitive=few, sizes=sizes, along=along, minimum=minimum_cell)
    exposed = _small_cell(cells, minimum=minimum_cell) | ~assessed | hidden
    # Unknown membership publishes no figures, so it hides others; it is no group whose own cells would be
    # guarded.
    sensitive = exposed.copy()
    sensitive[-1] = False
    closed = complete(withheld=exposed, sensitive=sensitive, sizes=sizes, along=along, minimum=minimum_cell)
    return Standing(minimum=minimum, assessed=assessed[:-1], empty=sizes[:-1] == 0, hidden=hidden, closed=closed)


def rows(
    grouping: Grouping, cells: Cells, state: Standing, *, settings: FairnessSettings, minimum_cell: int
) -> tuple[Group, ...]:
    """One Group row per declared group, and one for unknown membership, always."""
    total = int(cells.group_records.sum())
    out = []
    for position, label in enumerate((*grouping.labels, UNKNOWN_LABEL)):
        n, hidden = int(cells.group_records[position]), bool(state.hidden[position])
        unknown = position == len(grouping.labels)
        share = None if hidden or not total else n / total
        if hidden and unknown:
            share = share_at_most(count=n, total=total, minimum=minimum_cell)
        out.append(
            Group(
                on=grouping.name,
                group=label,
                n=None if hidden else n,
                persons=int(cells.group_persons[position]) if cells.repeats and not hidden else None,
                share=share,
                status="unknown" if unknown else _status(state, position),
                is_reference=not unknown and label == grouping.reference,
                reason=_reason(cells, state, position, share=share, settings=settings, minimum=minimum_cell),
            )
        )
    return tuple(out)


def _small_cell(cells: Cells, *, minimum: int) -> Mask:
    """[G + 1] whether a cell holds too few persons; cells without labels count where the group has such records."""
    out = np.zeros(len(cells.persons), dtype=bool)
    for block in (cells.persons[:, :LABELLED], cells.persons[:, LABELLED:]):
        out |= (block.sum(axis=1) > 0) & (block.min(axis=1) < minimum)
    return out


def _status(state: Standing, position: int) -> GroupStatus:
    if state.assessed[position]:
        return "assessed"
    return "empty" if state.empty[position] else "insufficient-evidence"


def _reason(
    cells: Cells,
    state: Standing,
    position: int,
    *,
    share: float | None,
    settings: FairnessSettings,
    minimum: int,
) -> str:
    parts = []
    if position < len(state.assessed):
        parts.append(state.why_not(position, repeats=cells.repeats))
        if state.assessed[position] and state.closed[position]:
            parts.append(closed_note(minimum))
    elif cells.group_records[position]:
        parts.append("membership not known: counted, and in no comparison")
        if share is not None and share > settings.maximum_unknown:
            parts.append(f"above the policy's maximum share of unknowns, {settings.maximum_unknown:g}")
    if state.hidden[position]:
        parts.append(f"count withheld: it, or one that would follow from it, is below {minimum}")
    return "; ".join(part for part in parts if part)


def closed_note(minimum: int) -> str:
    """Why a group's figures are rounded."""
    return f"figures rounded: a cell of this group, or one that would follow from it, is below {minimum} persons"
