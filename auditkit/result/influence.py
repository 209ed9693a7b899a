"""What the model's treatment of slices and groups rests on, as patterns of records."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Quality, Record, Status


class CompositionRow(Record):
    """Share of one level of one column among the records named, beside its share among all training records."""

    column: str
    level: str
    share: Estimate
    base_share: float
    lift: float | None


class Composition(Record):
    """Who the most influential records are, as patterns: the top share in one direction, by column and level."""

    direction: Literal["raises", "lowers"]
    """What removing these records does to the measure, as predicted."""
    top_share: float
    """0.01 or 0.05 of the training records."""
    n: int
    rows: tuple[CompositionRow, ...]


class SliceInfluence(Record):
    """The training records that one measure of one slice (or one gap between groups) rests on, as aggregates."""

    name: str
    kind: Literal["group", "intersection", "slice", "case", "gap"]
    why: str
    where: str = ""
    n: int | None
    measure: str
    """`mean loss`, `mean favourable score` or `gap in mean favourable score`."""
    unit: str
    value: float | None
    """The measure itself under the audited model."""
    p99_raises: float | None = None
    """99th percentile of the effect over training records (never an exact extreme)."""
    p99_lowers: float | None = None
    share_in_top_1pct: float | None = None
    """Share of the summed absolute effect that the 1 % of records with the largest absolute effect carry."""
    compositions: tuple[Composition, ...] = ()
    withheld: str = ""
    fidelity: Estimate | None = None
    """Agreement of this measure's effects with retraining: rank correlation over retrained models."""
    size: Estimate | None = None
    """Slope of this measure's retrained changes on the predicted ones, over models retrained on halves. None without
    retrained models: effects are then an order, not a size."""


class InfluencePart(Record):
    """Which training records the model's treatment of slices and groups rests on."""

    status: Status
    reason: str = ""
    estimator: str = ""
    why_estimator: str = ""
    source: str = ""
    removal: str = "fixed"
    damping: float | None = None
    weight_decay: str = ""
    parameters: int | None = None
    covered_share: float | None = None
    n_train: int | None = None
    sign: str = "Positive: removing the record and retraining is predicted to raise the measure."
    slices: tuple[SliceInfluence, ...] = ()
    quality: tuple[Quality, ...] = ()
    fidelity: Estimate | None = None
    """Agreement of the effects with retraining, mean over the measures; n counts retrained subsets. Without a value,
    `withheld` says why it was not measured."""
    fidelity_floor: float | None = None
    """The policy's floor; below it the attribution is withheld. None where fidelity was not measured."""
    noise_ceiling: float | None = None
    """Fidelity that chance of training leaves to a perfect predictor."""
    size: Estimate | None = None
    """Slope of retrained on predicted changes, mean over the measures; None where fidelity was not measured."""
