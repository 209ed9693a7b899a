"""Rates over shares of records: sum of share times event over sum of share times trial, and how sure that is.

With shares of 0 and 1 this is the plain rate of every group, groups may overlap, and no cell of an exclusive table can
carry it. With probabilities it is the weighted estimator of Chen, Kallus, Mao, Svacha and Udell, FAT* 2019, (4):
sum of P(group | proxies) times outcome over sum of P(group | proxies). Its bias is known: minus the mean covariance,
given the proxies, of membership and outcome, over the group's share (theorem 3.1); it is right where the two are
independent given the proxies. No sample tells that covariance; `bounds` says how far it may lead.

Legend: M records with a decision, J persons, C columns (groups, then what stands outside each
group where that is the reference).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from auditkit.fairness.cells import CELLS
from auditkit.fairness.metrics import Metric, mask
from auditkit.subject.types import Floats, Ints, Mask


@dataclass(frozen=True)
class Rows:
    """The records that a membership is measured on."""

    share: Floats
    """[M, C] in [0, 1]; 0 where membership is not known."""
    known: Mask
    """[M]"""
    cell: Ints
    """[M] truth * 2 + decision, from `cells.cell_of`; none is negative."""
    persons: Ints
    """[M] codes from 0."""
    weights: Floats | None
    """[M] sample weights, or None."""
    soft: bool
    """Whether shares are probabilities."""

    @cached_property
    def repeats(self) -> bool:
        """Whether any person has several records."""
        return np.unique(self.persons).size < self.persons.size

    @cached_property
    def weighed(self) -> Floats:
        """[M, C] what a record adds to each column's denominator."""
        return self.share if self.weights is None else self.share * self.weights[:, None]

    def by_person(self, values: Floats) -> Floats:
        """[J, C] sums of [M, C] values over persons."""
        if not self.repeats:
            return values
        count = int(self.persons.max()) + 1
        return np.column_stack(
            [np.bincount(self.persons, weights=values[:, c], minlength=count) for c in range(values.shape[1])]
        )

    @cached_property
    def headcount(self) -> Floats:
        """[C, 6] persons with a record in each cell; expected ones where shares are probabilities."""
        out = np.zeros((self.share.shape[1], CELLS))
        for cell in range(CELLS):
            out[:, cell] = self.heads(self.cell == cell)
        return out

    def heads(self, rows: Mask) -> Floats:
        """[C] (expected) persons with one of these records; a person counts with the largest share among them."""
        share = self.share[rows]
        if not self.repeats:
            return np.asarray(share.sum(axis=0), dtype=np.float64)
        most = np.zeros((int(self.persons.max()) + 1, share.shape[1]))
        np.maximum.at(most, self.persons[rows], share)
        return np.asarray(most.sum(axis=0), dtype=np.float64)

    @cached_property
    def records(self) -> Floats:
        """[C, 6] records in each cell; expected ones where shares are probabilities."""
        out = np.zeros((CELLS, self.share.shape[1]))
        np.add.at(out, self.cell, self.share)
        return out.T

    @cached_property
    def effective_persons(self) -> Floats:
        """[C] the least of the persons of a column and of Kish's effective number of them, (sum s)² / sum s²."""
        return np.minimum(self.heads(self.known), kish(self.by_person(self.weighed)))


@dataclass(frozen=True)
class Shares:
    """One metric over all columns."""

    values: Floats
    """[C] NaN where no trial."""
    events: Floats
    """[C] records, or expected ones."""
    trials: Floats
    effective: Floats
    """[C] n of a Wilson interval with the variance that the persons show."""
    support: Floats
    """[C] the least of trials and of Kish's effective number of persons in the denominator."""
    influence: Floats
    """[J, C] how the value moves when a person is counted twice; adds up to 0."""


def shares(rows: Rows, metric: Metric) -> Shares:
    """One metric's values, denominators, effective n and influence values.

    The variance of the ratio of two sums over persons is linearised, sum over persons of (e - r t)² / (sum t)² (the
    sandwich; with J / (J - 1) where it is estimated at all), and the effective n is r (1 - r) over it, never above
    Kish's n of the records, so that nobody counts more than once. For shares of 0 and 1, one record a person and no
    weights it is the number of records. A rate of 0 or 1 shows no variance: Kish's n of the persons then stands for it.
    """
    event, trial = (mask(cells)[rows.cell].astype(np.float64)[:, None] for cells in (metric.events, metric.trials))
    e, t = rows.by_person(rows.weighed * event), rows.by_person(rows.weighed * trial)
    total = t.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = e.sum(axis=0) / total
        influence = np.where(total > 0, (e - value * t) / total, 0.0)
        spread = (influence**2).sum(axis=0)
        if rows.repeats or rows.soft or rows.weights is not None:
            inside = (t > 0).sum(axis=0)
            spread = spread * inside / np.maximum(inside - 1, 1)
        ceiling, persons = kish(rows.weighed * trial), kish(t)
        effective = np.where(spread > 0, np.minimum(value * (1 - value) / spread, ceiling), persons)
    counts = rows.records
    events, trials = counts @ mask(metric.events), counts @ mask(metric.trials)
    return Shares(value, events, trials, effective, np.minimum(trials, persons), influence)


def kish(values: Floats) -> Floats:
    """[C] (sum v)² / sum v² of [J, C]; 0 where all are 0 (Kish, Survey Sampling, 1965, 11.7)."""
    squares = (values**2).sum(axis=0)
    return np.where(squares > 0, values.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0), 0.0)
