"""Cell counts: groups x truth x decision, over records and over persons, in one pass over the rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import DataError
from auditkit.fairness.metrics import DECISIONS, MISSING, TRUTHS, Metric, mask
from auditkit.stats.bootstrap import Sample
from auditkit.subject.types import UNKNOWN, Floats, Ints

CELLS = TRUTHS * DECISIONS


@dataclass(frozen=True)
class Cells:
    """What one grouping's records do, as counts; rows without a decision are not in it."""

    kinds: Ints
    """[T, G + 1, 6] what one person of each kind adds to each cell; the last group is unknown membership."""
    persons_of_kind: Ints
    """[T]"""
    repeats: bool
    """Whether any person has several records; without persons every record is its own."""

    @cached_property
    def records(self) -> Ints:
        """[G + 1, 6] records."""
        return np.asarray(np.tensordot(self.persons_of_kind, self.kinds, axes=1), dtype=np.int64)

    @cached_property
    def persons(self) -> Ints:
        """[G + 1, 6] distinct persons with a record in the cell."""
        return np.asarray(np.tensordot(self.persons_of_kind, self.kinds > 0, axes=1), dtype=np.int64)

    @cached_property
    def group_records(self) -> Ints:
        """[G + 1] records."""
        return np.asarray(self.records.sum(axis=1), dtype=np.int64)

    @cached_property
    def group_persons(self) -> Ints:
        """[G + 1] distinct persons."""
        return np.asarray(self.persons_of_kind @ self.kinds.any(axis=2), dtype=np.int64)

    def sample(self, metric: Metric) -> Sample:
        """One metric's events and trials by kind of person, unknown membership left out."""
        known = self.kinds[:, :-1]
        return Sample(
            events=known @ mask(metric.events),
            trials=known @ mask(metric.trials),
            counts=self.persons_of_kind,
        )


def cell_of(*, truth: Floats, decision: Floats) -> Ints:
    """[M] cell of each record, truth * 2 + decision; a NaN truth is MISSING, a NaN decision gives -1.

    Raises:
        DataError: a truth or decision is neither 0, 1 nor NaN.
    """
    for name, values in (("label", truth), ("decision", decision)):
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            message = f"the {name} of an evaluation record is neither favourable (1) nor unfavourable (0)"
            raise DataError(message)
    state = np.where(np.isnan(truth), float(MISSING), truth)
    return np.where(np.isnan(decision), -1, state * DECISIONS + np.nan_to_num(decision)).astype(np.int64)


def count(*, codes: Ints, groups: int, cell: Ints, persons: NDArray[np.object_] | None) -> Cells:
    """Count one grouping.

    Args:
        codes: [M] group of each record, UNKNOWN (-1) where not known.
        groups: G, declared groups, empty ones included.
        cell: [M] from `cell_of`.
        persons: [M] or None; a record whose person is missing is its own person.

    Raises:
        DataError: a code lies outside the declared groups, or the lengths differ.
    """
    if len(codes) != len(cell) or (persons is not None and len(persons) != len(cell)):
        message = f"{len(codes)} memberships do not fit {len(cell)} evaluation records"
        raise DataError(message)
    if ((codes < UNKNOWN) | (codes >= groups)).any():
        message = f"a membership code lies outside the {groups} declared groups"
        raise DataError(message)
    kept = cell >= 0
    slot = np.where(codes == UNKNOWN, groups, codes)[kept] * CELLS + cell[kept]
    slots = (groups + 1) * CELLS
    several = repeated(persons)[kept] if persons is not None else np.zeros(slot.size, dtype=bool)
    singles = np.bincount(slot[~several], minlength=slots)
    kinds, counts = [np.eye(slots, dtype=np.int64)[singles > 0]], [singles[singles > 0]]
    if persons is not None and several.any():
        joined, joined_counts = _joined(slot[several], persons[kept][several], slots=slots)
        kinds.append(joined)
        counts.append(joined_counts)
    return Cells(
        kinds=np.concatenate(kinds).reshape(-1, groups + 1, CELLS),
        persons_of_kind=np.concatenate(counts),
        repeats=bool(several.any()),
    )


def repeated(persons: NDArray[np.object_]) -> NDArray[np.bool_]:
    """[M] whether the record's person has another record too; a missing person never has."""
    codes, _ = pd.factorize(persons)
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    return np.where(codes >= 0, sizes[codes] > 1, False)


def _joined(slot: Ints, persons: NDArray[np.object_], *, slots: int) -> tuple[Ints, Ints]:
    """Kinds [T, slots] of the persons with several records, and how many persons are of each kind."""
    codes, _ = pd.factorize(persons)
    order = np.lexsort((slot, codes))
    starts = np.flatnonzero(np.diff(codes[order])) + 1
    tally = Counter(tuple(own.tolist()) for own in np.split(slot[order], starts))
    kinds = np.stack([np.bincount(kind, minlength=slots) for kind in tally])
    return kinds, np.fromiter(tally.values(), dtype=np.int64)
