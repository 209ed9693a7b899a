"""Which groups can be assessed for one outcome, and which figures may be exact: the rules of `fairness.disclosure`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from auditkit.fairness.disclosure import complete, lines
from auditkit.fairness.groups import Standing
from auditkit.fairness.outcomes.answers import Answers, Share
from auditkit.fairness.outcomes.registry import Method
from auditkit.policy.schema import FairnessSettings
from auditkit.subject.types import Floats, Grouping, Ints, Mask

DOMINANT = 0.15
"""The p % rule: whoever knows their own value must not learn the largest contributor's to within this share of it."""
FEW_LISTS = 20
NO_REFERENCE = "the reference is not among the groups"


@dataclass(frozen=True)
class Scene:
    """One outcome on one grouping: its records by group, and what may be said of each group."""

    answers: Answers
    grouping: Grouping
    settings: FairnessSettings
    minimum_cell: int
    state: Standing

    @cached_property
    def rows(self) -> list[Ints]:
        """[G] each group's counted records."""
        codes = np.where(self.answers.counted, self.grouping.codes, -1)
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(self.grouping.labels) + 1))
        return [order[ends[g] : ends[g + 1]] for g in range(len(self.grouping.labels))]

    @cached_property
    def units(self) -> list[tuple[Ints, Ints]]:
        """[G] the units of each group, and [N] which of them each of its records is of."""
        return [compact(self.answers.units[own], alone=self.answers.unit == "records") for own in self.rows]

    @cached_property
    def _people(self) -> list[Ints]:
        """[G][N] person of each record of a group, from 0."""
        return [compact(self.answers.persons[own], alone=not self.answers.repeats)[1] for own in self.rows]

    @property
    def groups(self) -> range:
        """Positions of the groups."""
        return range(len(self.grouping.labels))

    @property
    def reference(self) -> int:
        """Position of the reference among the labels; -1 where it is none of them."""
        labels = self.grouping.labels
        return labels.index(self.grouping.reference) if self.grouping.reference in labels else -1

    def trials(self, shares: tuple[Share, ...], group: int) -> int:
        """Persons in the smallest denominator of the group."""
        own, who = self.rows[group], self._people[group]
        return min(int(np.count_nonzero(np.bincount(who[share.whole[own] > 0]))) for share in shares)

    def records(self, shares: tuple[Share, ...], group: int) -> int:
        """Records in any denominator of the group."""
        own = self.rows[group]
        return int(np.any([share.whole[own] > 0 for share in shares], axis=0).sum())

    def why_not(self, method: Method, shares: tuple[Share, ...], version: int, group: int) -> str:
        """Why a metric of a group is not estimated; empty where it is."""
        reason = self.state.why_not(group, repeats=self.answers.repeats)
        if reason:
            return reason
        least = max(self.settings.minimum_denominator, self.minimum_cell)
        n = self.trials(shares, group)
        if n < least or not all(self._weight(share, group) > 0 for share in shares):
            return f"not estimable: fewer than {least} {method.trials_are} in this group"
        q = self.answers.quantiles[version] if method.estimator == "quantile" else 0.5
        if min(q, 1 - q) * n < least:
            return f"not estimable: fewer than {least} records are expected beyond this quantile"
        if self.answers.unit == "lists" and self.units[group][0].size < FEW_LISTS:
            return f"not estimable: the group stands in fewer than {FEW_LISTS} lists"
        return ""

    def against_why_not(self, why: list[str], group: int) -> str:
        """Why a group is not compared, given why each group is not estimated."""
        if self.reference < 0:
            return NO_REFERENCE
        return f"reference: {why[self.reference]}" if why[self.reference] else why[group]

    def _weight(self, share: Share, group: int) -> float:
        own = self.rows[group]
        return float(self.answers.weights[own] @ share.whole[own])


