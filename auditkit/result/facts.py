"""What was read: data, model, rule sets, and what makes the run repeatable."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Fact, Measurement, Record


class SplitFacts(Record):
    """One split of the data: size, persons, labels, and what was counted on reading it."""

    split: Literal["train", "reserve", "evaluation"]
    n: int | None
    """None where it would tell of few persons beside an earlier release."""
    persons: int | None
    favourable_share: Estimate | None
    """Share of records whose label is favourable."""
    missing_cells: int | None = None
    """None where there are some, but fewer than the minimum cell."""


class DataPart(Record):
    """What the audit read: splits, overlaps between them, unseen categories, unknown filter results."""

    splits: tuple[SplitFacts, ...]
    label_means: Literal["outcome", "past-decision"]
    checks: tuple[Fact, ...] = ()
    """Counted overlaps (ids, persons, identical rows), unseen categories, filters that gave unknown."""


class ModelPart(Record):
    """The model as the audit met it."""

    adapter: str
    kind: str
    task: str
    threshold: float | None
    parameters: int | None
    recipe: tuple[Fact, ...] = ()
    measurements: tuple[Measurement, ...] = ()


class FrameworkItem(Record):
    """One requirement of a legal rule set: what was computed here or what only a person can attest."""

    requirement: str
    kind: Literal["computed", "attested"]
    evidence: str
    """Anchor of the report section, or who has to attest."""
    measures: tuple[str, ...] = ()
    """Measures of the audit that speak to it."""
    certainty: str = ""
    """How well the reading of the requirement is established."""


class FrameworkPart(Record):
    """A dated rule set that the policy names, as it stood on its as-of date; not legal advice."""

    id: str
    title: str
    jurisdiction: str
    citation: str
    as_of: str
    status: str
    effective: str
    superseded_by: str
    certainty: str
    notes: tuple[str, ...]
    items: tuple[FrameworkItem, ...]
    warnings: tuple[str, ...] = ()
    """Superseded, deferred, not yet or no longer binding, or in conflict with another rule set that is named."""


class Artifact(Record):
    """A restricted evidence file by reference."""

    name: str
    sha256: str
    """HMAC-SHA256 of the array's bytes, keyed by the digest of all arrays together; no array can be guessed alone."""
    shape: tuple[int, ...]
    dtype: str


class Stamp(Record):
    """What makes the run repeatable: version, date, seed, digests, environment, command."""

    auditkit: str
    as_of: str
    """ISO date the audit is made as of; the only date in public files."""
    seed: int
    run_id: str
    command: str
    digests: dict[str, str]
    """sha256 of policy, data files and model."""
    environment: dict[str, str]
