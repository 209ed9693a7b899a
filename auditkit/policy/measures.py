"""The measures that a rule may judge: one literal table, by dotted name.

A rule's `measure` is the `measure` of the `Measurement` rows of the result: what stands here is what the assessing
rooms produce. Rates are of the favourable decision: TPR is the share of records with a favourable label that are
decided favourably, FPR the same share of records with an unfavourable label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal, TypeAlias

Family: TypeAlias = Literal["fairness", "model", "privacy"]
Unit: TypeAlias = Literal["rate", "points", "ratio", "score", "nats", "share"]
TPR_AT_FPR: Final = "privacy.tpr_at_fpr_"
STRONGEST_AUC: Final = "privacy.attack_auc"
ATTACKS: Final = {
    TPR_AT_FPR: "the strongest membership attack",
    "privacy.loss_threshold_tpr_at_fpr_": "the loss-threshold attack",
    "privacy.lira_tpr_at_fpr_": "the likelihood-ratio attack",
    "privacy.lira_offline_tpr_at_fpr_": "the offline likelihood-ratio attack",
    "privacy.rmia_tpr_at_fpr_": "the relative-likelihood attack",
    "privacy.calibrated_tpr_at_fpr_": "the calibrated-loss attack",
    "privacy.quantile_tpr_at_fpr_": "the quantile-regression attack",
    "privacy.trace_tpr_at_fpr_": "the loss-trace attack",
}
"""Prefix of the measure of each attack's success at a false-positive rate -> the attack in words; the first is that of
the strongest of all attacks that were run."""


@dataclass(frozen=True)
class Measure:
    """One measure: where it is judged, its unit and range, and which way is wished."""

    title: str
    """In words, to begin a sentence with."""
    family: Family
    needs_on: bool
    """Whether a rule names a protected attribute in `on`; if not, it must not."""
    unit: Unit
    low: float
    high: float
    direction: str
    """What more of it, or its point of rest, means."""


def _rate(title: str, more: str) -> Measure:
    return Measure(title, "fairness", True, "rate", 0.0, 1.0, f"more is more {more}")


def _difference(title: str) -> Measure:
    return Measure(title, "fairness", True, "points", -1.0, 1.0, "0 is equality with the reference group")


def _ratio(title: str) -> Measure:
    return Measure(title, "fairness", True, "ratio", 0.0, float("inf"), "1 is equality with the reference group")


def _auc(attack: str) -> Measure:
    words = "0.5 is an attacker who learns nothing"
    return Measure(f"AUC of {attack}", "privacy", False, "score", 0.0, 1.0, words)


def _epsilon(whose: str) -> Measure:
    words = "no honest claim of differential privacy can go below it; 0 shows nothing"
    return Measure(f"Lower limit of epsilon of {whose}", "privacy", False, "score", 0.0, float("inf"), words)


MEASURES: Final[dict[str, Measure]] = {
    "fairness.selection_rate": _rate("Selection rate", "favourable decisions in the group"),
    "fairness.tpr": _rate("True-positive rate", "favourable decisions among favourable labels"),
    "fairness.fpr": _rate("False-positive rate", "favourable decisions among unfavourable labels"),
    "fairness.fnr": _rate("False-negative rate", "unfavourable decisions among favourable labels"),
    "fairness.tnr": _rate("True-negative rate", "unfavourable decisions among unfavourable labels"),
    "fairness.ppv": _rate("Positive predictive value", "favourable labels among favourable decisions"),
    "fairness.accuracy": _rate("Accuracy", "decisions that agree with the label"),
    "fairness.npv": _rate("Negative predictive value", "unfavourable labels among unfavourable decisions"),
    "fairness.fdr": _rate("False-discovery rate", "unfavourable labels among favourable decisions"),
    "fairness.for": _rate("False-omission rate", "favourable labels among unfavourable decisions"),
    "fairness.base_rate": _rate("Base rate", "favourable labels in the group, whatever the decisions"),
    "fairness.selection_rate_difference": _difference("Difference in selection rate"),
    "fairness.tpr_difference": _difference("Difference in true-positive rate"),
    "fairness.fpr_difference": _difference("Difference in false-positive rate"),
    "fairness.fnr_difference": _difference("Difference in false-negative rate"),
    "fairness.tnr_difference": _difference("Difference in true-negative rate"),
    "fairness.ppv_difference": _difference("Difference in positive predictive value"),
    "fairness.accuracy_difference": _difference("Difference in accuracy"),
    "fairness.npv_difference": _difference("Difference in negative predictive value"),
    "fairness.fdr_difference": _difference("Difference in false-discovery rate"),
    "fairness.for_difference": _difference("Difference in false-omission rate"),
    "fairness.base_rate_difference": _difference("Difference in base rate"),
    "fairness.balanced_accuracy": _rate("Balanced accuracy", "decisions that agree with the label, both labels alike"),
    "fairness.balanced_accuracy_difference": _difference("Difference in balanced accuracy"),
    "fairness.equalised_odds_difference": _difference("Equalised odds, difference"),
    "fairness.treatment_equality": Measure(
        "Treatment equality", "fairness", True, "ratio", 0.0, float("inf"),
        "1 is as many errors to the group's disadvantage as to its advantage",
    ),
    "fairness.treatment_equality_ratio": _ratio("Ratio of treatment equality"),
    "fairness.auc": Measure("AUC", "fairness", True, "score", 0.0, 1.0, "0.5 is a score that tells no label"),
    "fairness.auc_difference": _difference("Difference in AUC"),
    "fairness.standardised_difference": Measure(
        "Standardised mean difference of scores", "fairness", True, "score", float("-inf"), float("inf"),
        "0 is equality with the reference group",
    ),
    "fairness.calibration_error": Measure(
        "Calibration error", "fairness", True, "score", 0.0, 1.0, "0 is a score that equals the share in every bin"
    ),
    "fairness.brier": Measure("Brier score", "fairness", True, "score", 0.0, 1.0, "0 is a score that is the label"),
    "fairness.impact_ratio": _ratio("Impact ratio"),  # of selection rates, under the name that the law uses
    "fairness.tpr_ratio": _ratio("Ratio of true-positive rate"),
    "fairness.fpr_ratio": _ratio("Ratio of false-positive rate"),
    "fairness.fnr_ratio": _ratio("Ratio of false-negative rate"),
    "fairness.tnr_ratio": _ratio("Ratio of true-negative rate"),
    "fairness.ppv_ratio": _ratio("Ratio of positive predictive value"),
    "fairness.accuracy_ratio": _ratio("Ratio of accuracy"),
    "fairness.npv_ratio": _ratio("Ratio of negative predictive value"),
    "fairness.fdr_ratio": _ratio("Ratio of false-discovery rate"),
    "fairness.for_ratio": _ratio("Ratio of false-omission rate"),
    "fairness.base_rate_ratio": _ratio("Ratio of base rate"),
    "model.accuracy": Measure(
        "Accuracy", "model", False, "rate", 0.0, 1.0, "more is more decisions that agree with the label"
    ),
    "privacy.attack_auc": _auc("the strongest membership attack"),
    "privacy.loss_threshold_auc": _auc("the loss-threshold attack"),
    "privacy.lira_auc": _auc("the likelihood-ratio attack"),
    "privacy.lira_offline_auc": _auc("the offline likelihood-ratio attack"),
    "privacy.rmia_auc": _auc("the relative-likelihood attack"),
    "privacy.calibrated_auc": _auc("the calibrated-loss attack"),
    "privacy.quantile_auc": _auc("the quantile-regression attack"),
    "privacy.trace_auc": _auc("the loss-trace attack"),
    "privacy.baseline_auc": _auc("the baseline that never asks the model"),
    "privacy.epsilon_lower_bound": _epsilon("the audited model"),
    "privacy.recipe_epsilon_lower_bound": _epsilon("the recipe, on held-out retrained models"),
    "privacy.canary_epsilon_lower_bound": _epsilon("the recipe, by inserted canaries"),
    "privacy.average_risk": Measure(
        "Average membership risk of training records", "privacy", False, "score", 0.0, 1.0,
        "0.5 is an attacker who guesses no better than by a coin",
    ),
    "privacy.exposed_share": Measure(
        "Share of training records marked as exposed", "privacy", False, "share", 0.0, 1.0,
        "more records whose membership an attacker tells",
    ),
    "privacy.train_evaluation_gap": Measure(
        "Gap between evaluation and training loss (nats)", "privacy", False, "nats", float("-inf"), float("inf"),
        "0 is no trace of training in the mean loss",
    ),
    "privacy.accuracy_gap": Measure(
        "Gap between training and evaluation accuracy", "privacy", False, "points", -1.0, 1.0,
        "0 is no trace of training in the accuracy",
    ),
    "privacy.screen_share": Measure(
        "Share of training records with outsized self-influence", "privacy", False, "share", 0.0, 1.0,
        "an uncalibrated ranking: more records unlike the others",
    ),
}  # fmt: skip

# Names from elsewhere, for "did you mean" only: they are not measures.
ELSEWHERE: Final[dict[str, str]] = {
    "selection_rate_ratio": "fairness.impact_ratio",
    "disparate_impact": "fairness.impact_ratio",
    "disparate_impact_ratio": "fairness.impact_ratio",
    "adverse_impact_ratio": "fairness.impact_ratio",
    "four_fifths": "fairness.impact_ratio",
    "demographic_parity_ratio": "fairness.impact_ratio",
    "demographic_parity_difference": "fairness.selection_rate_difference",
    "statistical_parity_difference": "fairness.selection_rate_difference",
    "equal_opportunity_difference": "fairness.tpr_difference",
    "equal_opportunity_ratio": "fairness.tpr_ratio",
    "predictive_equality_difference": "fairness.fpr_difference",
    "predictive_parity_difference": "fairness.ppv_difference",
    "false_omission_rate": "fairness.for",
    "false_discovery_rate": "fairness.fdr",
    "negative_predictive_value": "fairness.npv",
    "prevalence": "fairness.base_rate",
    "equalized_odds_difference": "fairness.equalised_odds_difference",
    "balanced_accuracy_score": "fairness.balanced_accuracy",
    "precision": "fairness.ppv",
    "recall": "fairness.tpr",
    "accuracy": "model.accuracy",
}


def tpr_at_fpr(rate: float, *, prefix: str = TPR_AT_FPR) -> str:
    """The measure's name for an attack's true-positive rate at one false-positive rate, as in `..._0.01`."""
    return f"{prefix}{float(rate)!r}"


def find(name: str, *, false_positive_rates: Sequence[float]) -> Measure | None:
    """The measure of this exact name, or None; the policy's false-positive rates make the `tpr_at_fpr` names."""
    for rate in false_positive_rates:
        if any(name == tpr_at_fpr(rate, prefix=prefix) for prefix in ATTACKS):
            words = "at the false-positive rate itself, an attacker who learns nothing"
            return Measure(title(name), "privacy", False, "rate", 0.0, 1.0, words)
    return MEASURES.get(name)


