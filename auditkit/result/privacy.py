"""What the model gives away about membership, as aggregates."""

from __future__ import annotations

from typing import Literal

from auditkit.result.epsilon import EpsilonPart
from auditkit.result.estimate import Estimate, Measurement, Record, Series, Status
from auditkit.result.exposed import PersonRisk, WhoIsExposed
from auditkit.result.inference import InferencePart
from auditkit.result.influence import CompositionRow
from auditkit.result.risk import RiskBand
from auditkit.result.structure import Structure
from auditkit.result.threat import ThreatRow


class ResolutionRow(Record):
    """Attack success at one false-positive rate, or why these data cannot resolve it.

    `realised_fpr` is the rate of the threshold itself: met exactly where it was set, with what it may be on others.
    """

    false_positive_rate: float
    tpr: Estimate
    realised_fpr: Estimate
    expected_false_positives: float
    needed_n: int | None = None
    """Non-members that would be needed for 10 expected false positives; None when there are as many."""


class RankingQuality(Record):
    """How many of the records that a ranking picks are among the most at risk, as retrained models show it."""

    ranking: str = ""
    """What is ranked, largest first: `self-influence`, `gradient norm`, ..., and always `loss`."""
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
    slices: tuple[Measurement, ...] = ()
    """Share of each of the policy's slices of the training records that is marked."""
    tail: Series | None = None
    by: tuple[CompositionRow, ...] = ()
    calibration: str = "uncalibrated"
    """`measured` where its worth was measured on retrained models and stands in `quality`."""
    quality: tuple[RankingQuality, ...] = ()
    truth_share: float | None = None
    """Share of the training records that count as most at risk."""
    not_ranked: tuple[tuple[str, str], ...] = ()
    """Rankings that this model does not have, and why."""


class Duplicates(Record):
    """Exact and near duplicates; counts of pairs, suppressed below the minimum cell."""

    exact_in_train: int | None
    near_in_train: int | None
    exact_across: int | None
    near_across: int | None
    copied: Estimate | None = None
    """Share of the training records with an exact or near copy among training or reserve records, whose measured risk
    is too low: a model without the record may have learned from its copy."""
    rule: str
    notes: tuple[str, ...] = ()


class AttackPart(Record):
    """A further attack beside the plain one: by whom, on how many retrained models, and how well it did."""

    status: Status
    reason: str = ""
    title: str
    source: str
    needs: Literal["loss", "retrained", "features", "course"] = "retrained"
    """What its attacker has beside the audited model's losses: retrained models, the records' features and some
    non-members, or the course of the training."""
    models: int | None = None
    """Retrained models that the attack rests on."""
    resolution: tuple[ResolutionRow, ...] = ()
    roc: Series | None = None


class Baseline(Record):
    """How well training records are told from the reserve without the audited model."""

    status: Status
    reason: str = ""
    """Why there is none; or, where the two differ, why no rule is judged on the measures named here."""
    auc: Estimate
    """Of the strongest baseline, simultaneous over all."""
    margin: float
    """How far above 0.5 the lower limit may lie before the two count as different."""
    differs: bool = False
    strongest: str = ""
    measures: tuple[str, ...] = ()
    """Measures that rest on training records against the reserve."""


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
    retraining: str = ""
    """How the retrained models were fitted, and how many of them diverged and were left out."""
    persons: PersonRisk | None = None
    """The same by persons; where none has several records it says so."""
    who: WhoIsExposed | None = None


class PrivacyPart(Record):
    """What the model gives away about membership; with retrained models, also record by record."""

    status: Status
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    attack: str = ""
    """The plain attack, which needs the model's losses alone; `attacks` holds the others. Which of them is strongest
    the measurements that name no attack say."""
    attack_source: str = ""
    resolution: tuple[ResolutionRow, ...] = ()
    roc: Series | None = None
    attacks: tuple[AttackPart, ...] = ()
    """Further attacks, which need retrained models, the records' features or the course of training."""
    baseline: Baseline | None = None
    """The attack that never asks the model, beside which every other one is read."""
    inference: InferencePart | None = None
    exposure: Exposure | None = None
    structure: Structure | None = None
    screen: Screen | None = None
    duplicates: Duplicates | None = None
    epsilon: EpsilonPart | None = None
    """Lower limits of epsilon, and a claim of differential privacy beside them."""
    threat_model: tuple[tuple[str, str], ...] = ()
    threats: tuple[ThreatRow, ...] = ()
    """Every attack that auditkit knows, with what its attacker has, and whether it was run here."""
    not_tested: tuple[str, ...] = ()
