"""Every attack of ATTACKS tried on the same records, and how well each did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from auditkit.errors import DataError, NumericsError
from auditkit.privacy import strength, strongest
from auditkit.privacy.membership import Attack, Described, Evidence, Need, Retrained, Scores
from auditkit.privacy.registry import ATTACKS
from auditkit.result import AttackPart, Estimate, Measurement, ResolutionRow, Series
from auditkit.subject.types import Floats, Ints, Mask, Predictions

PLAIN: Final = "loss-threshold"
"""The attack that needs the audited model alone; the part's own fields speak of it."""
NO_RESERVE: Final = (
    "no reserve named: without records of the same population that the model never saw, no membership attack "
    "can be measured; the gap, the screen and the duplicates still can"
)
NO_COURSE: Final = "the course of the audited model's training is not known"
NO_LOSS: Final = "the model gives no loss for training records, so neither gap nor attack can be measured"


@dataclass(frozen=True)
class Tried:
    """What the attacks gave."""

    measurements: tuple[Measurement, ...]
    reason: str = ""
    """Why no attack was run at all."""
    resolution: tuple[ResolutionRow, ...] = ()
    """Of the plain attack, as `roc`."""
    roc: Series | None = None
    others: tuple[AttackPart, ...] = ()
    scores: Mapping[str, Scores] = field(default_factory=dict)
    setting: Mask | None = None
    """[K] half of the non-members that attacks may be fitted on."""


def undescribed(setting: Mask, persons: Ints | None) -> tuple[Described | None, str]:
    """Nothing is known of the records but their losses."""
    return None, "the columns that the model reads are not known"


@dataclass(frozen=True)
class _Outcome:
    auc: Estimate
    rows: tuple[ResolutionRow, ...]
    roc: Series | None
    shown: bool


def tried(
    predictions: Predictions,
    codes: Mapping[str, Ints],
    rates: Sequence[float],
    generator: np.random.Generator,
    *,
    retrained: Retrained | None,
    no_retrained: str,
    describe: Callable[[Mask, Ints | None], tuple[Described | None, str]] = undescribed,
    course: Floats | None = None,
    no_course: str = NO_COURSE,
    level: float,
    minimum: int,
) -> Tried:
    """Run the attacks against the reserve, or say why not, in every row that a rule may ask for.

    Args:
        predictions: losses of training and reserve records. codes: person codes by split.
        rates: false-positive rates. generator: draws the half of the non-members that attacks may be fitted on.
        retrained: models with and without each record, or None, and `no_retrained` says why.
        describe: features of the records for the half [K] that may be fitted on and person codes [K], or None and why.
        course: [C, N + K] losses at checkpoints of the audited training, or None, and `no_course` says why.
        level: coverage of each interval. minimum: minimum cell.

    Raises:
        NumericsError: a loss is not finite. DataError: the retrained models speak of other records.
    """
    members, nonmembers = predictions.loss_train, predictions.loss_reserve
    if members is None or nonmembers is None or not len(nonmembers):
        reason = NO_LOSS if members is None else NO_RESERVE
        rows = [row for attack in ATTACKS.values() for row in _absent(attack, rates, reason, level)]
        return Tried((*strongest.absent(rates, reason, level=level), *rows), reason=reason)
    finite(members, "training"), finite(nonmembers, "reserve")
    if retrained is not None and retrained.margin.shape[1] != len(members) + len(nonmembers):
        raise DataError("the retrained models were asked about other records than the attack")
    sides = strength.Sides(codes.get("train"), codes.get("reserve"))
    setting = strength.halve(len(nonmembers), sides.nonmembers, generator)
    described, undescribed_for = describe(setting, sides.nonmembers)
    evidence = Evidence(members, nonmembers, retrained, described, course)
    reasons: dict[Need, tuple[bool, str]] = {
        "retrained": (retrained is None, no_retrained),
        "features": (described is None, undescribed_for),
        "course": (course is None, no_course),
    }
    lacking = {need: why for need, (absent, why) in reasons.items() if absent}
    scores = {name: attack.score(evidence) for name, attack in ATTACKS.items() if attack.needs not in lacking}
    outcomes = {
        name: _outcome(found, sides, rates, level=level, minimum=minimum) for name, found in scores.items()
    }
    rows = list(strongest.measurements(ATTACKS, scores, sides, rates, level=level, minimum=minimum))
    for name, attack in ATTACKS.items():
        found = outcomes.get(name)
        rows += _absent(attack, rates, lacking[attack.needs], level) if found is None else _measured(attack, found)
    plain = outcomes[PLAIN]
    others = tuple(
        _part(attack, outcomes.get(name), lacking.get(attack.needs, ""), retrained)
        for name, attack in ATTACKS.items()
        if name != PLAIN
    )
    resolution = plain.rows if plain.shown else ()
    return Tried(tuple(rows), "", resolution, plain.roc, others, scores, setting)


def finite(losses: Floats, split: str) -> Floats:
    """The losses, if all are finite; NumericsError otherwise."""
    wrong = int((~np.isfinite(losses)).sum())
    if wrong:
        message = f"the loss is not finite for {wrong} of {len(losses)} {split} records"
        raise NumericsError(message)
    return losses


def _outcome(
    scores: Scores, sides: strength.Sides, rates: Sequence[float], *, level: float, minimum: int
) -> _Outcome:
    return _Outcome(
        strength.area(scores, sides, level=level, minimum=minimum),
        strength.resolution(scores, sides, rates, level=level, minimum=minimum),
        strength.curve(scores, sides, minimum=minimum),
        # The expected false positives of a tiny reserve would give its size away.
        shown=int(scores.free.sum()) >= minimum,
    )


def _measured(attack: Attack, found: _Outcome) -> list[Measurement]:
    tprs = [_row(_tpr_name(attack, row.false_positive_rate), row.tpr) for row in found.rows]
    return [_row(attack.auc, found.auc, unit="score"), *tprs]


def _absent(attack: Attack, rates: Sequence[float], reason: str, level: float) -> list[Measurement]:
    nothing = Estimate(value=None, level=level, withheld=reason)
    return [_row(attack.auc, nothing, unit="score"), *(_row(_tpr_name(attack, rate), nothing) for rate in rates)]


def _part(attack: Attack, found: _Outcome | None, reason: str, retrained: Retrained | None) -> AttackPart:
    if found is None:
        return AttackPart(
            status="not-applicable", reason=reason, title=attack.title, source=attack.source, needs=attack.needs
        )
    models = len(retrained.inside) if retrained is not None and attack.needs_retrained else None
    return AttackPart(
        status="assessed", title=attack.title, source=attack.source, needs=attack.needs, models=models,
        resolution=found.rows if found.shown else (), roc=found.roc,
    )  # fmt: skip


def _tpr_name(attack: Attack, rate: float) -> str:
    """The measure's name as rules write it, such as `privacy.loss_threshold_tpr_at_fpr_0.01`."""
    return f"privacy.{attack.measures}tpr_at_fpr_{rate!r}"


def _row(measure: str, estimate: Estimate, *, unit: str = "rate") -> Measurement:
    """One attack figure over all records."""
    return Measurement.model_validate({"measure": measure, "unit": unit, "estimate": estimate})