def is_strongest(name: str) -> bool:
    """Whether the measure names no attack, and so means the strongest of all that were run."""
    return name == STRONGEST_AUC or name.startswith(TPR_AT_FPR)


def is_attack_rate(name: str) -> bool:
    """Whether it is a true-positive rate at a false-positive rate, whose threshold is estimated as well."""
    return name.startswith(tuple(ATTACKS))


def title(name: str) -> str:
    """A measure's name in words, to begin a sentence with; an unknown name as it is."""
    for prefix, attack in ATTACKS.items():
        if name.startswith(prefix):
            return f"True-positive rate of {attack} at a false-positive rate of {name.removeprefix(prefix)}"
    return MEASURES[name].title if name in MEASURES else name


def unit(name: str) -> Unit:
    """The unit of a measure; the `tpr_at_fpr` names are rates."""
    return MEASURES[name].unit if name in MEASURES else "rate"


def suggest(name: str, *, false_positive_rates: Sequence[float]) -> str | None:
    """The measure that an author who wrote `name` most probably means, or None."""
    bare = name.rsplit(".", maxsplit=1)[-1].replace("-", "_").lower()
    if bare in ELSEWHERE:
        return ELSEWHERE[bare]
    known = [*MEASURES, *(tpr_at_fpr(rate, prefix=prefix) for prefix in ATTACKS for rate in false_positive_rates)]
    for measure in known:
        if measure.split(".", maxsplit=1)[1] == bare:
            return measure
    close = get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.6)
    return close[0] if close else None
