"""What the tables stand on: the counts and rates that the audit publishes anyway, and nothing finer.

The tables are arithmetic on released figures. So they tell a reader nothing that the group statistics do not, and what
these withhold or round stays withheld or rounded here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from auditkit.fairness.disclosure import ratio_step
from auditkit.result import Estimate, FairnessPart, Group
from auditkit.stats.intervals import critical
from auditkit.stats.rounding import TOO_FEW, rounded

SELECTION = "fairness.selection_rate"
MINIMUM_EVENTS = 5
"""Below this many selections on either side a ratio's interval is not reliable and is not given."""
HIGHEST_CHOSEN = "the comparison with the highest rate is chosen after the data, which the interval does not allow for"


@dataclass(frozen=True)
class Category:
    """One group as published: its size and one rate."""

    label: str
    n: int | None
    share: float | None
    rate: Estimate
    """`events` is the count selected; None where the rate is rounded."""

    @property
    def exact(self) -> bool:
        """Whether counts are published, so that tests can be made."""
        return self.rate.value is not None and self.rate.events is not None and self.rate.n is not None

    @property
    def counts(self) -> tuple[int, int]:
        """Selected, and records of the rate; only of an exact category."""
        return self.rate.events or 0, self.rate.n or 0


@dataclass(frozen=True)
class Categories:
    """All groups of one attribute, and how many records belong to none of them."""

    on: str
    rows: tuple[Category, ...]
    unknown: int | None
    repeats: bool
    """Whether persons have several records: tests and ratio intervals would take these as independent."""


def categories(part: FairnessPart, on: str) -> Categories:
    """The groups of one attribute with the selection rates of the fairness part."""
    rates = {m.group: m.estimate for m in part.measurements if m.on == on and m.measure == SELECTION}
    groups = [group for group in part.groups if group.on == on]
    rows = tuple(
        Category(g.group, g.n, g.share if g.n is not None else None, rates[g.group])
        for g in groups
        if g.status not in ("unknown", "empty")
    )
    return Categories(on=on, rows=rows, unknown=_unknown(groups), repeats=any(g.persons is not None for g in groups))


def _unknown(groups: list[Group]) -> int | None:
    return next((group.n for group in groups if group.status == "unknown"), 0)


def highest(rows: tuple[Category, ...]) -> Category | None:
    """The category with the highest rate among those with published counts, the first of several; None without any.

    A rounded rate is held against the highest and never the highest itself: its rounding would spread to every ratio.
    """
    shown = [row for row in rows if row.exact and row.rate.value]
    return max(shown, key=lambda row: row.rate.value or 0.0) if shown else None


def above(rows: tuple[Category, ...], most: Category | None) -> tuple[str, ...]:
    """The categories whose rounded rate lies above the highest that is published with its counts."""
    least = 0.0 if most is None else most.rate.value or 0.0
    return tuple(row.label for row in rows if not row.exact and (row.rate.value or 0.0) > least)


def told(rows: tuple[Category, ...], most: Category | None, *, word: str) -> tuple[str, ...]:
    """What the choice of the highest leaves out; empty where every rate is published with its counts."""
    if all(row.exact for row in rows):
        return ()
    higher = above(rows, most)
    more = f" Higher, and rounded: {', '.join(higher)}." if higher else ""
    return (f"{word} is taken among those whose counts are shown.{more}",)


def ratio_to(row: Category, most: Category | None, *, repeats: bool) -> Estimate:
    """The category's rate over the highest, with Katz's interval where counts are published.

    exp(ln r ± z sqrt(1/a − 1/n + 1/b − 1/m)), for a of n and b of m selected; Katz et al., Biometrics 34 (1978) 469.
    A ratio of rounded rates is rounded to the step that theirs amount to. Wrong where records depend on each other:
    then no interval is given.
    """
    level = row.rate.level
    if row.rate.value is None or most is None:
        why = row.rate.withheld or "no category has a selection among the figures shown"
        return Estimate(value=None, level=level, withheld=why)
    value = row.rate.value / (most.rate.value or math.nan)
    if row is most:
        return Estimate(value=1.0, level=level, n=row.rate.n, method="1 by definition")
    if not (row.exact and most.exact):
        return _coarse(value, row, most)
    (a, n), (b, m) = row.counts, most.counts
    blank = Estimate(value=value, level=level, n=n + m)
    if repeats:
        return blank.model_copy(update={"withheld": "no interval: persons have several records"})
    if min(a, b) < MINIMUM_EVENTS:
        return blank.model_copy(update={"withheld": f"interval refused: fewer than {MINIMUM_EVENTS} selections"})
    half = critical(level) * math.sqrt(1 / a - 1 / n + 1 / b - 1 / m)
    method = f"Katz's logarithmic interval, not simultaneous; {HIGHEST_CHOSEN}"
    limits = {"low": value * math.exp(-half), "high": value * math.exp(half), "method": method}
    return blank.model_copy(update=limits)


def _coarse(value: float, row: Category, most: Category) -> Estimate:
    step = ratio_step(
        ratio=value, reference_rate=most.rate.value or 0.0, group_step=row.rate.step, reference_step=most.rate.step
    )
    exact = Estimate(value=value, level=row.rate.level)
    if step is None:
        return Estimate(value=None, level=row.rate.level, withheld=TOO_FEW)
    return rounded(exact, step=step, bounds=(0.0, math.inf))
