"""The room's door: arrays of one audited model in, PrivacyPart and restricted arrays out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import NumericsError
from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy import duplicates, gap, screen, strength
from auditkit.privacy.clustered import repeats
from auditkit.privacy.membership import Evidence
from auditkit.privacy.registry import ATTACKS
from auditkit.privacy.threat import NOT_TESTED, threat_model
from auditkit.result import Estimate, Measurement, PrivacyPart, ResolutionRow, Series
from auditkit.subject.types import Floats, Grouping, Ints, Predictions, Split

ATTACK: Final = "loss-threshold"
NO_RESERVE: Final = (
    "no reserve named: without records of the same population that the model never saw, no membership attack "
    "can be measured; the gap, the screen and the duplicates still can"
)
NO_LOSS: Final = "the model gives no loss for training records, so neither gap nor attack can be measured"
NOTHING: Final = "neither losses nor features of training records are at hand: only decisions were brought"


@dataclass(frozen=True)
class _Attacked:
    """What the attack gave."""

    measurements: tuple[Measurement, ...]
    resolution: tuple[ResolutionRow, ...] = ()
    roc: Series | None = None
    setting: NDArray[np.bool_] | None = None
    reason: str = ""


def assess(
    *,
    predictions: Predictions,
    train_labels: Floats | None,
    train_decisions: Floats | None,
    features: Mapping[Split, pd.DataFrame],
    numeric: Collection[str] | None,
    persons: Mapping[Split, NDArray[np.object_]] | None,
    groupings: Mapping[str, Grouping],
    self_influence: Floats | None,
    no_self_influence: str,
    settings: PrivacySettings,
    deployment: Deployment,
    minimum_cell: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> tuple[PrivacyPart, dict[str, NDArray[Any]]]:
    """Assess what the model gives away about membership, as far as no retrained models are needed.

    Args:
        predictions: losses of the splits, nats; decisions and labels of the evaluation rows.
        train_labels: [N] 1.0 favourable, 0.0 not; None without training records.
        train_decisions: [N] the model's decisions on training rows; None: no accuracy gap.
        features: split -> raw feature columns, for duplicates; splits that do not exist are left out.
        numeric: feature columns measured as numbers; None: by column type.
        persons: split -> person ids; None when the policy names no person.
        groupings: protected attributes and intersections with codes [N] of the training rows.
        self_influence: [N] from the influence room, or None.
        no_self_influence: why there is none; printed.
        settings: the policy's privacy section. Its `level` belongs to record flags, which need a bank: unused
            here.
        deployment: the policy's deployment facts.
        minimum_cell: smallest number of persons that a public number may tell of.
        generator: draws the half of the non-members that sets thresholds, and samples for the duplicate
            distance.
        level: coverage of the intervals; each on its own, not simultaneous.

    Returns:
        The public part, and restricted arrays by name: `screen_rank` [N] int64, `screen_flag` [N] bool,
        `duplicate_cluster` [N] int64, `attack_setting_half` [K] bool, as far as they exist. Sample weights
        play no part.

    Raises:
        NumericsError: a loss or a self-influence is not finite.
        DataError: the splits' feature columns differ or hold infinite numbers.
    """
    codes = _person_codes(persons)
    gaps = _gaps(predictions, train_labels, train_decisions, codes, level=level, minimum=minimum_cell)
    attacked = _attack(predictions, codes, settings, generator, level=level, minimum=minimum_cell)
    screened = screen.screen(
        self_influence,
        absent=no_self_influence,
        labels=train_labels,
        groupings=groupings,
        persons=codes.get("train"),
        level=level,
        minimum=minimum_cell,
    )
    found = duplicates.find(
        {str(name): frame for name, frame in features.items()},
        numeric=numeric,
        persons=codes,
        share=settings.near_duplicate,
        minimum=minimum_cell,
        generator=generator,
    )
    anything = predictions.loss_train is not None or found is not None or self_influence is not None
    part = PrivacyPart(
        status="assessed" if anything else "not-applicable",
        reason=attacked.reason if anything else NOTHING,
        measurements=(*gaps, *attacked.measurements, *screen.measurements(screened.public)),
        attack="" if attacked.reason else ATTACKS[ATTACK].title,
        attack_source="" if attacked.reason else ATTACKS[ATTACK].source,
        resolution=attacked.resolution,
        roc=attacked.roc,
        screen=screened.public,
        duplicates=None if found is None else found.public,
        threat_model=threat_model(
            settings, deployment, attack_run=not attacked.reason, persons_repeat=_any_repeats(codes)
        ),
        not_tested=NOT_TESTED,
    )
    return part, _restricted(screened, found, attacked)


def _restricted(
    screened: screen.Screened, found: duplicates.Found | None, attacked: _Attacked
) -> dict[str, NDArray[Any]]:
    """The record-level arrays, as far as they exist."""
    arrays: dict[str, NDArray[Any] | None] = {
        "screen_rank": screened.rank,
        "screen_flag": screened.flag,
        "duplicate_cluster": None if found is None else found.cluster,
        "attack_setting_half": attacked.setting,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def _gaps(
    predictions: Predictions,
    labels: Floats | None,
    decisions: Floats | None,
    codes: Mapping[str, Ints],
    *,
    level: float,
    minimum: int,
) -> tuple[Measurement, ...]:
    """Loss gap and accuracy gap, as far as the arrays allow."""
    rows: tuple[Measurement, ...] = ()
    sides = (codes.get("train"), codes.get("evaluation"))
    if predictions.loss_train is not None and predictions.loss is not None:
        train, evaluation = (
            _finite(predictions.loss_train, "training"),
            _finite(predictions.loss, "evaluation"),
        )
        rows = gap.loss_gap(train, evaluation, sides, level=level, minimum=minimum)
    if labels is not None and decisions is not None:
        seen = np.asarray(labels == decisions)
        unseen = np.asarray(predictions.truth == predictions.decision)
        rows += gap.accuracy_gap(seen, unseen, sides, level=level, minimum=minimum)
    return rows


def _attack(
    predictions: Predictions,
    codes: Mapping[str, Ints],
    settings: PrivacySettings,
    generator: np.random.Generator,
    *,
    level: float,
    minimum: int,
) -> _Attacked:
    """Run the attack against the reserve, or say why it was not run, in every row a rule may ask for."""
    members, nonmembers = predictions.loss_train, predictions.loss_reserve
    if members is None or nonmembers is None or not len(nonmembers):
        reason = NO_LOSS if members is None else NO_RESERVE
        nothing = Estimate(value=None, level=level, withheld=reason)
        names = ("privacy.attack_auc", *(_tpr_name(rate) for rate in settings.false_positive_rates))
        return _Attacked(tuple(_row(name, nothing) for name in names), reason=reason)
    evidence = Evidence(_finite(members, "training"), _finite(nonmembers, "reserve"))
    scores = ATTACKS[ATTACK].score(evidence)
    sides = strength.Sides(codes.get("train"), codes.get("reserve"))
    setting = strength.halve(len(nonmembers), sides.nonmembers, generator)
    auc = strength.area(scores, sides, level=level, minimum=minimum)
    rows = strength.resolution(scores, sides, setting, settings.false_positive_rates, level=level, minimum=minimum)
    tprs = tuple(_row(_tpr_name(row.false_positive_rate), row.tpr) for row in rows)
    roc = strength.curve(scores, sides, minimum=minimum)
    # The expected false positives of a tiny measuring half would give its size away.
    shown = rows if int((~setting).sum()) >= minimum else ()
    return _Attacked((_row("privacy.attack_auc", auc), *tprs), shown, roc, setting)


def _tpr_name(rate: float) -> str:
    """The measure's name as rules write it: `privacy.tpr_at_fpr_0.01`."""
    return f"privacy.tpr_at_fpr_{rate!r}"


