"""Rules, judged."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Record

Verdict = Literal["meets", "breaches", "insufficient-evidence", "not-applicable"]
Severity = Literal["high", "medium", "low"]


class GroupVerdict(Record):
    """The verdict of one rule for one group."""

    group: str
    reference: str = ""
    """The group compared with, where the measure is a comparison."""
    verdict: Verdict
    reason: str
    estimate: Estimate
    side: Literal["", "permitted", "forbidden"] = ""
    """The side on which the point value lies when the interval does not decide."""
    needed_n: int | None = None
    """Records that would decide, if the point value held; None when it decides or no n would."""


class Waiver(Record):
    """Who accepted a breach, why, and until when."""

    owner: str
    reason: str
    expires: str
    active: bool


class Finding(Record):
    """One rule, judged."""

    id: str
    measure: str
    on: str
    op: str
    threshold: float
    proof: Literal["interval", "point"]
    severity: Severity
    because: str
    verdict: Verdict
    reason: str
    sentence: str
    """The finding in one sentence with number, interval and n, for the cover."""
    estimate: Estimate | None
    """The estimate that decided (the worst group's)."""
    groups: tuple[GroupVerdict, ...] = ()
    waiver: Waiver | None = None
    evidence: str = ""
    """Anchor of the report section that holds the evidence."""


class Conclusion(Record):
    """The audit's verdict over all rules and the exit code that goes with it."""

    verdict: Verdict
    exit_code: int
    sentence: str
    counts: dict[str, int]
