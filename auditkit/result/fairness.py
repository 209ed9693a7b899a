"""Group statistics of the decisions."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Measurement, Record, Status


class Group(Record):
    """One group of one protected attribute on the evaluation set."""

    on: str
    group: str
    n: int | None
    """Records; None when suppressed below the minimum cell."""
    persons: int | None = None
    share: float | None = None
    status: Literal["assessed", "insufficient-evidence", "unknown", "empty"]
    is_reference: bool = False
    reason: str = ""


class MetricNote(Record):
    """What one metric is, for the reader: formula, what zero or one means, source."""

    measure: str
    title: str
    formula: str
    meaning: str
    source: str


class Slice(Record):
    """One slice that nobody named, measured on the records that the search never saw."""

    where: str
    inside: Estimate
    outside: Estimate
    excess: Estimate
    """Inside minus outside; simultaneous over the slices tested."""
    p: float
    adjusted_p: float
    confirmed: bool


class WorstSlices(Record):
    """The slices in which one outcome is most frequent."""

    outcome: str
    n_searched: int
    n_confirming: int
    conditions: int
    """Single conditions that the conjunctions are made of."""
    complete: bool
    """Whether every conjunction of up to three conditions was looked at, or proved to be no better."""
    tested: int
    withheld: int
    """Slices tested that may not be shown, because a count would tell of a few persons."""
    slices: tuple[Slice, ...] = ()


class Discovery(Record):
    """Slices that nobody named: found on one half of the persons, confirmed on the other."""

    status: Status
    reason: str = ""
    searched: int | None = None
    confirmed_on: int | None = None
    false_discovery: float | None = None
    outcomes: tuple[WorstSlices, ...] = ()


class FairnessPart(Record):
    """Group statistics of the decisions; tables and figures pivot `measurements` by `on`, `group` and `measure`."""

    status: Status
    reason: str = ""
    attributes: tuple[str, ...] = ()
    """Protected attributes and intersections, in the policy's order."""
    groups: tuple[Group, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    metrics: tuple[MetricNote, ...] = ()
    notes: tuple[str, ...] = ()
    discovery: Discovery | None = None
    """None where the policy asks for none."""
