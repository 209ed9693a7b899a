"""What was predicted and what happened, record by record, for one outcome; and in whose units it is resampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from auditkit.result.outcomes import OutcomeKind
from auditkit.subject.types import Floats, Ints, Mask

Unit = Literal["records", "persons", "lists"]


@dataclass(frozen=True)
class Share:
    """Numerator and denominator of a ratio of sums, record by record; both 0 where a record is not counted."""

    part: Floats
    """[M]"""
    whole: Floats
    """[M] at least 0."""


@dataclass(frozen=True)
class Answers:
    """One outcome's evaluation records; M of them, those not counted included."""

    kind: OutcomeKind
    truth: Floats
    """[M] class code, number or merit; NaN where unknown."""
    prediction: Floats
    """[M] class code, number or score; NaN where unknown."""
    weights: Floats
    """[M] at least 0; ones where the policy names none."""
    persons: Ints
    """[M] codes from 0."""
    lists: Ints | None = None
    """[M] list that each record is placed in; None: all are one list."""
    classes: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    top: tuple[float, ...] = ()
    weighted: bool = False

    @cached_property
    def counted(self) -> Mask:
        """[M] records of which prediction and truth are known; of a ranking without merit, the prediction."""
        known = np.isfinite(self.prediction)
        return known if self.kind == "ranking" else known & np.isfinite(self.truth)

    @cached_property
    def merited(self) -> Mask:
        """[M] records of a ranking whose merit is known too."""
        return np.asarray(self.counted & np.isfinite(self.truth), dtype=np.bool_)

    @cached_property
    def repeats(self) -> bool:
        """Whether any person has several records."""
        return len(self.persons) > len(np.unique(self.persons))

    @property
    def unit(self) -> Unit:
        """What is resampled whole: lists where records are placed in several, else persons where they repeat."""
        if self.lists is not None:
            return "lists"
        return "persons" if self.repeats else "records"

    @property
    def units(self) -> Ints:
        """[M] codes of the units."""
        return self.persons if self.lists is None else self.lists

    @cached_property
    def error(self) -> Floats:
        """[M] prediction - truth of a number; 0 where not counted."""
        return np.asarray(np.where(self.counted, self.prediction - self.truth, 0.0), dtype=np.float64)

    @cached_property
    def places(self) -> tuple[Ints, Ints, Ints]:
        """[M] records of the same list placed above; [M] tied ones, itself included; [M] records of the list."""
        above, tied, size = (np.zeros(len(self.prediction), dtype=np.int64) for _ in range(3))
        own = np.flatnonzero(self.counted)
        lists = np.zeros(len(own), dtype=np.int64) if self.lists is None else self.lists[own]
        score = self.prediction[own]
        order = np.lexsort((-score, lists))
        new_list = np.append(True, np.diff(lists[order]) != 0) if own.size else np.zeros(0, dtype=bool)
        new_tie = new_list | np.append(True, np.diff(score[order]) != 0) if own.size else new_list
        at = np.arange(own.size)
        first = np.maximum.accumulate(np.where(new_list, at, 0)) if own.size else at
        start = np.maximum.accumulate(np.where(new_tie, at, 0)) if own.size else at
        above[own[order]] = start - first
        tie, whole = np.cumsum(new_tie) - 1, np.cumsum(new_list) - 1
        tied[own[order]] = np.bincount(tie)[tie] if own.size else at
        size[own[order]] = np.bincount(whole)[whole] if own.size else at
        return above, tied, size

    @cached_property
    def exposure(self) -> Floats:
        """[M] 1 / log2(1 + place), shared equally among tied records, over its mean in the list; 0 if not counted."""
        above, tied, size = self.places
        longest = int(size.max(initial=0))
        total = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + np.arange(1, longest + 1)))])
        own = self.counted
        out = np.zeros(len(self.prediction))
        shared = (total[above + tied] - total[above])[own] / tied[own]
        out[own] = shared / (total[size][own] / size[own])
        return out

    def inside(self, depth: float) -> Floats:
        """[M] chance of standing among the first places when ties are broken at random; a depth below 1 is a share."""
        above, tied, size = self.places
        places = np.floor(depth * size + 1e-9) if depth < 1 else np.full(len(size), depth)
        chance = (places - above) / np.maximum(tied, 1)
        return np.asarray(np.where(self.counted, np.clip(chance, 0.0, 1.0), 0.0), dtype=np.float64)

    @cached_property
    def cells(self) -> tuple[Mask, ...]:
        """Sets of counted records whose sizes follow from the figures; none may tell of a few persons."""
        if self.kind == "classes":
            hit = [(self.truth == c, self.prediction == c) for c in range(len(self.classes))]
            return tuple(self.counted & t & p for one, other in hit for t in (one, ~one) for p in (other, ~other))
        if self.kind == "number":
            return self.counted & (self.error > 0), self.counted & (self.error < 0)
        found = [self.counted & (self.inside(depth) > 0) for depth in self.top]
        found += [self.counted & (self.inside(depth) < 1) for depth in self.top]
        merit = self.truth[self.merited]
        if 0 < np.unique(merit).size <= 2:
            found += [self.merited & (self.truth == value) for value in (merit.min(), merit.max())]
        return tuple(found)
