"""A band of membership risk."""

from __future__ import annotations

from auditkit.result.estimate import Estimate, Record


class RiskBand(Record):
    """Share of the training records (or persons) whose risk lies in [low, high)."""

    low: float
    high: float
    share: Estimate
