"""Permutation tests over groups, drawn from counts: which persons are in which group is shuffled, without any row.

Under the null the groups are a random division of the persons, so the counts by group are multivariate
hypergeometric given the totals. Drawing them directly gives the permutation distribution of the rows themselves
(Fisher; Good, Permutation Tests, 2005, ch. 3), at a cost that does not grow with the records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import NumericsError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shuffled:
    """The widest gap as observed and how often shuffled groups show one as wide."""

    gap: float
    highest: int
    lowest: int
    p: float


def draw(*, kinds: Ints, sizes: Ints, replicates: int, generator: np.random.Generator) -> Ints:
    """[B, G, K] how many persons of each kind fall into each group of a random division.

    Args:
        kinds: [K] persons of each kind, over all groups. sizes: [G] persons of each group, of the same sum.

    Raises:
        NumericsError: the sums differ.
    """
    if kinds.sum() != sizes.sum():
        raise NumericsError(f"{kinds.sum()} persons cannot be divided into groups of {sizes.sum()}")
    out = np.zeros((replicates, len(sizes), len(kinds)), dtype=np.int64)
    left = np.broadcast_to(kinds, (replicates, len(kinds))).copy()
    for group, size in enumerate(sizes[:-1].tolist()):
        wanted = np.full(replicates, size)
        for kind in range(len(kinds)):
            others = left[:, kind + 1 :].sum(axis=1)
            taken = generator.hypergeometric(left[:, kind], others, wanted) if kind + 1 < len(kinds) else wanted
            out[:, group, kind] = taken
            wanted = wanted - taken
        left -= out[:, group]
    out[:, -1] = left
    return out


def widest_gap(
    *, events: Ints, trials: Ints, persons: Ints, replicates: int, generator: np.random.Generator
) -> Shuffled:
    """Largest less smallest rate over the groups, and P(a random division shows at least that).

    p = (1 + shuffles with a gap at least as wide) / (1 + shuffles), valid at any size (Phipson and Smyth, Stat. Appl.
    Genet. Mol. Biol. 9 (2010) 39). Groups of few records spread most under shuffling, so beside them a gap between two
    large groups may be missed: the pairwise tests look at those. A shuffle that leaves a group without trials counts
    that group out.

    Args:
        events, trials: [K, G] what is observed, as persons of kind k (so many events in so many trials) in group g:
            per kind the events and trials of one person [K], see `persons`. persons: [K, G] how many of each.
            events, trials may be [K].
    """
    gap, highest, lowest = _gap(persons.T[None], events=events, trials=trials)
    drawn = draw(kinds=persons.sum(axis=1), sizes=persons.sum(axis=0), replicates=replicates, generator=generator)
    shuffled = _gap(drawn, events=events, trials=trials)[0]
    # Gaps that are equal in exact arithmetic may differ in the last bits.
    p = (1 + int((shuffled >= gap[0] - 1e-12).sum())) / (1 + replicates)
    return Shuffled(float(gap[0]), int(highest[0]), int(lowest[0]), p)


def _gap(persons: Ints, *, events: Ints, trials: Ints) -> tuple[Floats, Ints, Ints]:
    """Widest gap [B] and its groups, of persons [B, G, K] by group and kind."""
    hits, records = persons @ events, persons @ trials
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / records
    high, low = np.where(records > 0, rate, -np.inf), np.where(records > 0, rate, np.inf)
    return high.max(axis=1) - low.min(axis=1), high.argmax(axis=1), low.argmin(axis=1)
