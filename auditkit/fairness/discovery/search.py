"""The worst conjunctions of up to three conditions, by how far an outcome lies above its mean for their size.

Score of a slice S of s records, of which `hit` have the outcome, among n records of which `all` do:

    z(S) = (hit - s r) / sqrt(s (1 - s/n) v),   r = all / n,   v = r (1 - r) n / (n - 1)

the standard score of the hypergeometric law (also right for values between 0 and 1, with their own variance v). Every
single condition and every pair is looked at, by two sparse products. Triples extend pairs: an optimistic bound of what
any part of a pair can reach (all its hits in as few records as the smallest allowed, Wrobel 1997) drops those that
cannot enter, and of the others the BEAM best are extended; `Found.complete` says whether any was left out.

After SliceLine (Sagadeeva & Boehm, SIGMOD 2021): enumeration as linear algebra over one-hot conditions, bounds from
the parents. Their score weighs error against size by a constant; this one is the statistic that the confirmation tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy import sparse

from auditkit.fairness.discovery.conditions import Conditions
from auditkit.subject.types import Floats, Ints

BEAM: Final = 1000
"""Pairs that are extended at most."""
OVERLAP: Final = 0.5
"""Share of records in common, of both together, above which of two slices only the better is kept."""
_KEPT: Final = 400
"""Best slices of each length that are compared for overlap."""


@dataclass(frozen=True)
class Found:
    """Slices in falling order of score."""

    chosen: tuple[tuple[int, ...], ...]
    """Conditions of each slice, by number."""
    score: Floats
    looked_at: int
    """Slices whose score was computed."""
    complete: bool
    """Whether no triple was left out but by a bound that proves it worse."""


@dataclass(frozen=True)
class _Level:
    """Slices of one length: their conditions [., k], sizes, hits and scores."""

    chosen: Ints
    size: Floats
    hits: Floats
    score: Floats


@dataclass(frozen=True)
class _World:
    """What every score needs."""

    holds: sparse.csr_array
    outcome: Floats
    column: Ints
    least: int

    @property
    def n(self) -> int:
        return len(self.outcome)

    @property
    def mean(self) -> float:
        return float(self.outcome.mean())

    def score(self, size: Floats, hits: Floats) -> Floats:
        """Z of slices; -inf below the least size and for slices of all records."""
        variance = float(self.outcome.var(ddof=1))
        spread = size * (1 - size / self.n) * variance
        usable = (size >= self.least) & (size <= self.n - self.least)
        safe = np.where(usable & (spread > 0), spread, 1.0)
        found: Floats = np.where(usable & (spread > 0), (hits - size * self.mean) / np.sqrt(safe), -np.inf)
        return found

    def bound(self, size: Floats, hits: Floats) -> Floats:
        """The most that a part of each slice can reach: its hits alone, or the least size with as many as fit."""
        fewest = np.clip(hits, self.least, np.maximum(size, self.least))
        return np.maximum(self.score(fewest, np.minimum(hits, fewest)), self.score(size, hits))


def search(conditions: Conditions, outcome: Floats, *, least: int, wanted: int, beam: int = BEAM) -> Found:
    """The `wanted` best slices that do not mostly hold the same records.

    Args:
        conditions: over the M records searched. outcome: [M] in [0, 1], for example 1.0 for a wrong decision.
        least: records that a slice needs, and that must lie outside it. wanted: slices. beam: see BEAM.
    """
    world = _World(conditions.holds, outcome, conditions.column, least)
    if world.n < 2 or not conditions.texts or float(outcome.var()) == 0:
        return Found((), np.zeros(0), 0, complete=True)
    ones = _ones(world)
    twos, looked = _twos(world)
    threes, more, complete = _threes(world, twos, ones, wanted=wanted, beam=beam)
    best = _best((ones, twos, threes))
    kept = _distinct(conditions, best, wanted)
    return Found(
        tuple(chosen for chosen, _ in kept),
        np.array([score for _, score in kept]),
        looked_at=len(ones.size) + looked + more,
        complete=complete,
    )


def _ones(world: _World) -> _Level:
    size = np.asarray(world.holds.sum(axis=0), dtype=np.float64).ravel()
    hits = np.asarray(world.holds.T @ world.outcome)
    return _Level(np.arange(len(size))[:, None], size, hits, world.score(size, hits))


def _twos(world: _World) -> tuple[_Level, int]:
    """Every pair of conditions on different columns."""
    size = (world.holds.T @ world.holds).toarray()
    hits = (world.holds.T @ world.holds.multiply(world.outcome[:, None]).tocsr()).toarray()
    first, second = np.triu_indices(len(size), k=1)
    apart = world.column[first] != world.column[second]
    first, second = first[apart], second[apart]
    pairs = np.stack([first, second], axis=1)
    own = (size[first, second], hits[first, second])
    return _Level(pairs, *own, world.score(*own)), len(pairs)


def _threes(world: _World, twos: _Level, ones: _Level, *, wanted: int, beam: int) -> tuple[_Level, int, bool]:
    """Extensions of the pairs whose bound can enter the best; the best of those by score, where they are many."""
    scores = np.sort(np.concatenate([ones.score, twos.score]))[::-1]
    entry = scores[min(_KEPT, len(scores)) - 1] if len(scores) > wanted else -np.inf
    able = np.flatnonzero((twos.size >= world.least) & (world.bound(twos.size, twos.hits) > entry))
    complete = len(able) <= beam
    if not complete:
        able = able[np.argsort(-twos.score[able], kind="stable")[:beam]]
    pairs = twos.chosen[able]
    if not len(pairs):
        return _Level(np.zeros((0, 3), dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0)), 0, complete
    size, hits = (_within(world, pairs, weigh=weigh) @ world.holds for weigh in (False, True))
    size, hits = size.toarray(), hits.toarray()
    # A third condition stands on a third column; each triple is taken once, however many of its pairs are here.
    count = size.shape[1]
    columns = world.column[pairs]
    fits = (world.column != columns[:, :1]) & (world.column != columns[:, 1:])
    at, other = np.nonzero(fits)
    triples = np.sort(np.column_stack([pairs[at], other]), axis=1)
    _, once = np.unique((triples[:, 0] * count + triples[:, 1]) * count + triples[:, 2], return_index=True)
    own = (size[at, other][once], hits[at, other][once])
    return _Level(triples[once], *own, world.score(*own)), len(once), complete


def _within(world: _World, pairs: Ints, *, weigh: bool) -> sparse.csr_array:
    """[P, M] which records meet both conditions of each pair, or their outcome."""
    columns = world.holds.tocsc()
    meet = [np.asarray(columns.indices[start:end], dtype=np.int64) for start, end in pairwise(columns.indptr)]
    if weigh:
        meet = [rows[world.outcome[rows] != 0] for rows in meet]
    both: dict[int, Ints] = {}
    for first in np.unique(pairs[:, 0]):
        mask = np.zeros(world.n, dtype=np.bool_)
        mask[meet[first]] = True
        for at in np.flatnonzero(pairs[:, 0] == first):
            rows = meet[pairs[at, 1]]
            both[int(at)] = rows[mask[rows]]
    rows = np.concatenate([both[at] for at in range(len(pairs))])
    ends = np.cumsum([0, *(len(both[at]) for at in range(len(pairs)))])
    data = world.outcome[rows] if weigh else np.ones(len(rows))
    return sparse.csr_array((data, rows, ends), shape=(len(pairs), world.n))


def _best(levels: tuple[_Level, ...]) -> list[tuple[tuple[int, ...], float]]:
    """The best of each length together, falling; of equals the shorter first."""
    found = []
    for level in levels:
        for at in np.argsort(-level.score, kind="stable")[:_KEPT]:
            if level.score[at] > 0:
                found.append((tuple(level.chosen[at].tolist()), float(level.score[at])))
    return sorted(found, key=lambda row: (-row[1], len(row[0]), row[0]))


def _distinct(
    conditions: Conditions, best: list[tuple[tuple[int, ...], float]], wanted: int
) -> list[tuple[tuple[int, ...], float]]:
    kept: list[tuple[tuple[int, ...], float]] = []
    masks: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
    for chosen, score in best:
        mask = conditions.mask(chosen)
        if all((mask & other).sum() <= OVERLAP * (mask | other).sum() for other in masks):
            kept.append((chosen, score))
            masks.append(mask)
        if len(kept) == wanted:
            break
    return kept
