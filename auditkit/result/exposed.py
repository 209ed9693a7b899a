"""Who is exposed, as aggregates: persons instead of records, slices, and records that also widen a gap."""

from __future__ import annotations

from auditkit.result.estimate import Estimate, Measurement, Record, Status
from auditkit.result.risk import RiskBand


class PersonRisk(Record):
    """Membership risk of persons: the probability that an optimal attacker who holds all records guesses rightly."""

    status: Status
    reason: str = ""
    persons: int | None = None
    """Persons with training records: the n of every figure here."""
    several: Estimate | None = None
    """Share of them with more than one training record."""
    average: Estimate | None = None
    bands: tuple[RiskBand, ...] = ()
    flagged: Estimate | None = None
    """Share of persons marked as exposed."""
    p_steps: int | None = None
    """P-values are multiples of one in this many: the persons of the reserve and one more."""


class SliceExposure(Record):
    """The training records that pass one slice's filter: their mean risk and the share marked."""

    name: str
    why: str = ""
    average: Estimate
    flagged: Estimate


class GapExposure(Record):
    """Of the training records that widen one gap most, the share that is marked as exposed."""

    name: str
    top_share: float
    """Which part of the training records (or persons) counts as widening the gap most."""
    both: Estimate
    """Share of those that is marked; its events are those that do both."""
    expected: Estimate
    """The share if both had nothing to do with each other, and where it then lies by chance."""


class WhoIsExposed(Record):
    """Mean risk by group and slice, and what is both exposed and widens a gap."""

    by_group: tuple[Measurement, ...] = ()
    slices: tuple[SliceExposure, ...] = ()
    gaps: tuple[GapExposure, ...] = ()
    gaps_unit: str = ""
    """`records` or `persons`: what the figures of `gaps` count."""
    no_gaps: str = ""
    """Why there is nothing on gaps."""
