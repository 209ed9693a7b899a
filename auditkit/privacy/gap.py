"""The gap between training and evaluation records: how much better the model does on what it has seen."""

from __future__ import annotations

from math import sqrt

import numpy as np

from auditkit.privacy.clustered import Mean, difference, mean, rate
from auditkit.result import Estimate, Measurement
from auditkit.subject.persons import support
from auditkit.subject.types import Floats, Ints, Mask

LOSS_METHOD = "Welch's t interval, variance by person"
RATE_METHOD = "square-and-add (Zou and Donner) of exact limits by person"


def loss_gap(
    train: Floats, evaluation: Floats, persons: tuple[Ints | None, Ints | None], *, level: float, minimum: int
) -> tuple[Measurement, ...]:
    """Mean loss of both splits and mean evaluation loss minus mean training loss, nats, with Welch intervals.

    Zero means that training left no average trace; a positive gap means the loss is lower on records seen. A
    gap is an average: it can be near zero while single records are memorised (Yeom et al., CSF 2018, theorem
    2 bounds the attack's average advantage only). A population that drifted between the splits also opens it.
    """
    names = ("privacy.train_loss", "privacy.evaluation_loss", "privacy.train_evaluation_gap")
    reason = _too_few((train, evaluation), persons, minimum)
    if reason:
        return tuple(_row(name, "nats", _withheld(reason, level, LOSS_METHOD)) for name in names)
    seen, unseen = mean(train, persons[0]), mean(evaluation, persons[1])
    value, low, high = difference(unseen, seen, level=level)
    gap = Estimate(value=value, low=low, high=high, level=level, n=len(train) + len(evaluation), method=LOSS_METHOD)
    return (
        _row(names[0], "nats", _mean_estimate(seen, level)),
        _row(names[1], "nats", _mean_estimate(unseen, level)),
        _row(names[2], "nats", gap),
    )


def accuracy_gap(
    train: Mask, evaluation: Mask, persons: tuple[Ints | None, Ints | None], *, level: float, minimum: int
) -> tuple[Measurement, ...]:
    """Training accuracy minus evaluation accuracy, in points, with a square-and-add interval.

    Args:
        train: [N] whether the decision agrees with the label.
        evaluation: [M] the same for the evaluation records.
        persons: person codes of both, or None.
        level: coverage of the interval.
        minimum: minimum cell.

    The limits combine each side's exact limits: low = d - sqrt((p1 - l1)^2 + (u2 - p2)^2), high mirrored;
    they stay usable at accuracies of 0 or 1, where Welch's interval has no width. Source: Zou & Donner, Stat.
    Med. 2008.
    """
    reason = _too_few((train, evaluation), persons, minimum)
    if reason:
        return (_row("privacy.accuracy_gap", "points", _withheld(reason, level, RATE_METHOD)),)
    seen, unseen = rate(train, persons[0], level=level), rate(evaluation, persons[1], level=level)
    p, p_low, p_high = _limits(seen)
    q, q_low, q_high = _limits(unseen)
    gap = Estimate(
        value=p - q,
        low=p - q - sqrt((p - p_low) ** 2 + (q_high - q) ** 2),
        high=p - q + sqrt((p_high - p) ** 2 + (q - q_low) ** 2),
        level=level,
        n=len(train) + len(evaluation),
        method=RATE_METHOD,
    )
    return (_row("privacy.accuracy_gap", "points", gap),)


def _limits(estimate: Estimate) -> tuple[float, float, float]:
    """Value, low and high of a rate that is known."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None:
        message = "a rate over records has a value and limits"
        raise AssertionError(message)
    return value, low, high


def _mean_estimate(side: Mean, level: float) -> Estimate:
    """One side's mean with its own interval."""
    value, low, high = difference(side, Mean(value=0.0, variance=0.0, persons=2, n=2), level=level)
    return Estimate(value=value, low=low, high=high, level=level, n=side.n, method="t interval, variance by person")


def _row(measure: str, unit: str, estimate: Estimate) -> Measurement:
    """One measurement over all records."""
    return Measurement.model_validate({"measure": measure, "unit": unit, "estimate": estimate})


def _withheld(reason: str, level: float, method: str) -> Estimate:
    """No value, and why."""
    return Estimate(value=None, level=level, method=method, withheld=reason)


def _too_few(splits: tuple[Floats | Mask, ...], persons: tuple[Ints | None, ...], minimum: int) -> str:
    """Why the gap cannot be shown; empty when it can."""
    everyone = (np.ones(np.size(split), dtype=np.bool_) for split in splits)
    if min(support(rows, codes) for rows, codes in zip(everyone, persons, strict=True)) < minimum:
        return f"a split holds fewer than {minimum} persons or records"
    return ""
