"""The room's door: arrays of one audited model in, PrivacyPart and restricted arrays out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy import attribute_inference, bounds, duplicates, exposure, gap, screen, screen_quality, structure
from auditkit.privacy.account import NOTHING_AROUND, Around, account
from auditkit.privacy.clustered import repeats
from auditkit.privacy.describing import describe
from auditkit.privacy.membership import Retrained
from auditkit.privacy.one_run import Planted, planted_arrays
from auditkit.privacy.rankings import NOTHING_TRACED, Traced, rankings
from auditkit.privacy.rankings import arrays as ranking_arrays
from auditkit.privacy.recorded import restricted
from auditkit.privacy.registry import ATTACKS
from auditkit.privacy.threat import attacks_run, not_tested, threat_model
from auditkit.privacy.trial import PLAIN, finite, tried
from auditkit.result import Measurement, PrivacyPart
from auditkit.subject.types import Floats, Grouping, Ints, Predictions, Split

if TYPE_CHECKING:
    from auditkit.subject.substitution import Guessed

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
    planted: Planted | None = None,
    no_planted: str = "no canaries were inserted",
    earlier_guarded: bool = False,
    reserve_labels: Floats | None = None,
    traced: Traced = NOTHING_TRACED,
    asked: Sequence[Guessed] = (),
    around: Around = NOTHING_AROUND,
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
        planted: canaries of one retraining, or None, and `no_planted` says why.
        earlier_guarded: whether differences from earlier releases of the policy are guarded.
        reserve_labels: [K] 1.0 favourable, 0.0 not; None: no attack by features.
        traced: what gradients and the course of training say of the records.
        asked: attributes to guess, with the model's losses under each of their levels.
        around: slices and effects on gaps of the training records, and the model's size.

    Returns:
        The public part, and restricted arrays by name: `screen_rank` [N] int64, `screen_flag` [N] bool,
        `duplicate_cluster` [N] int64, `attack_setting_half` [K] bool, `<attack>_train` [N] and
        `<attack>_reserve` [K] of each attack but the plain one, `risk`,
        `risk_low`, `membership_p`, `exposed_flag` and `person_risk` [N], as far as they exist. Sample weights
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
        describe=lambda half, whose: describe(
            features, (train_labels, reserve_labels), numeric=numeric, setting=half, persons=whose
        ),
        course=None if traced.course is None else traced.course.loss,
        no_course=traced.no_course,
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
    exposed = account(
        retrained,
        attacked.scores.get("lira-offline"),
        predictions,
        around,
        absent=attacked.reason or no_retrained,
        labels=train_labels,
        groupings=groupings,
        codes=codes,
        settings=settings,
        generator=for_risk,
        level=level,
        minimum=minimum_cell,
    )
    ranked, not_ranked = rankings(traced, self_influence=self_influence, loss=predictions.loss_train)
    screen_part = screen_quality.measured(
        screened.public,
        rankings=ranked,
        absent=not_ranked,
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
        level=level,
    )
    limits = bounds.bounds(
        attacked, retrained, planted, codes=codes, settings=settings, absent=(no_retrained, no_planted), level=level,
        minimum=minimum_cell,
    )  # fmt: skip
    guessed = attribute_inference.infer(
        asked,
        attribute_inference.material(
            features, (train_labels, reserve_labels), (predictions.loss_train, predictions.loss_reserve),
            numeric=numeric, setting=attacked.setting, persons=(codes.get("train"), codes.get("reserve")),
        ),
        level=level, minimum=minimum_cell,
    )  # fmt: skip
    ran = bounds.ran(
        attacked, exposed.public, limits, guessed.public, repeat=bool(_any_repeats(codes)), earlier=earlier_guarded
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
            *bounds.measurements(limits),
        ),
        attack="" if attacked.reason else ATTACKS[PLAIN].title,
        attack_source="" if attacked.reason else ATTACKS[PLAIN].source,
        resolution=attacked.resolution,
        roc=attacked.roc,
        attacks=attacked.others,
        inference=guessed.public,
        exposure=exposed.public,
        structure=structure.checks(
            train_labels, train_decisions, features.get("train"), numeric=numeric, groupings=groupings,
            persons=codes.get("train"), size=(around.parameters, traced.leverage), level=level, minimum=minimum_cell,
        ),
        screen=screen_part,
        duplicates=None if found is None else found.public,
        epsilon=limits,
        threat_model=threat_model(settings, deployment, ran, persons_repeat=_any_repeats(codes)),
        threats=attacks_run(ran),
        not_tested=not_tested(ran, settings),
    )
    arrays = restricted(screened, found, attacked) | exposure.arrays(exposed)
    return part, arrays | {**guessed.arrays, **ranking_arrays(ranked), **planted_arrays(planted)}


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
    """Person ids of all splits as integers in one numbering; a record without a person is a person of its own."""
    if not persons:
        return {}
    codes = pd.factorize(np.concatenate([np.asarray(ids, dtype=object) for ids in persons.values()]))[0]
    unknown = codes < 0
    codes[unknown] = codes.max(initial=0) + 1 + np.arange(int(unknown.sum()))
    bounds = np.cumsum([0, *(len(ids) for ids in persons.values())])
    return {
        str(name): codes[start:stop].astype(np.int64)
        for name, start, stop in zip(persons, bounds[:-1], bounds[1:], strict=True)
    }


def _any_repeats(codes: Mapping[str, Ints]) -> bool | None:
    """Whether a person has several records in a split; None when persons are not known."""
    return any(repeats(part) for part in codes.values()) if codes else None