def scene(
    answers: Answers,
    name: str,
    groupings: dict[str, Grouping],
    *,
    settings: FairnessSettings,
    minimum_cell: int,
    whole: Grouping | None = None,
) -> Scene:
    """One grouping of an outcome, gated; `whole` is all records as one group, in place of a grouping by name.

    A group is closed (nothing of it is exact) where the persons of one of `Answers.cells` or the records left out of
    it are few but not none, or where one person's error makes most of the group's; and as `disclosure` says beyond.
    """
    grouping = groupings[name] if whole is None else whole
    along = (np.arange(2),) if whole is not None else lines(name, groupings)
    count, codes = len(grouping.labels), grouping.codes
    everyone = codes >= 0
    records = np.bincount(np.where(everyone, codes, count)[answers.counted], minlength=count + 1)
    persons = _by_group(answers, codes, count, answers.counted)
    left = _by_group(answers, codes, count, ~answers.counted)
    sizes, minimum = np.minimum(records, persons), max(settings.minimum_group, minimum_cell)
    assessed = sizes >= minimum
    assessed[-1] = False
    few = (sizes > 0) & (sizes < minimum_cell)
    hidden = complete(withheld=few, sensitive=few, sizes=sizes, along=along, minimum=minimum_cell)
    small = (left > 0) & (left < minimum_cell)
    if answers.kind == "ranking":
        without = _by_group(answers, codes, count, answers.counted & ~answers.merited)
        small |= (without > 0) & (without < minimum_cell) & answers.merited.any()
    for cell in answers.cells:
        small |= _by_group(answers, codes, count, cell) < minimum_cell
    exposed = small | ~assessed | hidden | _dominated(answers, codes, count)
    sensitive = exposed.copy()
    sensitive[-1] = False
    closed = complete(withheld=exposed, sensitive=sensitive, sizes=sizes, along=along, minimum=minimum_cell)
    state = Standing(minimum=minimum, assessed=assessed[:-1], empty=sizes[:-1] == 0, hidden=hidden, closed=closed)
    return Scene(answers, grouping, settings, minimum_cell, state)


def largest(answers: Answers, rows: Ints) -> tuple[float, float, float]:
    """The largest sum of errors of one person, the next, and all others' together, in size; of weighted records."""
    who = np.unique(answers.persons[rows], return_inverse=True)[1].ravel()
    sums = np.sort(np.bincount(who, weights=answers.weights[rows] * np.abs(answers.error[rows]), minlength=2))[::-1]
    return float(sums[0]), float(sums[1]), float(sums[2:].sum())


def _dominated(answers: Answers, codes: Ints, count: int) -> Mask:
    """[G + 1] whether the others' errors leave the largest one in plain sight."""
    out = np.zeros(count + 1, dtype=np.bool_)
    for group in range(count) if answers.kind == "number" else ():
        rows = np.flatnonzero(answers.counted & (codes == group))
        if rows.size:
            first, _, rest = largest(answers, rows)
            out[group] = rest < DOMINANT * first
    return out


def _by_group(answers: Answers, codes: Ints, count: int, inside: Mask) -> Ints:
    """[G + 1] persons of each group among these records; the last is unknown membership."""
    group = np.where(codes < 0, count, codes)[inside]
    if answers.repeats:
        # Pairs of group and person, each once.
        group = np.unique(answers.persons[inside] * (count + 1) + group) % (count + 1)
    return np.bincount(group, minlength=count + 1)


def compact(codes: Ints, *, alone: bool) -> tuple[Ints, Ints]:
    """The codes met, and [N] which of them each record has; `alone`: every record has its own."""
    if alone:
        return codes, np.arange(codes.size, dtype=np.int64)
    known, place = np.unique(codes, return_inverse=True)
    return known, np.asarray(place.ravel(), dtype=np.int64)


def spread(answers: Answers, share: Share, rows: Ints) -> float:
    """How far one record moves the sum of a group: standard deviation of part - average whole."""
    w: Floats = answers.weights[rows] * len(rows) / answers.weights[rows].sum()
    part, whole = w * share.part[rows], w * share.whole[rows]
    return float(np.std(part - part.sum() / whole.sum() * whole))
