"""What the model gives away about membership, as aggregates."""

from __future__ import annotations

from auditkit.result.estimate import Estimate, Measurement, Record, Series, Status
from auditkit.result.influence import CompositionRow


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
