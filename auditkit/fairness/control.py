"""Conditional parity: whether a gap stays within the strata of a control column, shrinks, or turns round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, DataError
from auditkit.fairness import disclosure
from auditkit.fairness.cells import Cells, count
from auditkit.fairness.disparity import rate_estimates, rates
from auditkit.fairness.groups import Standing, standing
from auditkit.fairness.metrics import DECISIONS, METRICS, rate_counts, values
from auditkit.fairness.pooled import Pooled, Rows, of_persons, of_records, of_weights
from auditkit.fairness.release import SMALL_CELL, release_rate
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Conditional, Estimate, Stratum
from auditkit.stats.intervals import critical
from auditkit.stats.mover import Bounded
from auditkit.stats.multiplicity import sidak
from auditkit.stats.stratified import Strata, strata
from auditkit.subject.groups import intersect
from auditkit.subject.labels import group_levels
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Grouping, Ints

Pattern = Literal["reverses", "vanishes", "appears", "holds", "not-shown"]
MOST = 30
"""Values of a control column; with more, strata are too thin to say anything."""
SELECTION = METRICS["selection_rate"]
WORDS: Mapping[Pattern, str] = {
    "reverses": "the association reverses (Simpson's reversal): {group} is selected {all} often than {reference} over "
    "all records, and {within} often within strata of {control}",
    "vanishes": "{group} is selected {all} often than {reference} over all records; within strata of {control} no "
    "difference is shown",
    "appears": "over all records no difference between {group} and {reference} is shown; within strata of {control} "
    "{group} is selected {within} often",
    "holds": "{group} is selected {all} often than {reference} over all records, and within strata of {control} too",
    "not-shown": "no difference between {group} and {reference} is shown, over all records or within strata of "
    "{control}",
}


def controls(names: Sequence[str], *, frame: pd.DataFrame, groupings: Mapping[str, Grouping]) -> dict[str, Grouping]:
    """The strata of every control: those of a protected attribute of this name, or the values of a column.

    Args:
        names: as the policy lists them. frame: [M] evaluation rows. groupings: over the same rows.

    Raises:
        DataError: no attribute and no column has the name, or the column has too many values.
    """
    out = {}
    for name in names:
        if name in groupings:
            out[name] = groupings[name]
            continue
        if name not in frame.columns:
            raise DataError(
                f"the control {name!r} is neither a protected attribute nor a column of the evaluation data"
            )
        codes, labels = group_levels(frame[name], name)
        if len(labels) > MOST:
            message = f"the control {name!r} has {len(labels)} values, and strata of more than {MOST} say nothing"
            raise DataError(Complaint(message, hint="declare it under `protected` with bins or groups, and name that"))
        out[name] = Grouping(name, labels, codes, reference=labels[0] if labels else "", reference_stated=True)
    return out


def conditional(
    *,
    groupings: Mapping[str, Grouping],
    strata_of: Mapping[str, Grouping],
    cell: Ints,
    persons: NDArray[np.object_] | None,
    settings: FairnessSettings,
    minimum_cell: int,
    weights: Floats | None = None,
) -> tuple[Conditional, ...]:
    """Every attribute against every control that is not of it; arguments as for `assess`, cell from `cell_of`."""
    out = list[Conditional]()
    for grouping in groupings.values():
        for control in strata_of.values():
            if {control.name, *control.of}.isdisjoint({grouping.name, *grouping.of}):
                given = {**groupings, control.name: control}
                out += _Crossed(grouping, control, given, cell, persons, settings, minimum_cell, weights).rows()
    return tuple(out)


class _Crossed:
    """One attribute crossed with one control."""

    def __init__(  # noqa: PLR0917
        self,
        grouping: Grouping,
        control: Grouping,
        given: Mapping[str, Grouping],
        cell: Ints,
        persons: NDArray[np.object_] | None,
        settings: FairnessSettings,
        minimum_cell: int,
        weights: Floats | None,
    ) -> None:
        self.grouping, self.control, self.settings, self.m = grouping, control, settings, minimum_cell
        # By its attributes, not by the intersection's name, so that every group it divides is a line.
        attributes = (*(grouping.of or (grouping.name,)), *(control.of or (control.name,)))
        crossed = replace(intersect([grouping, control]), of=attributes)
        self.cells = count(codes=crossed.codes, groups=len(crossed.labels), cell=cell, persons=persons, weights=weights)
        self.codes, self.cell, self.weights = crossed.codes, cell, weights
        self.persons = None if weights is None else person_codes(persons, len(cell))
        own = count(codes=grouping.codes, groups=len(grouping.labels), cell=cell, persons=persons)
        self.state = self._standing(own, grouping, given)
        self.crossed_state = self._standing(self.cells, crossed, {**given, crossed.name: crossed})
        self.reference = grouping.labels.index(grouping.reference) if grouping.reference in grouping.labels else -1
        shape = (len(grouping.labels), len(control.labels))
        events, trials = rate_counts(SELECTION, self.cells.records[:-1])
        self.events, self.trials = events.reshape(shape), trials.reshape(shape)
        self.lost = own.group_records[:-1] - self.trials.sum(axis=1)

    def _standing(self, cells: Cells, grouping: Grouping, given: Mapping[str, Grouping]) -> Standing:
        along = disclosure.lines(grouping.name, given)
        return standing(cells, settings=self.settings, minimum_cell=self.m, along=along)

    def rows(self) -> Iterator[Conditional]:
        """One row per group but the reference."""
        others = [g for g in range(len(self.grouping.labels)) if g != self.reference]
        why = {g: self._why_not(g) for g in others}
        family = max(1, sum(not reason for reason in why.values()))
        z = critical(sidak(level=self.settings.level, family=family))
        shown = self._rates()
        for group, reason in why.items():
            yield self._row(group, reason, z=z, shown=shown)

    def _why_not(self, group: int) -> str:
        if self.reference < 0:
            return "the reference is not among the groups"
        for g in (group, self.reference):
            reason = self.state.why_not(g, repeats=self.cells.repeats)
            if reason:
                return reason if g == group else f"reference: {reason}"
        if self.state.closed[[group, self.reference]].any():
            return f"withheld: {SMALL_CELL} {self.m} persons"
        mass = self.cells.mass[:-1].sum(axis=1).reshape(self.trials.shape)
        if not (mass[[group, self.reference]] > 0).all(axis=0).any():
            return "no stratum has records of both groups"
        return ""

    def _row(self, group: int, reason: str, *, z: float, shown: Sequence[Estimate]) -> Conditional:
        level = self.settings.level
        nothing = Estimate(value=None, level=level, withheld=reason)
        row = Conditional(
            on=self.grouping.name,
            control=self.control.name,
            group=self.grouping.labels[group],
            reference=self.grouping.reference,
            crude=nothing,
            adjusted=nothing,
            odds_ratio=nothing,
        )
        return row if reason else row.model_copy(update=self._compared(row, group, z=z, shown=shown))

    def _compared(self, row: Conditional, group: int, *, z: float, shown: Sequence[Estimate]) -> dict[str, object]:
        """What a row says once the two can be compared."""
        both, width = [group, self.reference], len(self.control.labels)
        found = strata(events=self.events[both].T, trials=self.trials[both].T)
        n = self.trials[both].sum(axis=1)
        pooled = self._pooled(found, both, z=z)
        crude, adjusted, ratio = pooled.crude, pooled.adjusted, pooled.odds_ratio
        pattern = _pattern(crude, adjusted)
        lost = int(self.lost[both].sum())
        return {
            "strata": tuple(
                Stratum(stratum=label, group_rate=shown[group * width + k], reference_rate=shown[both[1] * width + k])
                for k, label in enumerate(self.control.labels)
            ),
            "strata_used": found.x1.size,
            "unknown": lost if lost == 0 or lost >= self.m else None,
            "crude": self._estimate(crude, int(n.sum()), pooled.methods[0]),
            "adjusted": self._estimate(adjusted, int(found.size.sum()), pooled.methods[1]),
            "odds_ratio": self._estimate(ratio, int(found.size.sum()), pooled.methods[2])
            if ratio
            else Estimate(value=None, level=self.settings.level, withheld="not estimable: some sum of cells is 0"),
            "cmh_p": pooled.cmh_p,
            "heterogeneity_p": pooled.heterogeneity_p,
            "pattern": pattern,
            "words": _words(pattern, crude, adjusted, row),
        }

    def _pooled(self, found: Strata, both: list[int], *, z: float) -> Pooled:
        """By formula where every record is its own person's, else by person."""
        if self.weights is not None and self.persons is not None:
            return of_weights(self._rows(both, self.persons, self.weights), strata=len(self.control.labels), z=z)
        if not self.cells.repeats:
            return of_records(found, events=self.events[both], trials=self.trials[both], z=z)
        sample, shape = self.cells.sample(SELECTION), (-1, *self.events.shape)
        events, trials = (part.reshape(shape)[:, both] for part in (sample.events, sample.trials))
        return of_persons(events, trials, self.cells.persons_of_kind, z=z)

    def _rows(self, both: list[int], persons: Ints, weights: Floats) -> Rows:
        group, stratum = np.divmod(self.codes, len(self.control.labels))
        used = (self.cell >= 0) & (self.codes >= 0) & np.isin(group, both)
        w = weights[used]
        return Rows(
            side=(group[used] == both[1]).astype(np.int64), stratum=stratum[used],
            person=np.unique(persons[used], return_inverse=True)[1].astype(np.int64),
            event=(self.cell[used] % DECISIONS == 1).astype(np.float64), weight=w * (w.size / w.sum()),
        )  # fmt: skip

    def _estimate(self, found: Bounded, n: int, method: str) -> Estimate:
        words = f"{method}, simultaneous over the groups (Šidák)"
        level = self.settings.level
        return Estimate(value=found.value, low=found.low, high=found.high, level=level, n=n, method=words)

    def _rates(self) -> list[Estimate]:
        """Released selection rates of every group in every stratum, group by group."""
        point = values(self.cells.mass[:-1])["selection_rate"]
        found = rates(
            SELECTION, point, cells=self.cells, state=self.crossed_state, settings=self.settings, minimum_cell=self.m
        )
        exact = rate_estimates(SELECTION, found, cells=self.cells, level=self.settings.level)
        return [
            release_rate(e, found, g, cells=self.cells, state=self.crossed_state, m=self.m)[0]
            for g, e in enumerate(exact)
        ]


def _pattern(crude: Bounded, adjusted: Bounded) -> Pattern:
    """From the signs that the two intervals show: 0 where an interval holds 0."""
    before, after = (int(b.low > 0) - int(b.high < 0) for b in (crude, adjusted))
    if before and after:
        return "holds" if before == after else "reverses"
    if before or after:
        return "vanishes" if before else "appears"
    return "not-shown"


def _words(pattern: Pattern, crude: Bounded, adjusted: Bounded, row: Conditional) -> str:
    all_, within = ("more" if b.value > 0 else "less" for b in (crude, adjusted))
    text = WORDS[pattern].format(all=all_, within=within, group=row.group, reference=row.reference, control=row.control)
    return f"{text[0].upper()}{text[1:]}."
