"""Numbers and verdicts to words: the one place that decides how a value, an interval or a reason reads.

A reader meets `41.2 %`, `−13.7 points`, `0.72`, each with `95 % interval 0.66 to 0.79` and `n = 902`; a number that may
not be shown reads as the reason why. Nothing here judges: verdicts come from the result.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from auditkit.result import Estimate, Finding, Measurement, Verdict

NBSP = "\u00a0"
NONE = "–"
OPERATORS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least"}
MORE_DIGITS = 6
SMALL_EXPONENT = 6
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class VerdictWord(NamedTuple):
    """How a verdict is printed: a sign that differs in shape, and words."""

    sign: str
    word: str
    heading: str


VERDICTS: dict[Verdict, VerdictWord] = {
    "meets": VerdictWord("✓", "Meets", "Meets the policy"),
    "breaches": VerdictWord("✗", "Breaches", "Breaches the policy"),
    "insufficient-evidence": VerdictWord("?", "Insufficient evidence", "The evidence does not decide"),
    "not-applicable": VerdictWord("–", "Not applicable", "No rule applied"),
}

WORDS = {
    "tpr": "true-positive rate",
    "fpr": "false-positive rate",
    "fnr": "false-negative rate",
    "tnr": "true-negative rate",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "fdr": "false-discovery rate",
    "for": "false-omission rate",
    "auc": "AUC",
    "ratio": "ratio",
    "mia": "membership-inference attack",
}
TITLES = {
    "privacy.train_loss": "Training loss",
    "privacy.attack_auc": "AUC of the strongest membership attack",
    "privacy.loss_threshold_auc": "AUC of the loss-threshold attack",
    "privacy.epsilon_lower_bound": "Lower limit of epsilon of the audited model",
    "privacy.recipe_epsilon_lower_bound": "Lower limit of epsilon of the recipe, on held-out retrained models",
    "privacy.canary_epsilon_lower_bound": "Lower limit of epsilon of the recipe, by inserted canaries",
    "remedies.average_risk": "Average membership risk",
    "remedies.attack_auc": "AUC of the offline likelihood-ratio attack on retrained models",
    "privacy.average_risk": "Average membership risk of training records",
    "privacy.exposed_share": "Share of training records marked as exposed",
    "privacy.lira_auc": "AUC of the likelihood-ratio attack",
    "privacy.lira_offline_auc": "AUC of the offline likelihood-ratio attack",
    "privacy.baseline_auc": "AUC of the baseline that never asks the model",
    "privacy.rmia_auc": "AUC of the relative-likelihood attack",
    "privacy.calibrated_auc": "AUC of the calibrated-loss attack",
    "privacy.quantile_auc": "AUC of the quantile-regression attack",
    "privacy.trace_auc": "AUC of the loss-trace attack",
    "privacy.train_evaluation_gap": "Gap between evaluation and training loss",
    "privacy.accuracy_gap": "Gap between training and evaluation accuracy",
    "privacy.screen_share": "Share of training records with outsized self-influence",
    "model.accuracy": "Accuracy",
}
"""Titles of measures for which the result brings no note of its own."""
ATTACKS = {
    "": " of the strongest membership attack",
    "loss_threshold_": " of the loss-threshold attack",
    "lira_": " of the likelihood-ratio attack",
    "lira_offline_": " of the offline likelihood-ratio attack",
    "rmia_": " of the relative-likelihood attack",
    "calibrated_": " of the calibrated-loss attack",
    "quantile_": " of the quantile-regression attack",
    "trace_": " of the loss-trace attack",
}
"""Prefix of an attack's measures -> the attack in words; without a prefix it is the strongest of all that were run."""
STRONGEST = ("privacy.attack_auc", "privacy.tpr_at_fpr_")
"""How the measures begin that name no attack."""
LABELS = {
    "outcome": (
        "The label records what happened afterwards, so error rates compare the decision with the outcome.",
        "with the outcome",
    ),
    "past-decision": (
        "The label records an earlier decision, not an outcome, so error rates here measure agreement with "
        "past decisions; a past decision may itself be mistaken.",
        "with past decisions",
    ),
}


def value(number: float | None, unit: str, *, near: float | None = None) -> str:
    """A number in its unit; with `near`, as many digits as it takes not to print as the threshold it misses."""
    if number is None:
        return NONE
    digits = _digits(number, unit)
    text = _format(number, unit, digits)
    while near is not None and number != near and text == _format(near, unit, digits) and digits < MORE_DIGITS:
        digits += 1
        text = _format(number, unit, digits)
    return text


def threshold(number: float, unit: str) -> str:
    """A threshold exactly as the policy states it, in the unit of the measure."""
    scaled = number * 100 if unit in ("rate", "share", "points") else number
    digits = 2 if unit == "ratio" else 0
    while digits < MORE_DIGITS and abs(round(scaled, digits) - scaled) > 1e-9:
        digits += 1
    return _format(number, unit, digits)


