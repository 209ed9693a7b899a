"""AuditResult and its records: all that an audit may say, and the one source of JSON, HTML and PDF.

Everything here is aggregate: no ids, row numbers, case lists, single-record values or exact extremes. Numbers that are
estimates travel as `Estimate`, with n, interval and method; a number that may not be shown travels as an `Estimate`
whose `value` is None and whose `withheld` says why. Records are frozen and refuse unknown fields; `parse` refuses an
unknown schema version.

Long form on purpose: every statistic of the audit is one `Measurement` row (measure, on, group), so that rules, tables,
charts and JSON read the same rows, and nothing is computed twice.
"""

from __future__ import annotations

from html import escape
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from auditkit.errors import IntegrityError

SCHEMA_VERSION: Literal["1.0"] = "1.0"
UNJUDGED = "No rule is stated, so nothing is judged; state `rules`. The figures are in `measurements()`."

Verdict = Literal["meets", "breaches", "insufficient-evidence", "not-applicable"]
Status = Literal["assessed", "not-applicable", "withheld"]
Severity = Literal["high", "medium", "low"]
NOT_STATED = "not stated"


class Record(BaseModel):
    """A frozen piece of the result; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Record):
    """A number with its interval, its n and its method; `value` None means not estimable or withheld, and why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    """Coverage of [low, high]; simultaneous coverage where `method` says so."""
    n: int | None = None
    """Denominator (records) the value rests on; None where the count itself is suppressed."""
    method: str = ""
    withheld: str = ""
    """Why there is no value or no interval: too few records, no positives, suppressed."""
    events: int | None = None
    """Count of the rate's numerator, where the estimate is a rate."""
    step: float = 0.0
    """What value and limits are rounded to before they are published, limits outwards; 0 is not rounded."""

    @property
    def known(self) -> bool:
        """Whether there is a value to show."""
        return self.value is not None


class Measurement(Record):
    """One statistic: `measure` (dotted name, as rules write it), on which attribute, for which group."""

    measure: str
    """`fairness.selection_rate`, `fairness.impact_ratio`, `privacy.tpr_at_fpr_0.01`, `model.accuracy`, ..."""
    on: str = ""
    """Protected attribute, intersection (`sex x age`) or slice; empty for the whole evaluation set."""
    group: str = ""
    """Group label; empty for all records; a comparison's group is the one compared with `reference`."""
    reference: str = ""
    unit: Literal["rate", "points", "ratio", "score", "nats", "count", "share"] = "rate"
    """`points` is a difference of rates or mean scores on the 0-1 scale."""
    estimate: Estimate
    parts: tuple[str, ...] = ()
    """Caveats that belong to this row (for example: interval by cell bootstrap refused below 5 events)."""


class Group(Record):
    """One group of one protected attribute on the evaluation set."""

    on: str
    group: str
    n: int | None
    """Records; None when suppressed below the minimum cell."""
    persons: int | None = None
    share: float | None = None
    status: Literal["assessed", "insufficient-evidence", "unknown", "empty"]
    is_reference: bool = False
    reason: str = ""


