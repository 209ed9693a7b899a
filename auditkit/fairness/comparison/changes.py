"""Every rate and gap of one grouping under two models: the change, its interval and test, and what may be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from auditkit.fairness.comparison.answers import COMPARED, EVERYONE, Answers, Board, Standing, board
from auditkit.fairness.metrics import METRICS
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate
from auditkit.result.comparison_of_models import ModelChange
from auditkit.stats import paired
from auditkit.stats.intervals import critical, wilson_bounds
from auditkit.stats.mover import Bounded, difference
from auditkit.stats.multiplicity import sidak
from auditkit.stats.proportions import adjusted
from auditkit.stats.rounding import TOO_FEW, rate_step, rounded
from auditkit.subject.types import Grouping

SIDES: Final = (0, 1)
ONE = "Wilson score interval, one by itself"
GAP = "Newcombe's hybrid score interval, one by itself"
PAIRED = "paired difference, smoothed by z²/4 records on either side (Bonett and Price)"
EXACT = "McNemar's test, exact"
CLUSTERED = "McNemar's test over persons (Durkalski)"
WALD = "smoothed paired difference over its standard error"


@dataclass(frozen=True)
class Setting:
    """One grouping under all models."""

    found: Answers
    grouping: Grouping
    """Codes [R] over the records that every model decides about."""
    state: Standing
    settings: FairnessSettings
    minimum_cell: int
    whole: Standing | None = None
    """Of all records, which groups may be compared with."""

    @property
    def reference(self) -> int:
        """Position of the reference; -1 where it is none of the groups, EVERYONE where it is all records."""
        if self.grouping.chosen == "overall" and self.whole is not None:
            return EVERYONE
        labels = self.grouping.labels
        return labels.index(self.grouping.reference) if self.grouping.reference in labels else -1

    def closed(self, group: int) -> bool:
        """Whether no exact figure of a group may be shown."""
        own, at = (self.whole, 0) if group == EVERYONE and self.whole is not None else (self.state, group)
        return bool(own.closed[at])

    def why_not(self, group: int) -> str:
        """Why a group is not assessed; empty where it is."""
        own, at = (self.whole, 0) if group == EVERYONE and self.whole is not None else (self.state, group)
        return own.why_not[at]

    @cached_property
    def z(self) -> float:
        """Critical value of one interval by itself."""
        return critical(self.settings.level)

    def boards(self) -> dict[str, Board]:
        """Counts of the audited model beside every other one."""
        codes = self.grouping.codes
        return {name: board(self.found, codes, len(self.grouping.labels), "", name) for name in self.found.others}


def changes(setting: Setting) -> Iterator[ModelChange]:
    """One row per metric, group and model; then one per metric, group but the reference, and model, for its gap."""
    boards = setting.boards()
    for metric in COMPARED:
        yield from _family(setting, boards, metric, gap=False)
    if setting.grouping.name:
        for metric in COMPARED:
            yield from _family(setting, boards, metric, gap=True)


def _family(setting: Setting, boards: Mapping[str, Board], metric: str, *, gap: bool) -> Iterator[ModelChange]:
    """The comparisons whose intervals hold together: all groups and models of one measure on one attribute."""
    groups = [g for g in range(len(setting.grouping.labels)) if not gap or g != setting.reference]
    rows = {
        (name, g): _Row(setting=setting, board=own, metric=metric, model=name, group=g, gap=gap)
        for name, own in boards.items() for g in groups
    }  # fmt: skip
    estimable = [row for row in rows.values() if not row.why_not]
    z = critical(sidak(level=setting.settings.level, family=max(1, len(estimable))))
    p = [row.p() for row in estimable]
    right = adjusted(np.array(p), method=setting.settings.multiplicity).tolist()
    tested = {id(row): (own, fixed) for row, own, fixed in zip(estimable, p, right, strict=True)}
    for row in rows.values():
        yield row.nothing() if row.why_not else row.told(z, len(estimable), *tested[id(row)])


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One measure of one group (or of its gap to the reference) under the audited model and another one."""

    setting: Setting
    board: Board
    metric: str
    model: str
    group: int
    gap: bool

    @property
    def _groups(self) -> tuple[int, ...]:
        return (self.group, self.setting.reference) if self.gap else (self.group,)

    @cached_property
    def why_not(self) -> str:
        """Why there is nothing to compare; empty where there is."""
        if self.setting.reference == -1 and self.gap:
            return "the reference is not among the groups"
        least = max(self.setting.settings.minimum_denominator, self.setting.minimum_cell)
        few = f"not estimable: fewer than {least} {METRICS[self.metric].trials_are} in this group under a model"
        for g in self._groups:
            reason = self.setting.why_not(g)
            if not reason and min(self._trials(g, which) for which in SIDES) < least:
                reason = few
            if reason:
                return reason if g == self.group else f"reference: {reason}"
        return ""

    def p(self) -> float:
        """That nothing changes."""
        before, after = (self._rate(self.group, which) for which in SIDES)
        if self._test == WALD:
            return paired.wald_p(self._moved(self.setting.z), self.board.tallied)
        if self._test == CLUSTERED:
            return paired.clustered_mcnemar(self.board.tallied, before, after)
        return paired.mcnemar(*self._discordant)

    def told(self, z: float, family: int, p: float, adjusted_p: float) -> ModelChange:
        """The row, fit to print. z: of one of the `family` intervals that hold together."""
        before, after = (self._estimate(which) for which in SIDES)
        apart = (after.value or 0.0) - (before.value or 0.0)
        low, high = paired.limits(self._moved(z), self.board.tallied, value=apart, z=z, bound=2.0 if self.gap else 1.0)
        over = f", over {'persons' if self._repeats else 'records'}"
        together = f", simultaneous over {family} comparisons (Šidák)" if family > 1 else ""
        change = Estimate(
            value=apart, low=low, high=high, level=before.level, n=self._union(), method=f"{PAIRED}{over}{together}"
        )
        row = self._blank(before, after, change)
        if any(self.setting.closed(g) for g in self._groups):
            return self._coarse(row)
        told = row.model_copy(update={"p_value": p, "adjusted_p_value": adjusted_p, "test": self._test})
        if self.gap or not self._same:
            return told
        lost, gained = self._discordant
        return told.model_copy(update={"lost": lost, "gained": gained})

    def nothing(self) -> ModelChange:
        """The row without figures."""
        none = Estimate(value=None, level=self.setting.settings.level, withheld=self.why_not)
        return self._blank(none, none, none)

    def _blank(self, before: Estimate, after: Estimate, change: Estimate) -> ModelChange:
        grouping = self.setting.grouping
        return ModelChange(
            model=self.model, measure=f"fairness.{self.metric}{'_difference' if self.gap else ''}", on=grouping.name,
            group=grouping.labels[self.group], reference=grouping.reference if self.gap else "",
            unit="points" if self.gap else "rate", before=before, after=after, change=change,
        )  # fmt: skip

    def _coarse(self, row: ModelChange) -> ModelChange:
        """Rounded to steps that are several records wide, limits outwards; without counts and p-values."""
        m = self.setting.minimum_cell
        closed = [g for g in self._groups if self.setting.closed(g)]
        steps = [rate_step(trials=min(self._trials(g, which) for which in SIDES), minimum=m) for g in closed]
        withheld = f"withheld: a cell of a group under one or two of the models is below {m} persons"
        if None in steps:
            none = Estimate(value=None, level=row.change.level, withheld=TOO_FEW)
            return row.model_copy(update={"before": none, "after": none, "change": none, "test": withheld})
        step = max(s for s in steps if s is not None)
        own = (-1.0, 1.0) if self.gap else (0.0, 1.0)
        bounds = {"before": own, "after": own, "change": (-2.0, 2.0) if self.gap else (-1.0, 1.0)}
        shown = {
            name: rounded(getattr(row, name), step=step, bounds=ends).model_copy(update={"n": None})
            for name, ends in bounds.items()
        }  # fmt: skip
        return row.model_copy(update={**shown, "test": withheld})

    def _estimate(self, which: int) -> Estimate:
        """The rate or the gap under one model, with one interval by itself."""
        level = self.setting.settings.level
        sides = [self._bounded(g, which) for g in self._groups]
        found = difference(*sides) if self.gap else sides[0]
        n = sum(self._trials(g, which) for g in self._groups)
        method = (GAP if self.gap else ONE) + (", n effective" if self._repeats or self._weighted else "")
        if self.gap and self.setting.reference == EVERYONE:
            method += ", group and all records taken as independent (too wide)"
        events = None if self.gap else self.board.count(self._rate(self.group, which).events)
        return Estimate(
            value=found.value, low=found.low, high=found.high, level=level, n=n, method=method, events=events
        )

    def _bounded(self, group: int, which: int) -> Bounded:
        rate = self._rate(group, which)
        value = float(rate.events @ self.board.tallied.weight / (rate.trials @ self.board.tallied.weight))
        n = paired.effective(self.board.tallied, rate)
        return Bounded(value, *wilson_bounds(rate=value, n=n, z=self.setting.z))

    def _moved(self, z: float) -> paired.Moved:
        own = [paired.moved(self.board.tallied, *(self._rate(g, k) for k in SIDES), z=z) for g in self._groups]
        return own[0].less(own[1]) if self.gap else own[0]

    def _rate(self, group: int, which: int) -> paired.Rate:
        return self.board.rate(self.metric, group, which)

    def _trials(self, group: int, which: int) -> int:
        return self.board.count(self._rate(group, which).trials)

    def _union(self) -> int:
        """Records in the denominator under either model."""
        pairs = [[self._rate(g, which).trials for which in SIDES] for g in self._groups]
        return sum(self.board.count(np.maximum(*both)) for both in pairs)

    @property
    def _discordant(self) -> tuple[int, int]:
        """Records that are an event before only, and after only."""
        before, after = (self._rate(self.group, which).events for which in SIDES)
        return self.board.count(before * (1 - after)), self.board.count(after * (1 - before))

    @property
    def _same(self) -> bool:
        """Whether the denominator is the same under both models: then records pair off one by one."""
        before, after = (self._rate(self.group, which).trials for which in SIDES)
        return bool(np.array_equal(before, after))

    @property
    def _test(self) -> str:
        if self.gap or not self._same:
            return WALD
        return CLUSTERED if self._repeats or self._weighted else EXACT

    @property
    def _repeats(self) -> bool:
        return self.setting.found.persons is not None

    @property
    def _weighted(self) -> bool:
        return self.setting.found.weights is not None
