"""The room's door: arrays of one audited model in, PrivacyPart and restricted arrays out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.privacy import (
    attribute_inference,
    baseline,
    bounds,
    duplicates,
    exposure,
    gap,
    screen,
    screen_quality,
    structure,
)
from auditkit.privacy.account import NOTHING_AROUND, Around, account
from auditkit.privacy.clustered import repeats
from auditkit.privacy.describing import describe
from auditkit.privacy.epsilon import AUDITED
from auditkit.privacy.membership import Retrained
from auditkit.privacy.one_run import Planted, planted_arrays
from auditkit.privacy.rankings import NOTHING_TRACED, Traced, rankings
from auditkit.privacy.rankings import arrays as ranking_arrays
from auditkit.privacy.recorded import restricted
from auditkit.privacy.registry import ATTACKS
from auditkit.privacy.threat import attacks_run, not_tested, threat_model
from auditkit.privacy.trial import PLAIN, finite, tried
from auditkit.result import Measurement, PrivacyPart
from auditkit.subject.persons import codes_by_split
from auditkit.subject.types import Floats, Grouping, Ints, Predictions, Split

if TYPE_CHECKING:
    from auditkit.privacy.attribute_inference import Inferred
    from auditkit.privacy.duplicates import Found
    from auditkit.privacy.exposure import Exposed
    from auditkit.privacy.screen import Screened
    from auditkit.privacy.trial import Tried
    from auditkit.result import EpsilonPart, Screen, Structure
    from auditkit.subject.substitution import Guessed

NOTHING: Final = "neither losses nor features of training records are at hand: only decisions were brought"
Part = tuple[PrivacyPart, dict[str, NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Given:
    """Arrays of one audited model, and what the policy asks of them. N training, K reserve, M evaluation records."""

    predictions: Predictions
    """Losses of the splits, nats; decisions and labels of the evaluation rows."""
    train_labels: Floats | None
    """[N] 1.0 favourable, 0.0 not; None without training records."""
    train_decisions: Floats | None
    """[N] the model's decisions on training rows; None: no accuracy gap."""
    features: Mapping[Split, pd.DataFrame]
    """Split -> raw feature columns, for duplicates; splits that do not exist are left out."""
    numeric: Collection[str] | None
    """Feature columns measured as numbers; None: by column type."""
    persons: Mapping[Split, NDArray[np.object_]] | None
    """Split -> person ids; None when the policy names no person."""
    groupings: Mapping[str, Grouping]
    """Protected attributes and intersections with codes [N] of the training rows."""
    self_influence: Floats | None
    """[N] from the influence room, or None, and `no_self_influence` says why."""
    no_self_influence: str
    settings: PrivacySettings
    deployment: Deployment
    minimum_cell: int
    """Smallest number of persons that a public number may tell of."""
    generator: np.random.Generator
    """Draws the half of the non-members that attacks may be fitted on, the duplicate distance's sample, bootstraps."""
    level: float = 0.95
    """Coverage of the intervals; each on its own, not simultaneous."""
    retrained: Retrained | None = None
    """Models on halves of training and reserve records, or None, and `no_retrained` says why."""
    no_retrained: str = "no models were retrained"
    planted: Planted | None = None
    """Canaries of one retraining, or None, and `no_planted` says why."""
    no_planted: str = "no canaries were inserted"
    earlier_guarded: bool = False
    """Whether differences from earlier releases of the policy are guarded."""
    reserve_labels: Floats | None = None
    """[K] 1.0 favourable, 0.0 not; None: no attack by features."""
    traced: Traced = NOTHING_TRACED
    """What gradients and the course of training say of the records."""
    asked: Sequence[Guessed] = ()
    """Attributes to guess, with the model's losses under each of their levels."""
    reference: Floats | None = None
    """[K] self-influence that reserve records would have as training records; None: nothing is marked by it."""
    around: Around = NOTHING_AROUND
    """Slices and effects on gaps of the training records, and the model's size."""


