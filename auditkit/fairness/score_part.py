"""The scores' share of the fairness part: rows by group, series by group, and the notes that explain them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness import calibration, disclosure, scores
from auditkit.fairness.cells import Cells
from auditkit.fairness.groups import standing
from auditkit.fairness.scored import Scored
from auditkit.fairness.setting import Setting
from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart, Measurement, MetricNote, ScoreGroup, Series
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Grouping

DIGITS = 10
NO_SCALE = "the scores are not on the scale from 0 to 1"
CLOSED = "withheld: a cell of this group, or one that would follow from it, is below the minimum cell"

SCORE_NOTES = (
    MetricNote(
        measure="fairness.auc",
        title="AUC",
        formula="P(score of a favourable label > score of an unfavourable one) + P(tie) / 2, within the group",
        meaning="0.5: the score does not tell the labels apart; 1: it tells all apart; 0: the wrong way round",
        source="DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; sklearn.metrics.roc_auc_score",
    ),
    MetricNote(
        measure="fairness.auc_difference",
        title="AUC, difference",
        formula="AUC of the group − AUC of the reference",
        meaning="0 means that the score tells the labels apart equally well in both",
        source="DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; MOVER",
    ),
    MetricNote(
        measure="fairness.standardised_difference",
        title="Standardised mean difference of scores",
        formula="(mean score of the group − mean score of the reference) / root of the mean of the two variances",
        meaning="0: equal mean scores; 1: one typical spread apart, the group above the reference",
        source="Cohen 1988; Austin, Stat. Med. 28 (2009) 3083",
    ),
    MetricNote(
        measure="fairness.calibration_error",
        title="Calibration error",
        formula="sum over bins of (records of the bin / records) × |favourable share − mean score|",
        meaning="0: in every bin the score is the share; 1: every score is wrong; biased upwards for few records",
        source="Naeini, Cooper and Hauskrecht, AAAI 2015 (ECE)",
    ),
    MetricNote(
        measure="fairness.brier",
        title="Brier score",
        formula="mean of (score − label)²",
        meaning="0: every score is the label; 1: every score is the other label",
        source="Brier, Mon. Weather Rev. 78 (1950) 1; sklearn.metrics.brier_score_loss",
    ),
)


def with_scores(
    part: FairnessPart,
    *,
    groupings: Mapping[str, Grouping],
    cells: Callable[[Grouping], Cells],
    score: Floats,
    truth: Floats,
    persons: NDArray[np.object_] | None,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
    weights: Floats | None = None,
) -> FairnessPart:
    """The part with everything that the scores say, put behind what the decisions say.

    Args:
        part: from the decisions. score: [M] of the favourable outcome. truth: [M]. cells: the counts of a grouping.
        persons, settings, minimum_cell, generator, weights: as for `assess`.
    """
    # Equal records must stay tied, whatever the last bits of their scores.
    score = np.round(score, DIGITS)
    known = score[np.isfinite(score)]
    if not known.size or part.status != "assessed":
        return part
    on_scale = bool(known.min() >= 0 and known.max() <= 1)
    whole = Grouping("", ("",), np.zeros(score.size, dtype=np.int64), reference="", reference_stated=True)
    codes = person_codes(persons, score.size)
    rows, series = list[Measurement](), list[ScoreGroup]()
    for grouping, child in zip((whole, *groupings.values()), generator.spawn(len(groupings) + 1), strict=True):
        along = disclosure.lines(grouping.name, groupings) if grouping.name else (np.arange(2),)
        own = cells(grouping)
        state = standing(own, settings=settings, minimum_cell=minimum_cell, along=along)
        scored = Scored(Setting(grouping, own, state, settings, minimum_cell), score, truth, codes, weights)
        rows += scores.measurements(scored)
        rows += calibration.measurements(scored, child) if on_scale else ()
        series += _series(scored, on_scale=on_scale) if grouping.name else ()
    return part.model_copy(
        update={
            "measurements": _placed(part.measurements, rows),
            "metrics": (*part.metrics, *SCORE_NOTES),
            "scores": tuple(series),
        }
    )


def _placed(before: Iterable[Measurement], more: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """Rows by attribute, in the order in which attributes first come."""
    order: dict[str, list[Measurement]] = {}
    for row in (*before, *more):
        order.setdefault(row.on, []).append(row)
    return tuple(row for rows in order.values() for row in rows)


def _series(scored: Scored, *, on_scale: bool) -> list[ScoreGroup]:
    out = []
    for group, label in enumerate(scored.setting.grouping.labels):
        why = "" if on_scale else NO_SCALE
        why = scored.why_not(group) or (CLOSED if scored.setting.state.closed[group] else why)
        nothing = Series(name="", x_label="", y_label="", points=())
        out.append(
            ScoreGroup(
                on=scored.setting.grouping.name,
                group=label,
                distribution=nothing if why else scores.distribution(scored, group),
                calibration=nothing if why else calibration.curve(scored, group),
                withheld=why,
            )
        )
    return out
