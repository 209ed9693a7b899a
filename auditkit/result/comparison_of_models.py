"""Several models on the same evaluation records: how every rate and every gap between groups changes."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Record, Status


class ModelChange(Record):
    """One measure of the audited model beside another model's, over the same records."""

    model: str
    """The other model, by its name in the policy."""
    measure: str
    """`fairness.<metric>` of a group, or `fairness.<metric>_difference` for its gap to the reference."""
    on: str = ""
    group: str = ""
    reference: str = ""
    unit: Literal["rate", "points"]
    before: Estimate
    """Under the audited model; one interval by itself."""
    after: Estimate
    """Under the other model; one interval by itself."""
    change: Estimate
    """After less before, paired; simultaneous over the comparisons of its family."""
    lost: int | None = None
    """Records of the denominator that are an event before and none after; None for a gap, and where withheld."""
    gained: int | None = None
    """Records that are an event after and were none before."""
    p_value: float | None = None
    """That nothing changes."""
    adjusted_p_value: float | None = None
    """Put right for the number of comparisons of the family."""
    test: str = ""
    """How p was computed; or why there is none."""


class ComparedModel(Record):
    """Another model that was asked about the same records."""

    name: str
    source: str
    """What it is: recorded decisions, or a kind of model."""
    threshold: float | None = None
    disagree: Estimate
    """Share of records on which it decides otherwise than the audited model."""


class ModelComparison(Record):
    """Every comparison of the audited model with another one."""

    status: Status
    reason: str = ""
    multiplicity: Literal["simultaneous", "holm", "bh"] = "simultaneous"
    """How p-values are put right for their number; intervals are simultaneous always."""
    models: tuple[ComparedModel, ...] = ()
    changes: tuple[ModelChange, ...] = ()
    notes: tuple[str, ...] = ()
