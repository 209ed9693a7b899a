"""The statutory tables of one audit: which the policy names, from what the fairness part publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness.assess import assess as counted
from auditkit.fairness.statutory import ll144, ugesp
from auditkit.fairness.statutory.ll144 import Kind
from auditkit.fairness.statutory.released import categories
from auditkit.fairness.statutory.scoring import Scored, median, scoring
from auditkit.policy.schema import FairnessSettings
from auditkit.policy.statutory import BIAS_AUDIT, FOUR_FIFTHS, StatutorySettings, crossing, named
from auditkit.result import BiasAudit, FairnessPart, FourFifths, StatutoryPart
from auditkit.subject.types import Grouping, Predictions

NO_MARK: Final = "The rule sets no mark for an impact ratio: a ratio is a figure to publish, nothing is judged by it."
UNKNOWN: Final = (
    "Records of unknown category are counted and left out of the rates. The share of a category is of all records "
    "assessed, these among them."
)
FULL_SAMPLE: Final = (
    "The median is that of all records assessed, those of unknown category among them; the rule says “full sample”."
)
NO_SCORES: Final = "Scoring rates could not be computed: {reason}. The tables give selection rates instead."
TESTS: Final = (
    "Statistical: |z| above 2 of the pooled two-proportion test, or a two-sided p below 0.05 of Fisher's exact test "
    "where an expected count is below 5. Neither is corrected for the number of groups. Practical: a ratio below four "
    "fifths of the highest rate."
)
INDEPENDENT: Final = "The tests take every record as an independent draw."


def assess(
    *,
    frameworks: Sequence[str],
    settings: StatutorySettings,
    intersections: Sequence[tuple[str, ...]],
    part: FairnessPart,
    groupings: Mapping[str, Grouping],
    predictions: Predictions,
    persons: NDArray[np.object_] | None,
    fairness: FairnessSettings,
    minimum_cell: int,
    weighted: bool = False,
) -> StatutoryPart | None:
    """The tables of the rule sets named, or None where none has tables or no group was assessed.

    Args:
        frameworks: ids that the policy names. settings: its section `statutory`.
        intersections: as declared. part: the fairness part, whose published figures the tables are made of.
        groupings: by name; codes [M] over the evaluation rows. predictions: decision, score, truth [M].
        persons: [M] or None. fairness, minimum_cell: as for the fairness part.
        weighted: whether the part weighs its records; the tables count them, whatever their weights.
    """
    if part.status != "assessed":
        return None
    if weighted:
        scores = part.scores
        part = counted(
            groupings=groupings, predictions=replace(predictions, score=None), persons=persons,
            settings=fairness.model_copy(update={"replicates": 1000}), minimum_cell=minimum_cell,
            generator=np.random.default_rng(0),
        ).model_copy(update={"scores": scores})  # fmt: skip
    attributes = [name for name, grouping in groupings.items() if not grouping.of]
    sex, race = (named(settings, attributes, "sex"), named(settings, attributes, "race"))
    audit = fifths = None
    if BIAS_AUDIT in frameworks and sex and race:
        both = crossing(settings, attributes, intersections)
        sample = Scored(
            scores=np.array([]), predictions=predictions, persons=persons, groupings=groupings, settings=fairness,
            minimum_cell=minimum_cell, ties=settings.ties, edges=_edges(part),
        )  # fmt: skip
        audit = _bias_audit(part, settings, (sex, race, " x ".join(both or ())), sample)
    if FOUR_FIFTHS in frameworks:
        tables = tuple(ugesp.table(categories(part, name)) for name in (sex, race) if name)
        fifths = FourFifths(tables=tables, notes=(TESTS, INDEPENDENT))
    return StatutoryPart(bias_audit=audit, four_fifths=fifths) if audit or fifths else None


def _bias_audit(
    part: FairnessPart, settings: StatutorySettings, names: tuple[str, str, str], blank: Scored
) -> BiasAudit:
    found = [categories(part, name) for name in names if name in blank.groupings]
    notes, middle, variant = [NO_MARK, UNKNOWN], None, settings.variant
    if variant == "scores":
        sample, reason = _sample(blank)
        if sample is None:
            variant = "selection"
            notes.append(NO_SCORES.format(reason=reason))
        else:
            found = [scoring(sample, own) for own in found]
            middle = median(sample)
            notes.append(FULL_SAMPLE)
    kinds: tuple[Kind, ...] = ("sex", "race", "sex-by-race")
    tables = tuple(
        ll144.table(
            own, kind=kind, exclude_below=settings.exclude_below, minimum_cell=blank.minimum_cell,
            minimum_group=blank.settings.minimum_group,
        )
        for kind, own in zip(kinds, found, strict=False)
    )  # fmt: skip
    return BiasAudit(
        variant=variant, tables=tables, median=middle, exclude_below=settings.exclude_below,
        justification=settings.because or "", notes=tuple(notes),
    )  # fmt: skip


def _edges(part: FairnessPart) -> dict[tuple[str, str], tuple[float, ...]]:
    """The inner scores at which the fairness part publishes a group's share below."""
    return {
        (own.on, own.group): tuple(point.x for point in own.distribution.points if 0 < point.x < 1)
        for own in part.scores
    }


def _sample(blank: Scored) -> tuple[Scored | None, str]:
    """The scores of the records with a decision, or why they cannot be used."""
    score, decided = blank.predictions.score, ~np.isnan(blank.predictions.decision)
    if score is None:
        return None, "the model gives decisions and no scores"
    if not np.isfinite(score[decided]).all():
        return None, "some of the records with a decision have no score"
    return replace(blank, scores=np.where(decided, score, np.nan)), ""
