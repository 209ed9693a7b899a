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

    @property
    def reference(self) -> int:
        """Position of the reference among the labels; -1 where it is none of them."""
        labels = self.grouping.labels
        return labels.index(self.grouping.reference) if self.grouping.reference in labels else -1

    @property
    def compared(self) -> tuple[int, ...]:
        """Positions of all groups but the reference."""
        return tuple(group for group in range(len(self.grouping.labels)) if group != self.reference)
