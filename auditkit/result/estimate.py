"""Numbers and how they travel: with n, interval and method, or withheld with the reason."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["assessed", "not-applicable", "withheld"]
NOT_STATED = "not stated"


class Record(BaseModel):
    """A frozen piece of the result; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Record):
    """A number with its interval, its n and its method; `value` None means not estimable or withheld, and why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    """Coverage of [low, high]; simultaneous coverage where `method` says so."""
    n: int | None = None
    """Denominator (records) the value rests on; None where the count itself is suppressed."""
    method: str = ""
    withheld: str = ""
    """Why there is no value or no interval: too few records, no positives, suppressed."""
    events: int | None = None
    """Count of the rate's numerator, where the estimate is a rate."""
    step: float = 0.0
    """What value and limits are rounded to before they are published, limits outwards; 0 is not rounded."""

    @property
    def known(self) -> bool:
        """Whether there is a value to show."""
        return self.value is not None


class Measurement(Record):
    """One statistic: `measure` (dotted name, as rules write it), on which attribute, for which group."""

    measure: str
    """`fairness.selection_rate`, `fairness.impact_ratio`, `privacy.tpr_at_fpr_0.01`, `model.accuracy`, ..."""
    on: str = ""
    """Protected attribute, intersection (`sex x age`) or slice; empty for the whole evaluation set."""
    group: str = ""
    """Group label; empty for all records; a comparison's group is the one compared with `reference`."""
    reference: str = ""
    unit: Literal["rate", "points", "ratio", "score", "nats", "count", "share"] = "rate"
    """`points` is a difference of rates or mean scores on the 0-1 scale."""
    estimate: Estimate
    parts: tuple[str, ...] = ()
    """Caveats that belong to this row (for example: interval by cell bootstrap refused below 5 events)."""


class Point(Record):
    """One point of a series; low and high bound y where an interval exists."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


class Series(Record):
    """What a figure draws, already binned and suppressed."""

    name: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    n: int | None = None
    method: str = ""


class Quality(Record):
    """One figure by which an estimator or an attack reports its own quality."""

    name: str
    value: float | None
    text: str
    """What the figure means for the reader, in one sentence; carries the words when there is no number."""
    warns: bool = False


class Fact(Record):
    """One stated (or not stated) fact about the system, the data or the run."""

    name: str
    value: str
    stated: bool = True