def assess(given: Given) -> Part:
    """Assess what the model gives away about membership, record by record where retrained models are given.

    Returns:
        The public part, and restricted arrays by name: `screen_rank` [N] int64, `screen_flag` [N] bool, `screen_p` [N],
        `screen_reference` [K],
        `duplicate_cluster` [N] int64, `attack_setting_half` [K] bool, `<attack>_train` [N] and
        `<attack>_reserve` [K] of each attack but the plain one, `baseline_train` [N] and `baseline_reserve` [K] (NaN
        where not measured), `risk`, `risk_low`, `membership_p`, `membership_p_at_risk`, `exposed_flag` and
        `person_risk` [N], as far as they
        exist. Sample weights play no part.

    Raises:
        NumericsError: a loss or a self-influence is not finite.
        DataError: the splits' feature columns differ or hold infinite numbers.
    """
    return _Run(given).answer()


@dataclass(frozen=True)
class _Run:
    """One assessment: every step once, in the order in which another asks for it."""

    given: Given

    def answer(self) -> Part:
        generator = self.given.generator
        for_risk, for_baseline = generator.spawn(2)
        draws = self.attacked, self.exposed(for_risk), self.found  # in this order: they draw from one generator
        without = self._baseline(for_baseline)
        ranked, screen_part = self._ranked(draws[1])
        arrays = restricted(self.screened, self.found, self.attacked) | exposure.arrays(draws[1]) | without.arrays
        part = self._part(draws[1], screen_part, without)
        return part, arrays | {**self.guessed.arrays, **ranking_arrays(ranked), **planted_arrays(self.given.planted)}

    @cached_property
    def codes(self) -> dict[str, Ints]:
        """Persons of the splits in one numbering; empty when they are not known."""
        return codes_by_split(self.given.persons)

    @property
    def repeat(self) -> bool | None:
        """Whether a person has several records in a split; None when persons are not known."""
        return any(repeats(part) for part in self.codes.values()) if self.codes else None

    @cached_property
    def screened(self) -> Screened:
        given = self.given
        (for_tail,) = given.generator.spawn(1)
        others = given.reference
        reference = None if others is None else screen.Reference(others, given.settings.level, for_tail)
        return screen.screen(
            given.self_influence, reference=reference, absent=given.no_self_influence,
            labels=given.train_labels, groupings=given.groupings, slices=given.around.slices,
            persons=self.codes.get("train"), level=given.level, minimum=given.minimum_cell,
        )  # fmt: skip

    def _gaps(self) -> tuple[Measurement, ...]:
        """Loss gap and accuracy gap, as far as the arrays allow."""
        given, told = self.given, self.given.predictions
        sides, level, minimum = (self.codes.get("train"), self.codes.get("evaluation")), given.level, given.minimum_cell
        rows: tuple[Measurement, ...] = ()
        if told.loss_train is not None and told.loss is not None:
            train, evaluation = finite(told.loss_train, "training"), finite(told.loss, "evaluation")
            rows = gap.loss_gap(train, evaluation, sides, level=level, minimum=minimum)
        if given.train_labels is not None and given.train_decisions is not None:
            seen = np.asarray(given.train_labels == given.train_decisions)
            unseen = np.asarray(told.truth == told.decision)
            rows += gap.accuracy_gap(seen, unseen, sides, level=level, minimum=minimum)
        return rows

    @cached_property
    def attacked(self) -> Tried:
        given = self.given
        labels, course = (given.train_labels, given.reserve_labels), given.traced.course
        return tried(
            given.predictions, self.codes, given.settings.false_positive_rates, given.generator,
            retrained=given.retrained, no_retrained=given.no_retrained,
            describe=lambda half, whose: describe(
                given.features, labels, numeric=given.numeric, setting=half, persons=whose
            ),
            course=None if course is None else course.loss, no_course=given.traced.no_course,
            level=given.level, minimum=given.minimum_cell,
        )  # fmt: skip

    def _baseline(self, generator: np.random.Generator) -> baseline.Measured:
        """The attack that never asks the model, on the same training records and reserve."""
        given, attacked = self.given, self.attacked
        lots = baseline.lots_of(
            given.features, (given.train_labels, given.reserve_labels), numeric=given.numeric, persons=self.codes
        )  # fmt: skip
        resting = (*(row.measure for row in attacked.measurements), AUDITED, exposure.SHARE)
        return baseline.measured(
            lots, given.retrained if given.retrained is not None and given.retrained.reserve else None,
            measures=resting, absent=attacked.reason, level=given.level, minimum=given.minimum_cell,
            generator=generator,
        )  # fmt: skip

    def exposed(self, generator: np.random.Generator) -> Exposed:
        given, attacked = self.given, self.attacked
        return account(
            given.retrained, attacked.scores.get("lira-offline"), given.predictions, given.around,
            absent=attacked.reason or given.no_retrained, labels=given.train_labels, groupings=given.groupings,
            codes=self.codes, settings=given.settings, generator=generator, level=given.level,
            minimum=given.minimum_cell,
        )  # fmt: skip

    def _ranked(self, exposed: Exposed) -> tuple[dict[str, Floats], Screen]:
        """Every ranking of the training records, and what each is worth against the measured risk."""
        given = self.given
        ranked, absent = rankings(
            given.traced, self_influence=given.self_influence, loss=given.predictions.loss_train
        )  # fmt: skip
        part = screen_quality.measured(
            self.screened.public, rankings=ranked, absent=absent, flag=self.screened.flag,
            risk=None if exposed.risk is None else exposed.risk.value, persons=self.codes.get("train"),
            level=given.level, minimum=given.minimum_cell,
        )  # fmt: skip
        return ranked, part

    @cached_property
    def found(self) -> Found | None:
        given = self.given
        return duplicates.find(
            {str(name): frame for name, frame in given.features.items()}, numeric=given.numeric, persons=self.codes,
            share=given.settings.near_duplicate, minimum=given.minimum_cell, generator=given.generator,
            level=given.level,
        )  # fmt: skip

    @cached_property
    def limits(self) -> EpsilonPart:
        given = self.given
        return bounds.bounds(
            self.attacked, given.retrained, given.planted, codes=self.codes, settings=given.settings,
            absent=(given.no_retrained, given.no_planted), level=given.level, minimum=given.minimum_cell,
        )  # fmt: skip

    @cached_property
    def guessed(self) -> Inferred:
        given = self.given
        material = attribute_inference.material(
            given.features, (given.train_labels, given.reserve_labels),
            (given.predictions.loss_train, given.predictions.loss_reserve), numeric=given.numeric,
            setting=self.attacked.setting, persons=(self.codes.get("train"), self.codes.get("reserve")),
        )  # fmt: skip
        return attribute_inference.infer(given.asked, material, level=given.level, minimum=given.minimum_cell)

    def _part(self, exposed: Exposed, screen_part: Screen, without: baseline.Measured) -> PrivacyPart:
        given, attacked, found, limits = self.given, self.attacked, self.found, self.limits
        none = attacked.reason
        ran = bounds.ran(
            attacked, exposed.public, limits, self.guessed.public, repeat=bool(self.repeat),
            earlier=given.earlier_guarded,
        )  # fmt: skip
        anything = (
            given.predictions.loss_train is not None or found is not None or given.self_influence is not None
        )  # fmt: skip
        return PrivacyPart(
            status="assessed" if anything else "not-applicable",
            reason=none if anything else NOTHING,
            measurements=(
                *self._gaps(), *attacked.measurements, without.measurement, *exposure.measurements(exposed),
                *screen.measurements(screen_part), *bounds.measurements(limits),
            ),
            attack="" if none else ATTACKS[PLAIN].title,
            attack_source="" if none else ATTACKS[PLAIN].source,
            resolution=attacked.resolution, roc=attacked.roc, attacks=attacked.others,
            baseline=without.public, inference=self.guessed.public,
            exposure=exposed.public, structure=self._structure(), screen=screen_part,
            duplicates=None if found is None else found.public, epsilon=limits,
            threat_model=threat_model(given.settings, given.deployment, ran, persons_repeat=self.repeat),
            threats=attacks_run(ran), not_tested=not_tested(ran, given.settings),
        )  # fmt: skip

    def _structure(self) -> Structure | None:
        given = self.given
        return structure.checks(
            given.train_labels, given.train_decisions, given.features.get("train"), numeric=given.numeric,
            groupings=given.groupings, persons=self.codes.get("train"),
            size=(given.around.parameters, given.traced.leverage), level=given.level, minimum=given.minimum_cell,
        )  # fmt: skip
