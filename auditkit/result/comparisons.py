"""Tests beside the intervals: widest gaps, pairs of groups, what could have been found, who is shown to be alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from auditkit.result.estimate import Estimate, Record


class GapTest(Record):
    """The widest gap of one measure over an attribute's groups, and whether random groups would show one as wide."""

    measure: str
    groups: int
    """Groups among which it is the widest."""
    left_out: int = 0
    """Groups with records that are not among them: too few to be assessed, or to be shown exactly."""
    highest: str = ""
    lowest: str = ""
    gap: Estimate
    """Largest less smallest rate; its interval reaches down to 0 where no two groups are shown to differ."""
    p: float | None = None
    """Permutation p-value."""
    method: str = ""
    withheld: str = ""
    """Why there is no p-value."""


class PairTest(Record):
    """One group against the reference."""

    measure: str
    group: str
    n: int | None = None
    """Records in the denominator of the group; and of the reference, below."""
    reference_n: int | None = None
    z_p: float | None = None
    """Two-proportion z test."""
    fisher_p: float | None = None
    adjusted_p: float | None = None
    """Fisher's p-value put right for the number of groups compared; of the z test where records are not independent."""
    withheld: str = ""
    """Why there are no p-values."""
    detectable: float | None = None
    """The smallest difference from the reference that this many records find with the stated power."""
    difference: Estimate
    """Group minus reference, at the level of the equivalence test."""
    ratio: Estimate
    within_margin: bool | None = None
    """Whether the whole interval of the difference lies within the margin; None where there is none."""
    within_ratio: bool | None = None


class ThresholdTest(Record):
    """One group against the threshold of a rule, where the policy has verdicts rest on Holm's or Benjamini–Hochberg."""

    measure: str
    threshold: float
    group: str
    family: int
    """Groups whose p-values are adjusted together."""
    p: float
    """Two-sided, of the hypothesis that the measure is the threshold; 1.2e-15 stands for that and less."""
    adjusted_p: float


class AttributeTests(Record):
    """Every test on one attribute."""

    on: str
    reference: str
    multiplicity: Literal["simultaneous", "holm", "bh"]
    power: float
    margin: float
    ratio_low: float
    ratio_high: float
    gaps: tuple[GapTest, ...] = ()
    pairs: tuple[PairTest, ...] = ()
    thresholds: tuple[ThresholdTest, ...] = ()
    """None where verdicts rest on the simultaneous intervals."""


Adjusted: TypeAlias = Mapping[tuple[str, str, float, str], tuple[str, float]]
"""Attribute, measure, threshold and group -> the policy's `multiplicity`, and the p-value adjusted by it."""


def adjusted_by_threshold(tests: Iterable[AttributeTests]) -> Adjusted:
    """The tests of thresholds as verdicts look them up."""
    return {
        (part.on, test.measure, test.threshold, test.group): (part.multiplicity, test.adjusted_p)
        for part in tests
        for test in part.thresholds
    }
