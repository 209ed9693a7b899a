"""The room's door: arrays of one audited model in, PrivacyPart and restricted arrays out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy import duplicates, exposure, gap, screen, screen_quality
from auditkit.privacy.clustered import repeats
from auditkit.privacy.membership import Retrained
from auditkit.privacy.registry import ATTACKS
from auditkit.privacy.threat import not_tested, threat_model
from auditkit.privacy.trial import PLAIN, Tried, finite, tried
from auditkit.result import Measurement, PrivacyPart
from auditkit.subject.types import Floats, Grouping, Ints, Predictions, Split

NOTHING: Final = "neither losses nor features of training records are at hand: only decisions were brought"


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
    retrained: Retrained | None = None,
    no_retrained: str = "no models were retrained",
) -> tuple[PrivacyPart, dict[str, NDArray[Any]]]:
    """Assess what the model gives away about membership, record by record where retrained models are given.

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
        settings: the policy's privacy section.
        deployment: the policy's deployment facts.
        minimum_cell: smallest number of persons that a public number may tell of.
        generator: draws the half of the non-members that sets thresholds, samples for the duplicate
            distance, and bootstrap samples of the retrained models.
        level: coverage of the intervals; each on its own, not simultaneous.
        retrained: models on halves of training and reserve records, or None, and `no_retrained` says why.

    Returns:
        The public part, and restricted arrays by name: `screen_rank` [N] int64, `screen_flag` [N] bool,
        `duplicate_cluster` [N] int64, `attack_setting_half` [K] bool, `<attack>_train` [N] and
        `<attack>_reserve` [K] of each attack with retrained models, `risk`,
        `risk_low`, `membership_p` and `exposed_flag` [N], as far as they exist. Sample weights
        play no part.

    Raises:
        NumericsError: a loss or a self-influence is not finite.
        DataError: the splits' feature columns differ or hold infinite numbers.
    """
    codes = _person_codes(persons)
    (for_risk,) = generator.spawn(1)
    gaps = _gaps(predictions, train_labels, train_decisions, codes, level=level, minimum=minimum_cell)
    attacked = tried(
        predictions,
        codes,
        settings.false_positive_rates,
        generator,
        retrained=retrained,
        no_retrained=no_retrained,
        level=level,
        minimum=minimum_cell,
    )
    screened = screen.screen(
        self_influence,
        absent=no_self_influence,
        labels=train_labels,
        groupings=groupings,
        persons=codes.get("train"),
        level=level,
        minimum=minimum_cell,
    )
    exposed = exposure.exposure(
        retrained,
        attacked.scores.get("lira-offline"),
        absent=attacked.reason or no_retrained,
        labels=train_labels,
        groupings=groupings,
        persons=codes.get("train"),
        settings=settings,
        generator=for_risk,
        level=level,
        minimum=minimum_cell,
    )
    screen_part = screen_quality.measured(
        screened.public,
        self_influence=self_influence,
        loss=predictions.loss_train,
        flag=screened.flag,
        risk=None if exposed.risk is None else exposed.risk.value,
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
        measurements=(
            *gaps,
            *attacked.measurements,
            *exposure.measurements(exposed),
            *screen.measurements(screen_part),
        ),
        attack="" if attacked.reason else ATTACKS[PLAIN].title,
        attack_source="" if attacked.reason else ATTACKS[PLAIN].source,
        resolution=attacked.resolution,
        roc=attacked.roc,
        attacks=attacked.others,
        exposure=exposed.public,
        screen=screen_part,
        duplicates=None if found is None else found.public,
        threat_model=threat_model(
            settings, deployment, attack_run=not attacked.reason, persons_repeat=_any_repeats(codes)
        ),
        not_tested=not_tested(retrained="lira" in attacked.scores),
    )
    return part, _restricted(screened, found, attacked) | exposure.arrays(exposed)


def _restricted(
    screened: screen.Screened, found: duplicates.Found | None, attacked: Tried
) -> dict[str, NDArray[Any]]:
    """The record-level arrays, as far as they exist."""
    arrays: dict[str, NDArray[Any] | None] = {
        "screen_rank": screened.rank,
        "screen_flag": screened.flag,
        "duplicate_cluster": None if found is None else found.cluster,
        "attack_setting_half": attacked.setting,
    }
    for name, scores in attacked.scores.items():
        if ATTACKS[name].needs_retrained:
            key = name.replace("-", "_")
            arrays |= {f"{key}_train": scores.members, f"{key}_reserve": scores.nonmembers}
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
            finite(predictions.loss_train, "training"),
            finite(predictions.loss, "evaluation"),
        )
        rows = gap.loss_gap(train, evaluation, sides, level=level, minimum=minimum)
    if labels is not None and decisions is not None:
        seen = np.asarray(labels == decisions)
        unseen = np.asarray(predictions.truth == predictions.decision)
        rows += gap.accuracy_gap(seen, unseen, sides, level=level, minimum=minimum)
    return rows


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
