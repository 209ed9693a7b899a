"""Kinds of person where there are too many of them for a table over all groups: sparse, and never drawn from.

With hundreds of groups and persons of several records the table of kinds x groups x cells grows to gigabytes, and a
bootstrap over so many kinds would take hours. Then the kinds are kept as the few cells that each has, and intervals go
by the effective n that sums over persons give, as they do for weighted records: the sandwich variance of every rate,
each group by itself. That two groups share persons is left out of their comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from auditkit.fairness.metrics import DECISIONS, TRUTHS, Metric, mask
from auditkit.fairness.weights import Weighted, of_kinds
from auditkit.stats.bootstrap import Sample
from auditkit.subject.types import Ints, Mask

_CELLS = TRUTHS * DECISIONS
MOST = 40_000_000
"""Entries of a table of kinds, 8 bytes each, beyond which it is kept sparse."""


@dataclass(frozen=True)
class Kinds:
    """[T, (G + 1) * 6] what one person of each kind adds to each cell, and how many persons are of it."""

    table: sparse.csr_array
    persons: Ints
    """[T]"""
    groups: int
    """G"""
    unit: Weighted
    """Sums over persons, every record with weight 1."""

    @property
    def records(self) -> Ints:
        """[G + 1, 6]; and below, distinct persons with a record in the cell."""
        return self._cells(self.table)

    @property
    def in_cell(self) -> Ints:
        """[G + 1, 6]."""
        return self._cells(self.table > 0)

    @property
    def in_group(self) -> Ints:
        """[G + 1] distinct persons."""
        return np.asarray(self.persons @ (self._by_group(np.ones(_CELLS, dtype=np.int64)) > 0), dtype=np.int64)

    def with_trials(self, metric: Metric) -> Ints:
        """[G] persons with a record in the metric's denominator."""
        return np.asarray(self.persons @ (self._by_group(mask(metric.trials)) > 0), dtype=np.int64)[:-1]

    def with_trials_outside(self, metric: Metric, group: int) -> int:
        """Persons with a record in the denominator outside a group, unknown membership included."""
        trials = self._by_group(mask(metric.trials))
        outside = np.asarray(trials.sum(axis=1)).ravel() - trials[:, [group]].toarray().ravel()
        return int(self.persons @ (outside > 0))

    def several(self, metric: Metric, groups: Ints) -> bool:
        """Whether a person has records of the denominator in several of these groups."""
        inside = self._by_group(mask(metric.trials))[:, groups] > 0
        return bool((np.asarray(inside.sum(axis=1)).ravel() > 1).any())

    def sample(self, metric: Metric) -> Sample:
        """[T, G] in full, for what needs it: gigabytes where there are many groups."""
        events, trials = (self._by_group(mask(part)).toarray()[:, :-1] for part in (metric.events, metric.trials))
        return Sample(events=events, trials=trials, counts=self.persons)

    def _cells(self, table: sparse.csr_array) -> Ints:
        return np.asarray(self.persons @ table, dtype=np.int64).reshape(self.groups + 1, _CELLS)

    def _by_group(self, cells: Ints) -> sparse.csr_array:
        """[T, G + 1] sums over some of the six cells."""
        return self.table @ sparse.csr_array(np.kron(np.eye(self.groups + 1, dtype=np.int64), cells[:, None]))


def from_lists(kinds: Sequence[Sequence[int]], persons: Ints, *, groups: int) -> Kinds:
    """From the slots (group * 6 + cell) of the records of one person of each kind, one after another."""
    lengths = np.array([len(kind) for kind in kinds], dtype=np.int64)
    kind = np.repeat(np.arange(len(kinds)), lengths)
    slot = np.fromiter((at for own in kinds for at in own), dtype=np.int64, count=int(lengths.sum()))
    return from_rows(kind, slot, np.ones_like(slot), persons, groups=groups)


def from_rows(kind: Ints, slot: Ints, times: Ints, persons: Ints, *, groups: int) -> Kinds:
    """From rows [R]: a kind, a slot, and how often one person of the kind has it; rows of the same two add up."""
    shape = (len(persons), (groups + 1) * _CELLS)
    # Without types, because scipy's stubs know only arrays of one dimension here.
    made: Any = sparse.csr_array
    table = made((times, (kind, slot)), shape=shape, dtype=np.int64)
    table.sum_duplicates()
    found = table.tocoo()
    rows, columns = found.row.astype(np.int64), found.col.astype(np.int64)
    unit = of_kinds(rows, columns, np.asarray(found.data, dtype=np.float64), persons, groups=groups)
    return Kinds(table, persons, groups, unit)


def too_many(kinds: int, *, groups: int) -> bool:
    """Whether the table of so many kinds is kept sparse."""
    return kinds * (groups + 1) * _CELLS > MOST


def any_several(trials: Ints) -> bool:
    """Whether one kind of person [T, K] is in several groups."""
    inside: Mask = trials > 0
    return bool((inside.sum(axis=1) > 1).any())