def interval(estimate: Estimate, unit: str) -> str:
    """`33.0 to 39.2 %`, or an empty text where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    digits = max(_digits(bound, unit) for bound in (estimate.low, estimate.high))
    if unit in ("score", "nats"):
        digits = _digits(max(abs(estimate.low), abs(estimate.high)), unit)
    if estimate.step:
        digits = _step_digits(estimate.step, unit)
    low, high = (_format(bound, unit, digits) for bound in (estimate.low, estimate.high))
    for tail in (f"{NBSP}%", f"{NBSP}points", f"{NBSP}nats"):
        low = low.removesuffix(tail)
    return f"{low}{NBSP}to{NBSP}{high}"


def level(estimate: Estimate) -> str:
    """`95 % interval`."""
    return f"{_trim(estimate.level * 100)}{NBSP}% interval"


def basis(estimate: Estimate, unit: str, *, bare: bool = False) -> str:
    """What stands under a number: `33.0 to 39.2 %, n = 902`, or why there is none; `bare` is without `points`."""
    if not estimate.known:
        return why_withheld(estimate)
    limits = interval(estimate, unit)
    parts = [limits.removesuffix(f"{NBSP}points") if bare else limits]
    if estimate.n is not None:
        parts.append(f"n{NBSP}={NBSP}{estimate.n:,}")
    if estimate.step:
        parts.append("rounded")
    if estimate.withheld:
        parts.append(estimate.withheld)
    return ", ".join(part for part in parts if part)


def why_withheld(estimate: Estimate) -> str:
    """The reason without the word that already stands before it."""
    return estimate.withheld.removeprefix("withheld: ")


def sentence(estimate: Estimate, unit: str) -> str:
    """`0.72 (95 % interval 0.66 to 0.79, n = 902)`."""
    if not estimate.known:
        return f"withheld: {why_withheld(estimate)}" if estimate.withheld else "not estimable"
    inner = basis(estimate, unit)
    lead = f"{level(estimate)} " if estimate.low is not None and estimate.high is not None else ""
    return f"{shown(estimate, unit)} ({lead}{inner})" if inner else shown(estimate, unit)


def shown(estimate: Estimate, unit: str) -> str:
    """The number alone, or `withheld` / `not estimable`."""
    if estimate.value is not None and estimate.step:
        return _format(estimate.value, unit, _step_digits(estimate.step, unit))
    if estimate.known:
        return value(estimate.value, unit)
    return "withheld" if estimate.withheld else "not estimable"


def significant(number: float | None) -> str:
    """Three significant digits without an exponent a reader would have to decode: `0.000082`, `3.1 × 10⁻⁹`."""
    if number is None:
        return NONE
    text = f"{number:.3g}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        power = int(exponent)
        if -SMALL_EXPONENT <= power < 0:
            text = f"{number:.{2 - power}f}".rstrip("0")
        else:
            text = f"{mantissa}{NBSP}×{NBSP}10{str(power).translate(SUPERSCRIPTS)}"
    return text.replace("-", "−")


def effect(number: float | None, unit: str) -> str:
    """A predicted change in its unit, three significant digits; points are hundredths of the 0-1 scale."""
    if number is None:
        return NONE
    return f"{significant(number * 100 if unit == 'points' else number)}{NBSP}{unit}"


def count(number: int | None) -> str:
    """A count with thousands separators, or `suppressed`."""
    return "suppressed" if number is None else f"{number:,}"


def percent(share: float) -> str:
    """A share as a percentage with as few digits as it needs: `5 %`, `0.1 %`."""
    return f"{_trim(share * 100)}{NBSP}%"


def measure_title(measure: str, titles: dict[str, str]) -> str:
    """The reader's name of a measure: the result's own title, or its dotted name in words."""
    named = titles | {key: title for key, title in TITLES.items() if key not in titles}
    if measure in named:
        return named[measure]
    name = measure.rsplit(".", 1)[-1] if not re.search(r"\d", measure) else measure.split(".", 1)[-1]
    at = re.fullmatch(r"([a-z_]*)tpr_at_fpr_([0-9.e-]+)", name)
    if at:
        attack = ATTACKS.get(at[1], "")
        return f"True-positive rate{attack} at a false-positive rate of {percent(float(at[2]))}"
    words = " ".join(WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def names_no_attack(measure: str) -> bool:
    """Whether the measure is that of the strongest of all attacks that were run."""
    return measure.startswith(STRONGEST)


def requirement(finding: Finding, unit: str) -> str:
    """`at least 0.80`."""
    return f"{OPERATORS[finding.op]} {threshold(finding.threshold, unit)}"


def unit_of(finding: Finding, measurements: tuple[Measurement, ...]) -> str:
    """The unit of a rule's measure: that of its measurements, else read from its name."""
    for row in measurements:
        if row.measure == finding.measure:
            return row.unit
    name = finding.measure
    return "ratio" if "ratio" in name else "points" if "difference" in name or "gap" in name else "rate"


def scope(finding: Finding) -> str:
    """What follows the measure: ` by sex`, or `, all records`."""
    return f" by {finding.on}" if finding.on else ", all records"


def _digits(number: float, unit: str) -> int:
    if unit == "count":
        return 0
    if unit == "ratio":
        return 2
    if unit in ("rate", "share", "points"):
        return 2 if 0 < abs(number) < 0.001 else 1
    return 3 if number == 0 else min(max(2 - math.floor(math.log10(abs(number))), 2), MORE_DIGITS)


def _step_digits(step: float, unit: str) -> int:
    """The digits that a value rounded to `step` has; more would claim what the rounding took away."""
    scaled = step * 100 if unit in ("rate", "share", "points") else step
    digits = 0
    while digits < MORE_DIGITS and abs(round(scaled, digits) - scaled) > 1e-9:
        digits += 1
    return digits


def _format(number: float, unit: str, digits: int) -> str:
    if unit in ("rate", "share"):
        return _signed(number * 100, digits) + f"{NBSP}%"
    if unit == "points":
        return _signed(number * 100, digits) + f"{NBSP}points"
    return _signed(number, digits) + (f"{NBSP}nats" if unit == "nats" else "")


def _signed(number: float, digits: int) -> str:
    """Thousands separators and a true minus sign; never `-0.0`."""
    text = f"{number:,.{digits}f}"
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.,") else "−" + text[1:]
    return text


def _trim(number: float) -> str:
    return f"{number:.6g}"
