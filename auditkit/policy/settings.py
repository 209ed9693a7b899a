"""The parts of a policy that say how things are computed and shown; `schema` holds what the policy is about.

All have working defaults: a policy states only what it wants otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=400, strip_whitespace=True)]


def kebab(name: str) -> str:
    """`minimum_cell` as its YAML key `minimum-cell`."""
    return name.replace("_", "-")


class Section(BaseModel):
    """A mapping of the policy; frozen, unknown keys refused, kebab-case keys; fields' docstrings are descriptions."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Training(Section):
    """How `auditkit train` fits a tabular module; also the recipe that the bank repeats."""

    module: Literal["logistic", "mlp"] = "logistic"
    """The kind of module."""
    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (32,)
    """Widths of the hidden layers of `mlp`."""
    embedding: Annotated[int, Field(ge=0, le=512)] = 0
    """Width of learned embeddings of categorical columns; 0 is one-hot."""
    l2: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    """lambda of the objective 1/N sum loss + lambda/2 |theta|^2, over all parameters, biases included."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 60
    """Passes over the training records."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.05
    """Step size of the optimiser."""
    batch: Annotated[int, Field(ge=1)] = 128
    """Records per step."""
    early_stopping: bool = False
    """Whether training stops when the loss stops falling."""


class FairnessSettings(Section):
    """How group statistics are computed."""

    minimum_group: Annotated[int, Field(ge=1)] = 30
    """Records a group needs before anything is said about it."""
    minimum_denominator: Annotated[int, Field(ge=1)] = 10
    """Records a rate's denominator needs (positives for TPR, for example)."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence level of intervals, simultaneous over the groups of a rule."""
    replicates: Annotated[int, Field(ge=1000, le=1_000_000)] = 10_000
    """Bootstrap replicates."""
    maximum_unknown: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of unknown membership above which a rule on that attribute is insufficient evidence."""
    control: tuple[str, ...] = ()
    """Protected attributes or columns within whose values groups are compared again (conditional parity)."""
    multiplicity: Literal["simultaneous", "holm", "bh"] = "simultaneous"
    """How p-values are put right for their number. With `holm` or `bh` the verdicts of rules on rates and what is made
    of them rest on such tests against the threshold; intervals are simultaneous always."""
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Difference of rates within which two groups count as equivalent; ratios within 0.8 to 1.25."""
    discovery: Literal["auto", "none"] = "auto"
    """Whether slices that nobody named are searched on half of the evaluation persons and tested on the others."""
    false_discovery: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """False-discovery level of the slices so confirmed, for each outcome."""


class InfluenceSettings(Section):
    """How influence is computed."""

    estimator: Literal[
        "auto", "exact", "cg", "lissa", "arnoldi", "kfac", "ekfac", "logra", "tracin", "ensemble"
    ] = "auto"
    """How influence is computed; `auto` chooses exact or ekfac by the model's size. `tracin` replays the training of a
    network that auditkit trained; `ensemble` averages over models retrained for it beside those that measure."""
    damping: Literal["auto"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] = "auto"
    """Added to the curvature; `auto` derives it by layer, and the report says how."""
    fidelity_floor: Annotated[float, Field(ge=-1, le=1)] = 0.3
    """Measured fidelity below which influence findings are withheld."""
    fidelity_models: Literal["auto"] | Annotated[int, Field(ge=16, le=1024)] = "auto"
    """Models retrained on random halves to measure fidelity; `auto` goes by the work that the model takes."""
    compare: tuple[str, ...] = ()
    """Further columns by which the most influential records are described."""


class Claimed(Section):
    """A claim of differential privacy made for the model: what a reader of the claim has to know to weigh it."""

    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """The claimed epsilon of the training."""
    delta: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The claimed delta."""
    unit: Literal["record", "person"]
    """Whose data the claim is about: one record, or all records of one person."""
    neighbours: Literal["add-or-remove", "replace"] = "add-or-remove"
    """How two neighbouring data sets differ: by a unit that is there or not, or by one that is replaced."""
    accountant: Text | None = None
    """By which accountant epsilon was computed."""
    sampling: Text | None = None
    """How batches are drawn in training, and that the accountant assumes the same."""
    tuning: Text | None = None
    """What choosing settings on the same data cost, and whether epsilon includes it."""


class PrivacySettings(Section):
    """How the privacy part works."""

    bank: Literal["auto", "none"] | Annotated[int, Field(ge=16, le=4096)] = "auto"
    """Models retrained to measure membership instead of assuming it: `auto` takes as many as the budget allows, a
    number so many, and `none` retrains nothing, also not for fidelity."""
    budget: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4} ?(s|min|h)$")] = "20 s"
    """Computing time that `bank: auto` may take, for example `20 s` or `5 min`: turned into a count of operations by
    one stated rate, so that the same policy gives the same models on every machine."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.10
    """False-discovery level of record-level flags."""
    retention: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]* (day|week|month|year)s?$")] | None = None
    """How long record-level evidence is kept, for example `90 days`; `auditkit clean` deletes it after that."""
    risk_threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.75
    """Probability of a right guess at membership above which a record counts as exposed."""
    false_positive_rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.001, 0.01, 0.1)
    """False-positive rates at which the attack is measured; one that is stated twice is measured once."""
    near_duplicate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Distance below which records are near-duplicates, as a share of the median nearest-neighbour distance."""
    infer: tuple[str, ...] = ()
    """Further columns whose value an attacker tries to guess through the model, beside the protected attributes."""
    attacker: Text | None = None
    """What the attacker is taken to know and see."""
    knowledge: Text | None = None
    """What the attacker is taken to know of the data and of the training, beside the model's answers."""
    access: Literal["decisions", "scores", "parameters", "training"] | None = None
    """The most that the attacker sees of the model: decisions, scores, its parameters, or its training as well."""
    epsilon_fpr: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """False-positive rate at which the lower limits of epsilon are measured; one, stated before measuring."""
    delta: Annotated[float, Field(ge=0, lt=1)] = 1e-5
    """Delta at which lower limits of epsilon are stated; with `claimed`, the claimed delta stands in its place."""
    canaries: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Made-up records inserted by coin into one retraining, for a lower limit of epsilon; 0 is none."""
    guesses: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = "auto"
    """Share of the canaries whose insertion is guessed, half of them in and half out, stated before measuring; `auto`
    looks at several shares, up to all canaries, each at its part of the level."""
    claimed: Claimed | None = None
    """A claim of differential privacy made for the model, held against the measured lower limits."""

    @field_validator("false_positive_rates")
    @classmethod
    def _once(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(dict.fromkeys(rates))


class ReportSettings(Section):
    """What the report is."""

    formats: tuple[Literal["html", "pdf", "json"], ...] = ("html", "pdf", "json")
    """Files written."""
    minimum_cell: Annotated[int, Field(ge=2, le=100)] = 10
    """Persons below which a figure is suppressed in public files."""
    annex: Literal["none"] = "none"
    """Record-level annex."""
    title: Text | None = None
    """The report's title; the policy's name if not given."""
    organisation: Text | None = None
    """Who is audited."""
    language: Literal["en"] = "en"
    """The report's language."""


class Schedule(Section):
    """How often the audit is due."""

    every: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]* (day|week|month|year)s?$")]
    """Time between audits, for example `3 months`."""
    grace: Annotated[str, StringConstraints(pattern=r"^[0-9]+ (day|week|month|year)s?$")] = "0 days"
    """Time after which a missing audit is overdue, for example `15 days`."""
