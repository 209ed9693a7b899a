"""The policy as types: what its author may write, key by key. Reading files and placing errors is `load`.

Keys are kebab-case in YAML and snake_case here. Unknown keys are refused. Everything is frozen: a policy is a fact.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat

from auditkit.policy.bins import reference_label
from auditkit.policy.compare import ComparedRule
from auditkit.policy.membership import Membership
from auditkit.policy.outcomes import Outcome
from auditkit.policy.remedies import RemedySettings
from auditkit.policy.settings import (
    FairnessSettings,
    InfluenceSettings,
    Name,
    PrivacySettings,
    ReportSettings,
    Schedule,
    Section,
    Text,
    Training,
    kebab,
)
from auditkit.policy.statutory import StatutorySettings

__all__ = [
    "Data",
    "Deployment",
    "FairnessSettings",
    "InfluenceSettings",
    "Label",
    "Model",
    "Name",
    "Policy",
    "PrivacySettings",
    "Protected",
    "RemedySettings",
    "ReportSettings",
    "Rule",
    "Scalar",
    "Schedule",
    "Section",
    "SliceRule",
    "Text",
    "Training",
    "WaiverRule",
    "kebab",
]

Scalar = bool | int | float | str
Reference = Annotated[str | None, BeforeValidator(reference_label, json_schema_input_type=Scalar | None)]
"""A group as its label: written as a text, a number or a truth value, it is the same group."""
REFERENCES = ("largest", "best", "overall")
"""References that are chosen by the data."""


class Deployment(Section):
    """Where and how the decisions are used; what is missing prints as "not stated"."""

    decision: Text | None = None
    """What is decided with the model, for example `approval`."""
    population: Text | None = None
    """Whom the decisions are about."""
    model_access: Text | None = None
    """Who sees what of the model: decisions, probabilities, the model itself."""
    released: bool | None = None
    """Whether the model itself is given out."""


class Label(Section):
    """The label column, its favourable value, and whether it is an outcome or a past decision."""

    column: str
    """Column of the label."""
    favourable: Scalar
    """The value of the label that is good for the person."""
    means: Literal["outcome", "past-decision"]
    """`outcome` (what happened) or `past-decision` (what somebody decided). Shapes the wording of the report."""


class Data(Section):
    """The data files and their columns; relative paths are relative to the policy file."""

    train: Path | None = None
    """Records that the model was trained on (CSV or Parquet)."""
    reserve: Path | None = None
    """Records of the same population that the model never saw and that are not evaluation records."""
    evaluation: Path
    """Records on which the model is assessed (CSV or Parquet)."""
    source: Text | None = None
    """Where the data are from."""
    period: Text | None = None
    """The time that the data cover."""
    sampling: Text | None = None
    """How the records were chosen."""
    id: str | None = None
    """Column of the record's id; without one, records are numbered by file row."""
    person: str | None = None
    """Column of the person; records of one person stay together."""
    person_in_two_splits: Literal["refuse", "allow"] = "refuse"
    """Whether one person may stand in two files; counted and reported if allowed."""
    label: Label
    """The label column and what it means."""
    numeric: tuple[str, ...] = ()
    """Columns the model reads as numbers."""
    categorical: tuple[str, ...] = ()
    """Columns the model reads as categories."""
    missing: tuple[str, ...] = ()
    """Further texts to read as missing, beside the empty cell (for example `?` or `NA`)."""
    weight: str | None = None
    """Column of sample weights: the model's training and the group statistics go by them."""


class Model(Section):
    """The audited model and the adapter that brings it."""

    adapter: Literal["tabular", "python", "estimator", "predictions"]
    """How the model is brought: a tabular module of auditkit, your own code, an estimator, or decisions in a file."""
    path: Path | None = None
    """`tabular`: folder of the model's safetensors and JSON."""
    subject: str | None = None
    """`python` and `estimator`: `module:object` on the Python path or beside the policy file."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """A score of at least this, in its own precision, is the favourable decision. If not given, an estimator's own
    `predict` decides; a model without one decides at 0.5."""
    decision: str | None = None
    """`predictions`: SQL expression or column that is true (or 1) for the favourable decision."""
    score: str | None = None
    """`predictions`: column of the favourable outcome's score, optional."""
    training: Training = Training()
    """How `auditkit train` fits a tabular module."""


