"""What nobody named: slices in which decisions err most, and columns that tell who belongs to a protected group."""

from __future__ import annotations

from auditkit.result.estimate import Estimate, Record, Status


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


class Proxy(Record):
    """How well one column tells the groups of one protected attribute."""

    on: str
    column: str
    """Empty for all columns together."""
    auc: Estimate
    """0.5 tells nothing, 1 tells every record."""


class Proxies(Record):
    """How well the columns that the model reads tell the groups of every protected attribute."""

    status: Status
    reason: str = ""
    minimum_group: int | None = None
    """Records that a group needs in either half to be told."""
    rows: tuple[Proxy, ...] = ()
