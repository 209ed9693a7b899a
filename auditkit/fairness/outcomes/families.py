"""One metric on one grouping: exact estimates of every group and every comparison, simultaneous over the groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from auditkit.fairness.outcomes.answers import Share
from auditkit.fairness.outcomes.averages import Averages
from auditkit.fairness.outcomes.gates import Scene
from auditkit.fairness.outcomes.quantiles import Quantile, quantile_of
from auditkit.fairness.outcomes.rates import Rate, apart, rate_of
from auditkit.fairness.outcomes.registry import Method
from auditkit.result import Estimate
from auditkit.stats.intervals import critical
from auditkit.stats.mover import Bounded, difference, ratio
from auditkit.stats.multiplicity import sidak
from auditkit.subject.types import Floats, Ints

Comparison = Literal["difference", "ratio"]
FEW_EVENTS = 5
"""Below this many (effective) events on either side a ratio of rates has no interval."""
NO_SPREAD = "no interval: the values hardly vary, or too few units vary"
BEYOND = "no interval: its limits lie beyond the data"


@dataclass(frozen=True)
class Family:
    """A version of a metric on a grouping."""

    scene: Scene
    method: Method
    shares: tuple[Share, ...]
    version: int
    why: list[str]
    """[G] why a group is not estimated; empty where it is."""
    drawn: list[Averages] = field(default_factory=list)
    """The estimable groups' averages once they are drawn; empty for a rate or a quantile."""

    @property
    def averages(self) -> Averages | None:
        """Of the estimable groups, for an average."""
        return self.drawn[0] if self.drawn else None

    @property
    def estimable(self) -> list[int]:
        """Groups with a value."""
        return [group for group, reason in enumerate(self.why) if not reason]

    @property
    def compared(self) -> list[int]:
        """Groups compared with the reference."""
        base = self.scene.reference
        return [g for g in self.estimable if g != base] if base in self.estimable else []

    def value(self, group: int) -> float:
        """A group's own value."""
        if self.averages is not None:
            return float(self.averages.value[self.estimable.index(group)])
        return self.parts[group].value

    def own(self) -> dict[int, Estimate]:
        """Group -> its own estimate."""
        if self.averages is not None:
            at = self._at(self.estimable)
            limits = self.averages.own(at, level=self.scene.settings.level) if at.size else None
            return self._averaged(self.estimable, self.averages.value[at], limits, NO_SPREAD)
        return self._bounded(self.estimable, self.at, self.value, compared=False)

    def against(self, kind: Comparison) -> dict[int, Estimate]:
        """Compared group -> its difference to the reference, or its ratio."""
        base = self.scene.reference
        if not self.compared:
            return {}
        if self.averages is not None:
            return self._averages_against(self.averages, kind)
        joined = difference if kind == "difference" else ratio

        def make(group: int, z: float) -> Bounded | None:
            one, other = self.at(group, z), self.at(base, z)
            if one is None or other is None:
                return None
            made, own, under = joined(one, other), self.parts[group], self.parts[base]
            if isinstance(own, Rate) and isinstance(under, Rate) and self.scene.answers.unit != "records":
                return apart(made, own, under, logs=kind == "ratio")
            return made

        if kind == "ratio":
            return self._ratios(make)

        def plain(group: int) -> float:
            return self.value(group) - self.value(base)

        return self._bounded(self.compared, make, plain, compared=True)

    def at(self, group: int, z: float) -> Bounded | None:
        """A group's value with limits at a critical value; None where there are none."""
        return self.parts[group].at(z)

    def _averages_against(self, averages: Averages, kind: Comparison) -> dict[int, Estimate]:
        at, base = self._at(self.compared), self.estimable.index(self.scene.reference)
        value, level = averages.value, self.scene.settings.level
        if kind == "ratio" and value[base] <= 0:
            why = "not estimable: the reference's value is not above 0"
            return {group: self._estimate(group, None, why) for group in self.compared}
        differ = value[at] / value[base] if kind == "ratio" else value[at] - value[base]
        limits = averages.against(at, base, level=level, ratio=kind == "ratio")
        return self._averaged(self.compared, differ, limits, NO_SPREAD, compared=True)

    @cached_property
    def parts(self) -> dict[int, Rate | Quantile]:
        """Estimable group -> its rate, or its quantile; of an average none are asked."""
        rows, answers = self.scene.rows, self.scene.answers
        if self.method.estimator == "quantile":
            q = answers.quantiles[self.version]
            return {group: quantile_of(answers, rows[group], q) for group in self.estimable}
        return {group: rate_of(answers, self.shares, rows[group], self.scene.units[group]) for group in self.estimable}

    def _ratios(self, make: Callable[[int, float], Bounded | None]) -> dict[int, Estimate]:
        """Ratios of rates; no value without a reference rate, no interval where events are few."""
        base, out = self.parts[self.scene.reference], dict[int, Estimate]()
        found = list[int]()
        for group in self.compared:
            own = self.parts[group]
            if not isinstance(base, Rate) or not isinstance(own, Rate) or base.value <= 0:
                out[group] = self._estimate(group, None, "not estimable: the reference's rate is 0")
            elif min(own.events, base.events) < FEW_EVENTS:
                why = f"no interval: fewer than {FEW_EVENTS} events in the group or its reference"
                out[group] = self._estimate(group, own.value / base.value, why)
            else:
                found.append(group)
        return out | self._bounded(found, make, self.value, compared=True)

    def _bounded(
        self, groups: list[int], make: Callable[[int, float], Bounded | None], plain: Callable[[int], float], *,
        compared: bool,
    ) -> dict[int, Estimate]:  # fmt: skip
        """Closed-form limits, together at the level by Šidák's inequality."""
        level, out = self.scene.settings.level, {}
        z = critical(sidak(level=level, family=max(1, len(groups))))
        for group in groups:
            made = make(group, z)
            if made is None:
                out[group] = self._estimate(group, plain(group), BEYOND)
                continue
            exact = self._estimate(group, made.value, "")
            high = None if np.isinf(made.high) else made.high
            why = "" if high is not None else "the data give no upper limit"
            out[group] = exact.model_copy(update={
                "low": made.low if high is not None else None, "high": high, "withheld": why,
                "method": self._method(len(groups), compared=compared),
            })  # fmt: skip
        return out

    def _averaged(
        self, groups: list[int], values: Floats, limits: tuple[Floats, Floats] | None, why: str, *,
        compared: bool = False,
    ) -> dict[int, Estimate]:  # fmt: skip
        out = {}
        for k, group in enumerate(groups):
            exact = self._estimate(group, float(values[k]), why if limits is None else "")
            if limits is not None:
                ends = {"low": float(limits[0][k]), "high": float(limits[1][k])}
                method = self._method(len(groups), compared=compared)
                exact = exact.model_copy(update=ends | {"method": method})
            out[group] = exact
        return out

    def _estimate(self, group: int, value: float | None, why: str) -> Estimate:
        n = self.scene.records(self.shares, group)
        return Estimate(value=value, level=self.scene.settings.level, n=n if value is not None else None, withheld=why)

    def _at(self, groups: list[int]) -> Ints:
        return np.array([self.estimable.index(group) for group in groups], dtype=np.int64)

    def _method(self, family: int, *, compared: bool) -> str:
        unit = self.scene.answers.unit
        over = "" if unit == "records" else f" over {unit}"
        if self.method.estimator == "mean":
            words, together = f"studentised multiplier bootstrap over {unit}", "largest t"
        else:
            lead = "Wilson" if self.method.estimator == "rate" else "Woodruff"
            words, together = f"{lead} by effective n{over}{', combined by MOVER' if compared else ''}", "Šidák"
        return words + (f", simultaneous over {family} groups ({together})" if family > 1 else "")
