"""Group statistics of the decisions."""

from __future__ import annotations

from typing import Literal

from auditkit.result.comparisons import AttributeTests
from auditkit.result.control import Conditional
from auditkit.result.discovery import Discovery, Proxies
from auditkit.result.estimate import Measurement, Record, Status
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
