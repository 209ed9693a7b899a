"""Tables in a law's own layout, computed where the policy names the rule set; they judge nothing."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Record

FourCells = Literal[
    "below-and-significant", "below-not-significant", "not-below-but-significant", "not-below-not-significant",
    "not-determined",
]  # fmt: skip
"""Practical (below four fifths) x statistical (more than chance explains), or why neither can be said."""


class CategoryRow(Record):
    """One category of a bias audit's table."""

    category: str
    n: int | None
    """Records assessed; None where the count is withheld."""
    share: float | None
    """Of all records assessed, those of unknown category among them."""
    selected: int | None
    """Selected, or scored above the median; None where only a rounded rate is shown."""
    rate: Estimate
    ratio: Estimate
    """Rate over the rate of the category that is selected most."""
    excluded: bool = False
    """Left out of the impact ratio as a category below the policy's share."""
    is_most_selected: bool = False


class CategoryTable(Record):
    """One of the three tables: sex, race or ethnicity, sex by race or ethnicity."""

    kind: Literal["sex", "race", "sex-by-race"]
    on: str
    """The protected attribute or intersection of the policy."""
    rows: tuple[CategoryRow, ...]
    unknown: int | None
    """Records assessed whose category is unknown; left out of the table."""
    withheld: int
    """Categories without a rate."""
    notes: tuple[str, ...] = ()


class Median(Record):
    """The full sample's median of scores, no finer than the minimum cell allows."""

    value: float | None
    step: float | None
    """What it is rounded to."""
    n: int
    at_median: float | None
    """Share of the sample whose score is the median itself; None where it tells of a few persons."""
    ties: Literal["above", "at-or-above"]
    """What the policy counts as scored high; the rule's words are `above`."""


class BiasAudit(Record):
    """The figures of 6 RCNY 5-301; the rule sets no mark that they are held against."""

    variant: Literal["selection", "scores"]
    tables: tuple[CategoryTable, ...]
    median: Median | None = None
    exclude_below: float | None = None
    justification: str = ""
    notes: tuple[str, ...] = ()


class FourFifthsRow(Record):
    """One group against the group with the highest selection rate."""

    group: str
    n: int | None
    selected: int | None
    rate: Estimate
    ratio: Estimate
    z: float | None = None
    """Pooled two-proportion z; below 0 the group is selected less often."""
    p_z: float | None = None
    p_fisher: float | None = None
    """Two-sided."""
    by_fisher: bool = False
    """Whether Fisher's test decides, because an expected count is below 5."""
    cell: FourCells = "not-determined"
    reason: str = ""
    """Why nothing is determined."""
    flip_to: int | None = None
    """Selections if one more (where the ratio is below four fifths) or one fewer were made in the group."""
    flip_ratio: float | None = None
    flips: bool | None = None
    """Whether that one selection moves the ratio across four fifths."""
    is_highest: bool = False


class FourFifthsTable(Record):
    """One attribute's groups under 29 CFR 1607.4(D)."""

    on: str
    highest: str
    rows: tuple[FourFifthsRow, ...]
    notes: tuple[str, ...] = ()


class FourFifths(Record):
    """Practical x statistical: neither the ratio nor a test answers alone."""

    tables: tuple[FourFifthsTable, ...]
    notes: tuple[str, ...] = ()


class StatutoryPart(Record):
    """What the named rule sets ask to be tabulated."""

    bias_audit: BiasAudit | None = None
    four_fifths: FourFifths | None = None
