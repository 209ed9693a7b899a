"""Group statistics of further outcomes that the policy names: of several classes, a number, or a place in a list."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Record, Status

OutcomeKind = Literal["classes", "number", "ranking"]
OutcomeUnit = Literal["rate", "points", "ratio", "number"]
"""`number`: in the unit of the outcome itself."""


class OutcomeNote(Record):
    """What one metric of an outcome is, for the reader."""

    metric: str
    title: str
    formula: str
    zero: str
    """What the value 0 means; and 1, below."""
    one: str
    source: str


class OutcomeRow(Record):
    """One statistic of one group, or its comparison with the reference group."""

    metric: str
    of: str = ""
    """The class, the quantile or the depth of the list that it is about; empty where there is one only."""
    on: str = ""
    """Protected attribute or intersection; empty for all records."""
    group: str = ""
    reference: str = ""
    comparison: Literal["", "difference", "ratio"] = ""
    """Empty: the group's own value; else group - reference, or group / reference."""
    unit: OutcomeUnit = "rate"
    estimate: Estimate
    parts: tuple[str, ...] = ()
    """Caveats of this row."""


class OutcomePart(Record):
    """One further outcome: what it is, and its statistics by group."""

    name: str
    kind: OutcomeKind
    truth: str = ""
    """Column of what happened; empty where a ranking has none. And of what was predicted, below."""
    prediction: str
    status: Status
    reason: str = ""
    weighted: bool = False
    """Whether records count by the policy's weights."""
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    rows: tuple[OutcomeRow, ...] = ()
    metrics: tuple[OutcomeNote, ...] = ()
    notes: tuple[str, ...] = ()
