"""Permutation tests over groups, drawn from counts: which persons are in which group is shuffled, without any row.

Under the null the groups are a random division of the persons, so the counts by group are multivariate
hypergeometric given the totals. Drawing them directly gives the permutation distribution of the rows themselves
(Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005, ch. 3), at a cost that does not grow with the
records.
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
    """The widest gap as observed, the groups it lies between, and the widest gap of every shuffle."""

    gap: float
    highest: int
    lowest: int
    shuffles: Floats
    """[B]"""

    @property
    def p(self) -> float:
        """P(random groups show a gap at least as wide) = (1 + such shuffles) / (1 + shuffles).

        Valid at any number of shuffles (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39).
        """
        # Gaps that are equal in exact arithmetic may differ in the last bits.
        return (1 + int((self.shuffles >= self.gap - 1e-12).sum())) / (1 + self.shuffles.size)

    def wider(self, other: Shuffled) -> Shuffled:
        """The wider of two gaps, as observed and shuffle by shuffle."""
        chosen = self if self.gap >= other.gap else other
        return Shuffled(chosen.gap, chosen.highest, chosen.lowest, np.maximum(self.shuffles, other.shuffles))


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
        wanted = np.full(replicates, size, dtype=np.int64)
        for kind in range(len(kinds) - 1):
            others = left[:, kind + 1 :].sum(axis=1)
            out[:, group, kind] = generator.hypergeometric(left[:, kind], others, wanted)
            wanted = wanted - out[:, group, kind]
        out[:, group, -1] = wanted
        left -= out[:, group]
    out[:, -1] = left
    return out


def widest_gap(
    *, events: Ints, trials: Ints, persons: Ints, replicates: int, generator: np.random.Generator
) -> Shuffled:
    """Largest less smallest rate over the groups, as observed and in random divisions of the persons.

    Groups of few records spread most under shuffling, so beside them a gap between two large groups may be missed:
    tests of pairs look at those. A shuffle that leaves a group without trials counts that group out.

    Args:
        events, trials: [K] events and trials of one person of each kind. persons: [K, G] how many of each kind each
        group has.

    Raises:
        NumericsError: fewer than two groups, or a group without trials.
    """
    if persons.shape[1] < 2 or not (trials @ persons > 0).all():
        raise NumericsError("a gap needs at least two groups, each with records in the denominator")
    gap, highest, lowest = _gap(persons.T[None], events=events, trials=trials)
    drawn = draw(kinds=persons.sum(axis=1), sizes=persons.sum(axis=0), replicates=replicates, generator=generator)
    shuffles, _, _ = _gap(drawn, events=events, trials=trials)
    return Shuffled(float(gap[0]), int(highest[0]), int(lowest[0]), shuffles)


def _gap(persons: Ints, *, events: Ints, trials: Ints) -> tuple[Floats, Ints, Ints]:
    """Widest gap [B] and its groups, of persons [B, G, K] by group and kind."""
    hits, records = persons @ events, persons @ trials
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = hits / records
    high, low = np.where(records > 0, rate, -np.inf), np.where(records > 0, rate, np.inf)
    return high.max(axis=1) - low.min(axis=1), high.argmax(axis=1), low.argmin(axis=1)
