"""The whole account of exposure: records, the persons they belong to, and who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from auditkit.bank.margins import margins
from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import exposure, personal
from auditkit.privacy.joint import NO_EFFECTS, Gaps, joint
from auditkit.privacy.membership import Retrained, Scores
from auditkit.privacy.unmarked import unmarked
from auditkit.privacy.whom import Piece, by_group_and_slice
from auditkit.result import WhoIsExposed
from auditkit.subject.types import Floats, Grouping, Ints, Predictions


@dataclass(frozen=True)
class Around:
    """What else is known of the training records: slices, effects on gaps, and the model's size."""

    slices: Sequence[Piece] = ()
    gaps: Gaps = NO_EFFECTS
    parameters: int | None = None


NOTHING_AROUND: Final = Around()


def account(
    retrained: Retrained | None,
    scores: Scores | None,
    predictions: Predictions,
    around: Around,
    *,
    absent: str,
    labels: Floats | None,
    groupings: Mapping[str, Grouping],
    codes: Mapping[str, Ints],
    settings: PrivacySettings,
    generator: np.random.Generator,
    level: float,
    minimum: int,
) -> exposure.Exposed:
    """Risk and marks by record and by person, by group and slice, and beside the gaps.

    Args:
        retrained: models with and without each record, training records first; None, and `absent` says why.
        scores: the offline likelihood-ratio attack's scores on the audited model.
        predictions: losses of the training and reserve records. around: see there.
        labels: [N] 1.0 favourable. groupings: codes [N]. codes: person codes by split, empty where none are known.
        settings: the policy's level and risk threshold. generator: draws bootstrap samples of models.
        level: coverage of intervals. minimum: minimum cell.
    """
    if retrained is not None and not retrained.reserve:
        return unmarked(retrained, absent=absent, persons=codes.get("train"), generator=generator, level=level,
                        minimum=minimum)  # fmt: skip
    (for_person,) = generator.spawn(1)
    whole = personal.measure(
        retrained, _target(predictions), absent=absent, train=codes.get("train"), reserve=codes.get("reserve"),
        settings=settings, generator=for_person, level=level, minimum=minimum,
    )  # fmt: skip
    found = exposure.exposure(
        retrained, scores, absent=absent, labels=labels, groupings=groupings, persons=codes.get("train"),
        settings=settings, generator=generator, level=level, minimum=minimum, by_person=whole.marks,
        refused=whole.refused,
    )  # fmt: skip
    who = None
    if retrained is not None and labels is not None and found.marks is not None:
        flag = found.marks.flag
        groups, slices = by_group_and_slice(
            retrained, flag, groupings=groupings,
            favourable=np.asarray(labels == 1.0, dtype=np.bool_), slices=around.slices, persons=codes.get("train"),
            level=level, minimum=minimum,
        )  # fmt: skip
        gaps, unit, reason = joint(around.gaps, flag, persons=codes.get("train"), level=level, minimum=minimum)
        who = WhoIsExposed(by_group=groups, slices=slices, gaps=gaps, gaps_unit=unit, no_gaps=reason)
    said = "" if retrained is None or found.public.status != "assessed" else retrained.recipe
    told = {"persons": whole.public, "who": who, "retraining": said}
    return replace(found, public=found.public.model_copy(update=told), person_risk=whole.value)


def _target(predictions: Predictions) -> Floats | None:
    """[N + K] margins of the audited model."""
    if predictions.loss_train is None or predictions.loss_reserve is None:
        return None
    return margins(np.concatenate([predictions.loss_train, predictions.loss_reserve]))
