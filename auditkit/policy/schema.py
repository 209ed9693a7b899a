"""The policy as types: what its author may write, key by key. Reading files and placing errors is `load`.

Keys are kebab-case in YAML and snake_case here. Unknown keys are refused. Everything is frozen: a policy is a fact.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=400, strip_whitespace=True)]
Scalar = bool | int | float | str


def kebab(name: str) -> str:
    """`minimum_cell` as its YAML key `minimum-cell`."""
    return name.replace("_", "-")


class Section(BaseModel):
    """A mapping of the policy; frozen, unknown keys refused, kebab-case keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True)


class Deployment(Section):
    """Where and how the decisions are used; what is missing prints as "not stated"."""

    decision: Text | None = None
    population: Text | None = None
    model_access: Text | None = None
    released: bool | None = None


class Label(Section):
    """The label column, its favourable value, and whether it is an outcome or a past decision."""

    column: str
    favourable: Scalar
    means: Literal["outcome", "past-decision"]


class Data(Section):
    """The data files and their columns; relative paths are relative to the policy file."""

    train: Path | None = None
    reserve: Path | None = None
    evaluation: Path
    source: Text | None = None
    period: Text | None = None
    sampling: Text | None = None
    id: str | None = None
    """Column of the record's id; without one, records are numbered by file row."""
    person: str | None = None
    """Column of the person; records of one person stay together."""
    person_in_two_splits: Literal["refuse", "allow"] = "refuse"
    label: Label
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Further texts to read as missing, beside the empty cell (for example `?` or `NA`)."""
    weight: str | None = None


class Training(Section):
    """How `auditkit train` fits a tabular module; also the recipe that the bank repeats."""

    module: Literal["logistic", "mlp"] = "logistic"
    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (32,)
    """Widths of the hidden layers of `mlp`."""
    embedding: Annotated[int, Field(ge=0, le=512)] = 0
    """Width of learned embeddings of categorical columns; 0 is one-hot."""
    l2: Annotated[float, Field(ge=0)] = 1e-3
    """lambda of the objective 1/N sum loss + lambda/2 |theta|^2, over all parameters, biases included."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 60
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    batch: Annotated[int, Field(ge=1)] = 128
    early_stopping: bool = False


class Model(Section):
    """The audited model and the adapter that brings it."""

    adapter: Literal["tabular", "python", "estimator", "predictions"]
    path: Path | None = None
    """`tabular`: folder of the model's safetensors and JSON."""
    subject: str | None = None
    """`python` and `estimator`: `module:object` on the Python path or beside the policy file."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A score of at least this is the favourable decision."""
    decision: str | None = None
    """`predictions`: SQL expression or column that is true (or 1) for the favourable decision."""
    score: str | None = None
    """`predictions`: column of the favourable outcome's score, optional."""
    training: Training = Training()


class Protected(Section):
    """One protected attribute: a column and either its groups or its bins."""

    column: str
    groups: tuple[Scalar, ...] | None = None
    """Labels assessed, in order; every other value is counted as unknown. None: every value met in the data."""
    bins: tuple[float, ...] | None = None
    """Ascending edges; [25, 40, 62] makes 25-39 and 40-61. Needs at least two."""
    reference: str | None = None
    """Group the others are compared with; None: the largest group, and the report says so."""
    unknown: tuple[Scalar, ...] = ()
    """Values that mean unknown, beside missing."""


class SliceRule(Section):
    """A named set of evaluation records: a SQL WHERE expression and the reason it is looked at."""

    where: Text
    why: Text
    measure: Literal["loss", "score"] = "loss"
    """What influence is measured on: the slice's mean loss or its mean favourable score."""


class FairnessSettings(Section):
    """How group statistics are computed."""

    minimum_group: Annotated[int, Field(ge=1)] = 30
    """Records a group needs before anything is said about it."""
    minimum_denominator: Annotated[int, Field(ge=1)] = 10
    """Records a rate's denominator needs (positives for TPR, for example)."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    replicates: Annotated[int, Field(ge=1000, le=1_000_000)] = 10_000
    maximum_unknown: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of unknown membership above which a rule on that attribute is insufficient evidence."""


class InfluenceSettings(Section):
    """How influence is computed."""

    estimator: Literal["auto", "exact", "ekfac"] = "auto"
    damping: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    fidelity_floor: Annotated[float, Field(ge=-1, le=1)] = 0.3
    compare: tuple[str, ...] = ()
    """Further columns by which the most influential records are described."""


class PrivacySettings(Section):
    """How the privacy part works."""

    bank: Literal["auto", "none"] = "auto"
    level: Annotated[float, Field(gt=0, lt=1)] = 0.10
    risk_threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.75
    false_positive_rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.001, 0.01, 0.1)
    near_duplicate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Distance below which two records count as near-duplicates, as a share of the median nearest-neighbour distance."""
    attacker: Text | None = None


class WaiverRule(Section):
    """A breach accepted by a named person until a date."""

    owner: Text
    reason: Text
    expires: date


class Rule(Section):
    """A measure, where it is judged, the threshold and where the threshold is from."""

    id: Name
    measure: str
    on: str | None = None
    op: Literal["<", "<=", ">", ">="]
    threshold: float
    proof: Literal["interval", "point"] = "interval"
    severity: Literal["high", "medium", "low"]
    because: Text
    waiver: WaiverRule | None = None


class ReportSettings(Section):
    """What the report is."""

    formats: tuple[Literal["html", "pdf", "json"], ...] = ("html", "pdf", "json")
    minimum_cell: Annotated[int, Field(ge=2, le=100)] = 10
    annex: Literal["none"] = "none"
    title: Text | None = None
    organisation: Text | None = None
    language: Literal["en"] = "en"


class Schedule(Section):
    """How often the audit is due."""

    every: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]* (day|week|month|year)s?$")]
    grace: Annotated[str, StringConstraints(pattern=r"^[0-9]+ (day|week|month|year)s?$")] = "0 days"


class Policy(Section):
    """One audit's rules: the whole policy file, resolved."""

    auditkit: Literal[1]
    name: Text
    owner: Text | None = None
    purpose: Text | None = None
    domain: Name | None = None
    data: Data
    deployment: Deployment = Deployment()
    model: Model
    protected: dict[str, Protected] = Field(default_factory=dict)
    intersections: tuple[tuple[str, ...], ...] = ()
    """In YAML under `protected: {intersections: [[sex, age]]}`; `load` moves it here."""
    slices: dict[Name, SliceRule] = Field(default_factory=dict)
    cases: tuple[str | int, ...] = ()
    fairness: FairnessSettings = FairnessSettings()
    influence: InfluenceSettings = InfluenceSettings()
    privacy: PrivacySettings = PrivacySettings()
    rules: tuple[Rule, ...]
    frameworks: tuple[str, ...] = ()
    report: ReportSettings = ReportSettings()
    schedule: Schedule | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
