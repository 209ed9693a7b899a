"""What a model's scores look like by group, as series that are binned and suppressed already."""

from __future__ import annotations

from auditkit.result.estimate import Record, Series


class ScoreGroup(Record):
    """One group's scores; empty series where the group is too small to be shown."""

    on: str
    group: str
    distribution: Series
    """x: a score; y: share of the group's records with a score below it."""
    calibration: Series
    """x: mean score of a bin; y: share of favourable labels in it, with its interval."""
    withheld: str = ""
    """Why there is no series."""
