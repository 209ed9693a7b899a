"""Group statistics of the decisions."""

from __future__ import annotations

from typing import Literal

from auditkit.result.comparison_of_models import ModelComparison
from auditkit.result.comparisons import AttributeTests
from auditkit.result.control import Conditional
from auditkit.result.discovery import Discovery, Proxies
from auditkit.result.estimate import Measurement, Record, Status
from auditkit.result.membership import MembershipPart
from auditkit.result.outcomes import OutcomePart
from auditkit.result.scores import ScoreGroup


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


class FairnessPart(Record):
    """Group statistics of the decisions; tables and figures pivot `measurements` by `on`, `group` and `measure`."""

    status: Status
    reason: str = ""
    attributes: tuple[str, ...] = ()
    """Protected attributes and intersections, in the policy's order."""
    groups: tuple[Group, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    metrics: tuple[MetricNote, ...] = ()
    tests: tuple[AttributeTests, ...] = ()
    scores: tuple[ScoreGroup, ...] = ()
    conditional: tuple[Conditional, ...] = ()
    notes: tuple[str, ...] = ()
    discovery: Discovery | None = None
    """None where the policy asks for none."""
    proxies: Proxies | None = None
    outcomes: tuple[OutcomePart, ...] = ()
    """Further outcomes that the policy names: classes, numbers, rankings."""
    models: ModelComparison | None = None
    """The audited model beside others on the same records; None where the policy names none."""
    memberships: tuple[MembershipPart, ...] = ()
    """Attributes of which a record may have several groups, or a probability of each."""

    @property
    def judged(self) -> tuple[Measurement, ...]:
        """The measurements that rules judge, those of memberships among them."""
        return (*self.measurements, *(row for part in self.memberships for row in part.judged))

    @property
    def counted(self) -> tuple[Group, ...]:
        """The groups, and the unknown records of memberships."""
        unknown = (
            Group(on=part.on, group=row.group, n=row.n, share=row.share, status="unknown")
            for part in self.memberships
            for row in part.unknown
        )
        return (*self.groups, *unknown)