class Protected(Section):
    """One protected attribute: a column and either its groups or its bins."""

    column: str
    """Column of the attribute."""
    groups: tuple[Scalar, ...] | None = None
    """Labels assessed, in order; every other value is counted as unknown. if not given, every value met in the data."""
    bins: tuple[float, ...] | None = None
    """Ascending edges; [25, 40, 62] makes 25-39 and 40-61. Needs at least two."""
    reference: Reference = None
    """Group the others are compared with; or, where no group has that name, `largest`, `best` (with the highest
    selection rate) or `overall` (all records). If not given, the largest group, and the report says so."""
    unknown: tuple[Scalar, ...] = ()
    """Values that mean unknown, beside missing."""


class SliceRule(Section):
    """A named set of evaluation records: a SQL WHERE expression and the reason it is looked at."""

    where: Text
    """SQL WHERE expression over the columns of the record, `decision`, `score` and the label."""
    why: Text
    """The reason this slice is looked at."""
    measure: Literal["loss", "score"] = "loss"
    """What influence is measured on: the slice's mean loss or its mean favourable score."""


class WaiverRule(Section):
    """A breach accepted by a named person until a date."""

    owner: Text
    """Who accepts the breach."""
    reason: Text
    """Why."""
    expires: date
    """The last day of the waiver."""


class Rule(Section):
    """A measure, where it is judged, the threshold and where the threshold is from."""

    id: Name
    """The rule's name in the report."""
    measure: str
    """What is judged, for example `fairness.impact_ratio`."""
    on: str | None = None
    """The protected attribute, or intersection written as `sex x age`; every group but the reference is judged."""
    op: Literal["<", "<=", ">", ">="]
    """How the measure has to compare with the threshold."""
    threshold: FiniteFloat
    """The figure that the measure is held against."""
    proof: Literal["interval", "point"] = "interval"
    """`interval`: the whole interval has to lie on the permitted side; `point`: the value alone."""
    severity: Literal["high", "medium", "low"]
    """How grave a breach is."""
    because: Text
    """The source of the threshold: a standard, a decision, a law."""
    waiver: WaiverRule | None = None
    """A breach that somebody accepts until a date."""


class Policy(Section):
    """One audit's rules: the whole policy file, resolved."""

    auditkit: Literal[1]
    """Version of the policy format: 1."""
    name: Text
    """What this audit is called."""
    owner: Text | None = None
    """Who answers for the policy."""
    purpose: Text | None = None
    """What the model is for."""
    domain: Name | None = None
    """What is decided about, for example `consumer-credit`; legal rule sets apply to domains."""
    data: Data
    """The data files and their columns."""
    deployment: Deployment = Deployment()
    """Where and how the decisions are used."""
    model: Model
    """The audited model and the adapter that brings it."""
    protected: dict[Name, Protected] = Field(default_factory=dict)
    """Protected attributes by name; the key `intersections` lists combinations of them."""
    intersections: tuple[tuple[str, ...], ...] = ()
    """In YAML under `protected: {intersections: [[sex, age]]}`; `load` moves it here."""
    memberships: dict[Name, Membership] = Field(default_factory=dict)
    """Attributes of which a record may have several groups, or only a probability of each."""
    outcomes: dict[Name, Outcome] = Field(default_factory=dict)
    """Further outcomes (classes, numbers, rankings) whose prediction and truth are columns of the evaluation file."""
    slices: dict[Name, SliceRule] = Field(default_factory=dict)
    """Named sets of evaluation records."""
    cases: tuple[str | int, ...] = ()
    """Ids of single evaluation records to be explained."""
    compare: dict[Name, ComparedRule] = Field(default_factory=dict)
    """Other models or versions, asked about the same evaluation records."""
    fairness: FairnessSettings = FairnessSettings()
    """How group statistics are computed."""
    influence: InfluenceSettings = InfluenceSettings()
    """How influence is computed."""
    privacy: PrivacySettings = PrivacySettings()
    """How the privacy part works."""
    remedies: RemedySettings = RemedySettings()
    """What is re-tested against membership risk."""
    rules: tuple[Rule, ...]
    """What is judged."""
    frameworks: tuple[str, ...] = ()
    """Dated legal rule sets that the report is set against."""
    statutory: StatutorySettings = StatutorySettings()
    """What the tables of `nyc-ll144` and `us-ugesp-four-fifths` need to know."""
    report: ReportSettings = ReportSettings()
    """What the report is."""
    schedule: Schedule | None = None
    """How often the audit is due."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of every random number."""
