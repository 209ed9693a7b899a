"""The measures of an audit: its slices and cases, and the gaps in mean favourable score between protected groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from auditkit.influence.measures import Measure, Quantity
from auditkit.subject.types import Floats, Grouping, Ints, Slice

Kind = Literal["group", "intersection", "slice", "case", "gap"]

UNITS: Mapping[str, str] = {
    "mean loss": "nats",
    "mean favourable score": "points",
    "gap in mean favourable score": "points",
}


@dataclass(frozen=True)
class Target:
    """One measure of the audit with what a reader needs to know of it."""

    name: str
    kind: Kind
    why: str
    where: str
    n: int
    """Evaluation records it rests on; the smaller group's for a gap."""
    measure: str
    quantity: Quantity
    weights: Floats
    """[M]"""

    def as_measure(self, device: torch.device) -> Measure:
        """For the engine."""
        return Measure(self.name, self.quantity, torch.from_numpy(self.weights).to(device))


def targets_of(
    slices: Sequence[Slice], groupings: Mapping[str, Grouping], rows: Ints, known: Floats, *, minimum: int
) -> tuple[Target, ...]:
    """Slices and cases that have members, then the gaps of groups that reach the minimum on both sides.

    Args:
        slices: frozen masks [M]. groupings: membership of all rows. rows: [M] positions of the evaluation rows.
        known: [M] 1.0 where the label is known, else 0.0; a mean loss is taken over those only.
        minimum: records a group of a gap needs.
    """
    found = []
    for piece in slices:
        members = piece.mask.astype(np.float64) * (known if piece.measure == "loss" else 1.0)
        n = int(members.sum())
        if n:
            measure = "mean loss" if piece.measure == "loss" else "mean favourable score"
            found.append(Target(piece.name, piece.kind, piece.why, piece.where, n, measure, piece.measure, members / n))
    return (*found, *_gaps(groupings, rows, minimum))


def _gaps(groupings: Mapping[str, Grouping], rows: Ints, minimum: int) -> Iterator[Target]:
    for grouping in groupings.values():
        codes = grouping.codes[rows]
        reference = np.ones(len(codes), dtype=bool)  # all records, where the reference is these and no group
        if grouping.chosen != "overall":
            reference = codes == grouping.labels.index(grouping.reference)
        for code, label in enumerate(grouping.labels):
            group = codes == code
            n = int(min(group.sum(), reference.sum()))
            if label == grouping.reference or n < minimum:
                continue
            yield Target(
                name=f"{grouping.name}: {label} minus {grouping.reference}",
                kind="gap",
                why=f"Difference between the mean favourable scores of {label} and {grouping.reference}",
                where="",
                n=n,
                measure="gap in mean favourable score",
                quantity="score",
                weights=group / group.sum() - reference / reference.sum(),
            )
