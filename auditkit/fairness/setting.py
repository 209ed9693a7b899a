"""What every measurement of one grouping needs."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.fairness.cells import Cells
from auditkit.fairness.groups import Standing
from auditkit.policy.schema import FairnessSettings
from auditkit.subject.types import Grouping


@dataclass(frozen=True)
class Setting:
    """One grouping, its counts, what may be said of its groups, and the policy's settings."""

    grouping: Grouping
    cells: Cells
    state: Standing
    settings: FairnessSettings
    minimum_cell: int
    whole: Setting | None = None
    """All records, where the groups are compared with these."""

    @property
    def reference(self) -> int:
        """Position of the reference among the labels; -1 where it is none of them."""
        if self.grouping.chosen == "overall":
            return -1
        labels = self.grouping.labels
        return labels.index(self.grouping.reference) if self.grouping.reference in labels else -1

    @property
    def everyone(self) -> Setting:
        """All records; of a grouping whose groups are compared with these."""
        return self if self.whole is None else self.whole

    @property
    def no_reference(self) -> str:
        """Why a statistic is not compared where `reference` is -1."""
        against_all = self.grouping.chosen == "overall"
        return "not computed against all records" if against_all else "the reference is not among the groups"

    @property
    def effects(self) -> str:
        """What n is divided by, in words that follow a method."""
        parts = ["weights"] * (self.cells.weighted is not None) + ["repeated persons"] * self.cells.repeats
        return f", n divided by the design effects of {' and of '.join(parts)}" if parts else ""

    @property
    def compared(self) -> tuple[int, ...]:
        """Positions of all groups but the reference."""
        return tuple(group for group in range(len(self.grouping.labels)) if group != self.reference)
