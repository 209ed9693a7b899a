"""Cell counts: groups x truth x decision, over records and over persons, in one pass over the rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import DataError
from auditkit.fairness.kinds import Kinds, any_several, from_lists, too_many
from auditkit.fairness.metrics import DECISIONS, MISSING, TRUTHS, Metric, mask
from auditkit.fairness.weights import Weighted, effective_sample, weigh
from auditkit.stats.bootstrap import Sample
from auditkit.subject.persons import person_codes
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
    weighted: Weighted | None = None
    """Sums of sample weights; None where every record counts once."""
    many: Kinds | None = None
    """The kinds where they are too many for `kinds`, which is then empty."""

    @cached_property
    def records(self) -> Ints:
        """[G + 1, 6] records."""
        if self.many is not None:
            return self.many.records
        return np.asarray(np.tensordot(self.persons_of_kind, self.kinds, axes=1), dtype=np.int64)

    @cached_property
    def persons(self) -> Ints:
        """[G + 1, 6] distinct persons with a record in the cell."""
        if self.many is not None:
            return self.many.in_cell
        return np.asarray(np.tensordot(self.persons_of_kind, self.kinds > 0, axes=1), dtype=np.int64)

    @cached_property
    def group_records(self) -> Ints:
        """[G + 1] records."""
        return np.asarray(self.records.sum(axis=1), dtype=np.int64)

    @cached_property
    def group_persons(self) -> Ints:
        """[G + 1] distinct persons."""
        if self.many is not None:
            return self.many.in_group
        return np.asarray(self.persons_of_kind @ self.kinds.any(axis=2), dtype=np.int64)

    @property
    def mass(self) -> Ints | Floats:
        """[G + 1, 6] sums of weights, or records where none has a weight: what point values are made of."""
        return self.records if self.weighted is None else self.weighted.sums

    def effective(self, metric: Metric) -> Floats | None:
        """[G] effective n of a metric's denominator; None where intervals are made from the counts."""
        if self.sums is None:
            return None
        if metric not in self._effective:
            persons = None
            if self.many is not None:
                persons = self.many.with_trials(metric)
            elif self.repeats:
                persons = self.persons_of_kind @ (self.sample(metric).trials > 0)
            self._effective[metric] = self.sums.effective(metric, persons=persons)
        return self._effective[metric]

    @property
    def divides(self) -> str:
        """What n is divided for, in words."""
        return " and of ".join(["the weights"] * (self.weighted is not None) + ["repeated persons"] * self.repeats)

    @property
    def sums(self) -> Weighted | None:
        """Sums that effective numbers are made from: of the weights, or of many kinds of person."""
        return self.many.unit if self.weighted is None and self.many is not None else self.weighted

    def several(self, metric: Metric, groups: Ints) -> bool:
        """Whether a person has records of the denominator in several of these groups."""
        if self.many is not None:
            return self.many.several(metric, groups)
        return any_several(self.sample(metric).trials[:, groups])

    def persons_outside(self, metric: Metric, group: int) -> int:
        """Persons with a record of the denominator outside a group, unknown membership included."""
        if self.many is not None:
            return self.many.with_trials_outside(metric, group)
        trials = (self.kinds.sum(axis=1) - self.kinds[:, group]) @ mask(metric.trials)
        return int(self.persons_of_kind @ (trials > 0))

    @cached_property
    def _effective(self) -> dict[Metric, Floats]:
        return {}

    def drawn_from(self, metric: Metric) -> Sample:
        """What a bootstrap draws from: the persons, or the effective counts where records are weighted."""
        effective = self.effective(metric)
        if self.sums is None or effective is None:
            return self.sample(metric)
        return effective_sample(self.sums.rates(metric), effective)

    def sample(self, metric: Metric) -> Sample:
        """One metric's events and trials by kind of person, unknown membership left out."""
        if self.many is not None:
            return self.many.sample(metric)
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


def count(
    *, codes: Ints, groups: int, cell: Ints, persons: NDArray[np.object_] | None, weights: Floats | None = None
) -> Cells:
    """Count one grouping.

    Args:
        codes: [M] group of each record, UNKNOWN (-1) where not known.
        groups: G, declared groups, empty ones included.
        cell: [M] from `cell_of`.
        persons: [M] or None; a record whose person is missing is its own person.
        weights: [M] sample weights from `weights.check`, or None.

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
    alone = np.flatnonzero(singles)
    together: Counter[tuple[int, ...]] = Counter()
    if persons is not None and several.any():
        together = _joined(slot[several], persons[kept][several])
    counts = np.concatenate([singles[alone], np.fromiter(together.values(), dtype=np.int64, count=len(together))])
    weighted = None if weights is None else _weigh(slot, weights[kept], groups=groups, persons=persons, kept=kept)
    if together and too_many(len(counts), groups=groups):
        many = from_lists([*((at,) for at in alone.tolist()), *together], counts, groups=groups)
        nothing = np.zeros((0, groups + 1, CELLS), dtype=np.int64)
        return Cells(nothing, counts, repeats=True, weighted=weighted, many=many)
    kinds = [np.eye(slots, dtype=np.int64)[alone], *(np.bincount(kind, minlength=slots)[None] for kind in together)]
    return Cells(
        kinds=np.concatenate(kinds).reshape(-1, groups + 1, CELLS),
        persons_of_kind=counts,
        repeats=bool(several.any()),
        weighted=weighted,
    )


def _weigh(
    slot: Ints, weights: Floats, *, groups: int, persons: NDArray[np.object_] | None, kept: NDArray[np.bool_]
) -> Weighted:
    together = persons is not None and bool(repeated(persons)[kept].any())
    who = person_codes(persons[kept]) if persons is not None and together else None
    return weigh(slot, weights, groups=groups, who=who)


def repeated(persons: NDArray[np.object_]) -> NDArray[np.bool_]:
    """[M] whether the record's person has another record too; a missing person never has."""
    codes, _ = pd.factorize(persons)
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    return np.where(codes >= 0, sizes[codes] > 1, False)


def _joined(slot: Ints, persons: NDArray[np.object_]) -> Counter[tuple[int, ...]]:
    """Slots of the records of a person with several, and how many persons have the same."""
    codes, _ = pd.factorize(persons)
    order = np.lexsort((slot, codes))
    starts = np.flatnonzero(np.diff(codes[order])) + 1
    return Counter(tuple(own.tolist()) for own in np.split(slot[order], starts))