def _row(measure: str, estimate: Estimate) -> Measurement:
    """One attack figure over all records."""
    unit = "score" if measure == "privacy.attack_auc" else "rate"
    return Measurement.model_validate({"measure": measure, "unit": unit, "estimate": estimate})


def _finite(losses: Floats, split: str) -> Floats:
    """The losses, if all are finite."""
    wrong = int((~np.isfinite(losses)).sum())
    if wrong:
        message = f"the loss is not finite for {wrong} of {len(losses)} {split} records"
        raise NumericsError(message)
    return losses


def _person_codes(persons: Mapping[Split, NDArray[np.object_]] | None) -> dict[str, Ints]:
    """Person ids of all splits as integers in one numbering."""
    if not persons:
        return {}
    codes = pd.factorize(np.concatenate([np.asarray(ids, dtype=object) for ids in persons.values()]))[0]
    bounds = np.cumsum([0, *(len(ids) for ids in persons.values())])
    return {
        str(name): codes[start:stop].astype(np.int64)
        for name, start, stop in zip(persons, bounds[:-1], bounds[1:], strict=True)
    }


def _any_repeats(codes: Mapping[str, Ints]) -> bool | None:
    """Whether a person has several records in a split; None when persons are not known."""
    return any(repeats(part) for part in codes.values()) if codes else None
