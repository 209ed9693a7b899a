"""Groups that overlap, and groups of which only probabilities are known."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Measurement, Record, Status

UNBOUNDED = "membership is known by probability alone, and this measure has no bounds by which to judge it"


class MembershipGroup(Record):
    """One group, or what stands outside the groups: unknown records, those in several groups, those in none."""

    group: str
    n: int | None = None
    """Records; None where they are withheld, and for probabilities, which count nobody."""
    expected: int | None = None
    """Sum of the probabilities, to whole records."""
    persons: int | None = None
    share: float | None = None
    """Of all evaluation records with a decision."""
    status: Literal["assessed", "insufficient-evidence", "empty", "unknown", "several", "none"]
    is_reference: bool = False
    reason: str = ""


class MembershipBounds(Record):
    """Between which ends a figure lies, whatever group and decision have to do with each other."""

    measure: str
    group: str
    reference: str = ""
    unit: Literal["rate", "points", "ratio"] = "rate"
    bounds: Estimate
    """Ends as the records give them; no value. A ratio may have no upper one."""
    region: Estimate
    """The same ends, moved outwards by their sampling error."""


class MembershipPart(Record):
    """One attribute of which a record may have several groups, or a probability of each."""

    on: str
    kind: Literal["several", "probabilities"]
    status: Status = "assessed"
    reason: str = ""
    reference: str = ""
    """A group; empty where each group is compared with everybody outside it."""
    reference_stated: bool = False
    groups: tuple[MembershipGroup, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    bounds: tuple[MembershipBounds, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> tuple[Measurement, ...]:
        """The measurements as rules may judge them: where membership is probable, by the bounds and never without.

        The interval of a weighted estimate holds no bias, so that it could meet a rule that the groups breach.
        """
        if self.kind == "several":
            return self.measurements
        ends = {(row.measure, row.group): row.region for row in self.bounds}
        return tuple(_by_bounds(row, ends.get((row.measure, row.group))) for row in self.measurements)

    @property
    def unknown(self) -> tuple[MembershipGroup, ...]:
        """The row that counts unknown records."""
        return tuple(row for row in self.groups if row.status == "unknown")


def _by_bounds(row: Measurement, region: Estimate | None) -> Measurement:
    """With the bounds in place of the interval, and no n: more records would not narrow them."""
    own = row.estimate
    nothing = Estimate(value=None, level=own.level, withheld=own.withheld or UNBOUNDED)
    if own.value is None or region is None or region.low is None:
        return row.model_copy(update={"estimate": nothing})
    ends = {"low": region.low, "high": region.high, "method": region.method, "n": None, "withheld": ""}
    return row.model_copy(update={"estimate": own.model_copy(update=ends)})
