"""What every figure of one membership needs: its rows, what may be said of its groups, and the policy's settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness.membership.contrasts import Pair
from auditkit.fairness.membership.standing import Standing
from auditkit.fairness.membership.sums import Rows, Shares
from auditkit.fairness.metrics import METRICS
from auditkit.policy.schema import FairnessSettings
from auditkit.subject.memberships import Membership
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Ints

EVERYBODY_ELSE = "everybody outside the group"


@dataclass(frozen=True)
class Subject:
    """One membership as it is measured; columns G and up are what stands outside each group, where that is compared."""

    membership: Membership
    rows: Rows
    state: Standing
    settings: FairnessSettings
    minimum_cell: int

    @property
    def groups(self) -> range:
        """Columns of the groups."""
        return range(len(self.membership.labels))

    @property
    def varied(self) -> bool:
        """Whether records add other numbers than 0 and 1, so that sums are no counts."""
        return self.rows.soft or self.rows.weights is not None

    @property
    def against(self) -> str:
        """What groups are compared with, in words."""
        return self.membership.reference or EVERYBODY_ELSE

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Columns of every comparison."""
        if not self.membership.reference:
            return tuple((g, g + len(self.groups)) for g in self.groups)
        base = self.membership.labels.index(self.membership.reference)
        return tuple((g, base) for g in self.groups if g != base)

    def label(self, column: int) -> str:
        """The group of a column."""
        return self.membership.labels[column % len(self.groups)]

    def closed(self, column: int) -> bool:
        """Whether no exact figure of the column may be published; outside a group what holds of the group holds.

        A group and what is outside it give all known records, and these the unknown ones, who may be few.
        """
        if column not in self.groups and 0 < np.unique(self.rows.persons[~self.rows.known]).size < self.minimum_cell:
            return True
        return bool(self.state.closed[column % len(self.groups)])

    def why_not(self, name: str, found: Shares, column: int) -> str:
        """Why a rate has no value; empty where it has one."""
        reason = self.state.why_not(column, soft=self.rows.soft) if column in self.groups else ""
        least = max(self.settings.minimum_denominator, self.minimum_cell)
        if not reason and found.support[column] < least - 1e-8:
            what = f"effective {METRICS[name].trials_are}" if self.rows.soft else METRICS[name].trials_are
            where = "in this group" if column in self.groups else "outside this group"
            reason = f"not estimable: fewer than {least} {what} {where}"
        return reason

    def why_no_pair(self, name: str, found: Shares, pair: Pair) -> str:
        """Why a comparison has no value; empty where it has one."""
        reason, base = (self.why_not(name, found, column) for column in pair)
        if base and pair[1] in self.groups:
            return f"reference: {base}"
        return reason or base

    def told(self, found: Shares, column: int) -> int:
        """N of a rate: records, or the sum of their probabilities to whole records."""
        return round(float(found.trials[column]))

    def told_of(self, found: Shares, pair: Pair) -> int:
        """N of a comparison."""
        return round(float(found.trials[list(pair)].sum()))


def rows_of(membership: Membership, *, cell: Ints, persons: NDArray[np.object_] | None, weights: Floats | None) -> Rows:
    """The records that have a decision, with a column for what stands outside each group where that is compared."""
    kept = cell >= 0
    share, known = membership.share[kept], membership.known[kept]
    if not membership.reference:
        share = np.hstack([share, np.where(known[:, None], 1.0 - share, 0.0)])
    who = person_codes(None if persons is None else persons[kept], int(kept.sum()))
    return Rows(
        share=share, known=known, cell=cell[kept], persons=np.unique(who, return_inverse=True)[1].ravel(),
        weights=None if weights is None else weights[kept], soft=membership.kind == "probabilities",
    )  # fmt: skip
