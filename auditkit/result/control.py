"""Conditional parity: a group against the reference within the strata of a control column."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Record


class Stratum(Record):
    """Selection rates in one stratum."""

    stratum: str
    group_rate: Estimate
    reference_rate: Estimate


class Conditional(Record):
    """One group against the reference, over all records and within strata."""

    on: str
    control: str
    group: str
    reference: str
    strata: tuple[Stratum, ...] = ()
    strata_used: int | None = None
    """Strata with records of both."""
    unknown: int | None = None
    """Records of the two without a known stratum; left out. None where the count itself is suppressed."""
    crude: Estimate
    """Difference in selection rate over the records with a known stratum."""
    adjusted: Estimate
    """The same within strata, by Mantel and Haenszel's weights."""
    odds_ratio: Estimate
    """Mantel and Haenszel's common odds ratio."""
    cmh_p: float | None = None
    heterogeneity_p: float | None = None
    """That the strata share one odds ratio (Breslow and Day); None where persons have several records."""
    pattern: Literal["reverses", "vanishes", "appears", "holds", "not-shown", "none"] = "none"
    """How the association within strata stands to that over all records; `none` where there is no comparison."""
    words: str = ""