class FairnessPart(Record):
    """Group statistics of the decisions; tables and figures pivot `measurements` by `on`, `group` and `measure`."""

    status: Status
    reason: str = ""
    attributes: tuple[str, ...] = ()
    """Protected attributes and intersections, in the policy's order."""
    groups: tuple[Group, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    metrics: tuple[MetricNote, ...] = ()
    notes: tuple[str, ...] = ()


class MetricNote(Record):
    """What one metric is, for the reader: formula, what zero or one means, source."""

    measure: str
    title: str
    formula: str
    meaning: str
    source: str


class Point(Record):
    """One point of a series; low and high bound y where an interval exists."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


class Series(Record):
    """What a figure draws, already binned and suppressed."""

    name: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    n: int | None = None
    method: str = ""


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


class Quality(Record):
    """One figure by which an estimator or an attack reports its own quality."""

    name: str
    value: float | None
    text: str
    """What the figure means for the reader, in one sentence; carries the words when there is no number."""
    warns: bool = False


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


class ResolutionRow(Record):
    """Attack success at one false-positive rate, or why these data cannot resolve it."""

    false_positive_rate: float
    tpr: Estimate
    realised_fpr: Estimate
    expected_false_positives: float
    needed_n: int | None = None
    """Non-members the measuring split would need for 10 expected false positives; None when it has them."""


class RankingQuality(Record):
    """How many of the records that a ranking picks are among the most at risk, as retrained models show it."""

    ranking: str = ""
    """`self-influence` or `loss`, largest first."""
    selection: str = ""
    precision: Estimate
    """Share of the picked that are among the most at risk."""
    recall: Estimate
    """Share of the most at risk that are picked."""
    lift: Estimate
    """Precision over the share of the most at risk among all records."""


class Screen(Record):
    """Outsized self-influence: a ranking of memorisation; never a membership probability."""

    status: Status
    reason: str = ""
    rule: str = ""
    cut: float | None = None
    """Where the rule cuts, on the x axis of `tail`; a statistic of all records, never one record's value."""
    n: int | None = None
    flagged: Estimate | None = None
    by_group: tuple[Measurement, ...] = ()
    tail: Series | None = None
    by: tuple[CompositionRow, ...] = ()
    calibration: str = "uncalibrated"
    """`measured` where its worth was measured on retrained models and stands in `quality`."""
    quality: tuple[RankingQuality, ...] = ()
    truth_share: float | None = None
    """Share of the training records that count as most at risk."""


class Duplicates(Record):
    """Exact and near duplicates; counts of pairs, suppressed below the minimum cell."""

    exact_in_train: int | None
    near_in_train: int | None
    exact_across: int | None
    near_across: int | None
    rule: str
    notes: tuple[str, ...] = ()


class AttackPart(Record):
    """A further attack beside the plain one: by whom, on how many retrained models, and how well it did."""

    status: Status
    reason: str = ""
    title: str
    source: str
    models: int | None = None
    """Retrained models that the attack rests on."""
    resolution: tuple[ResolutionRow, ...] = ()
    roc: Series | None = None


class RiskBand(Record):
    """Share of the training records whose risk lies in [low, high)."""

    low: float
    high: float
    share: Estimate


class Exposure(Record):
    """Membership risk of records as aggregates: the probability that an optimal attacker guesses membership rightly."""

    status: Status
    reason: str = ""
    rule: str = ""
    models: int | None = None
    learned_from: int | None = None
    """Records that a retrained model learned from (median); `audited_learned_from` those of the audited one."""
    audited_learned_from: int | None = None
    average: Estimate | None = None
    bands: tuple[RiskBand, ...] = ()
    """From 0.5 upwards; bands that would tell of a few persons are joined. The highest that is not empty holds the
    maximum."""
    flagged: Estimate | None = None
    by_group: tuple[Measurement, ...] = ()
    p_steps: int | None = None
    """P-values are multiples of one in this many: the reserve and one more."""


class PrivacyPart(Record):
    """What the model gives away about membership; with retrained models, also record by record."""

    status: Status
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    attack: str = ""
    attack_source: str = ""
    resolution: tuple[ResolutionRow, ...] = ()
    roc: Series | None = None
    attacks: tuple[AttackPart, ...] = ()
    """Further attacks, which need retrained models."""
    exposure: Exposure | None = None
    screen: Screen | None = None
    duplicates: Duplicates | None = None
    threat_model: tuple[tuple[str, str], ...] = ()
    not_tested: tuple[str, ...] = ()


class GroupVerdict(Record):
    """The verdict of one rule for one group."""

    group: str
    reference: str = ""
    """The group compared with, where the measure is a comparison."""
    verdict: Verdict
    reason: str
    estimate: Estimate
    side: Literal["", "permitted", "forbidden"] = ""
    """The side on which the point value lies when the interval does not decide."""
    needed_n: int | None = None
    """Records that would decide, if the point value held; None when it decides or no n would."""


class Waiver(Record):
    """Who accepted a breach, why, and until when."""

    owner: str
    reason: str
    expires: str
    active: bool


class Finding(Record):
    """One rule, judged."""

    id: str
    measure: str
    on: str
    op: str
    threshold: float
    proof: Literal["interval", "point"]
    severity: Severity
    because: str
    verdict: Verdict
    reason: str
    sentence: str
    """The finding in one sentence with number, interval and n, for the cover."""
    estimate: Estimate | None
    """The estimate that decided (the worst group's)."""
    groups: tuple[GroupVerdict, ...] = ()
    waiver: Waiver | None = None
    evidence: str = ""
    """Anchor of the report section that holds the evidence."""


class Conclusion(Record):
    """The audit's verdict over all rules and the exit code that goes with it."""

    verdict: Verdict
    exit_code: int
    sentence: str
    counts: dict[str, int]


class Fact(Record):
    """One stated (or not stated) fact about the system, the data or the run."""

    name: str
    value: str
    stated: bool = True


class SplitFacts(Record):
    """One split of the data: size, persons, labels, and what was counted on reading it."""

    split: Literal["train", "reserve", "evaluation"]
    n: int
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


class AuditResult(Record):
    """Everything one audit says."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    title: str
    stamp: Stamp
    facts: tuple[Fact, ...]
    """The first page's facts: owner, purpose, domain, population, source, period, sampling, deployment."""
    policy: dict[str, object]
    """The resolved policy, redacted: cases as a count, no paths of the machine."""
    conclusion: Conclusion
    findings: tuple[Finding, ...]
    data: DataPart
    model: ModelPart
    fairness: FairnessPart
    influence: InfluencePart
    privacy: PrivacyPart
    frameworks: tuple[FrameworkPart, ...] = ()
    limits: tuple[Fact, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    minimum_cell: int = Field(default=10, ge=1)

    def measurements(self) -> tuple[Measurement, ...]:
        """Every measurement of every part, in the order of the parts."""
        return (*self.model.measurements, *self.fairness.measurements, *self.privacy.measurements)

    def _repr_html_(self) -> str:
        """The notebook's view: the verdict and one row per rule; the full report is `auditkit render`."""
        cells = ((finding.id, finding.verdict, finding.severity, finding.sentence) for finding in self.findings)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        head = "<tr><th>Rule</th><th>Verdict</th><th>Severity</th><th>Finding</th></tr>"
        title, sentence = escape(self.title), escape(self.conclusion.sentence)
        table = f"<table>{head}{rows}</table>" if rows else f"<p>{escape(UNJUDGED)}</p>"
        return f"<section><h3>{title}</h3><p><strong>{sentence}</strong></p>{table}</section>"

    def __str__(self) -> str:
        """What `print` shows: the verdict and one line per rule."""
        lines = [f"{finding.id}: {finding.verdict}. {finding.sentence}" for finding in self.findings] or [UNJUDGED]
        return "\n".join((f"{self.title}: {self.conclusion.sentence}", *lines))


def parse(data: object) -> AuditResult:
    """Read a result back, for example from `audit.json`.

    Raises:
        IntegrityError: the document is not a result of a known schema version.
    """
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        message = f"schema_version is {version!r}, this auditkit reads {SCHEMA_VERSION!r}"
        raise IntegrityError(message)
    return AuditResult.model_validate(data)
