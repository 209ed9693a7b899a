"""The fairness part of an audit: every metric for every group, its comparisons, and what may be shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness import disclosure
from auditkit.fairness.cells import Cells, cell_of, count
from auditkit.fairness.composites import composites
from auditkit.fairness.control import conditional
from auditkit.fairness.disparity import Rates, comparisons, rate_estimates, rates
from auditkit.fairness.gaps import inference
from auditkit.fairness.groups import rows as group_rows
from auditkit.fairness.groups import standing
from auditkit.fairness.metrics import METRICS, values
from auditkit.fairness.notes import IMPACT_RATIO, METRIC_NOTES, notes
from auditkit.fairness.release import release_difference, release_rate, release_ratio
from auditkit.fairness.score_part import with_scores
from auditkit.fairness.setting import Setting
from auditkit.policy.schema import FairnessSettings
from auditkit.result import AttributeTests, Estimate, FairnessPart, Group, Measurement, Status
from auditkit.subject.types import Grouping, Predictions


def assess(
    *,
    groupings: Mapping[str, Grouping],
    predictions: Predictions,
    persons: NDArray[np.object_] | None,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
    controls: Mapping[str, Grouping] | None = None,
) -> FairnessPart:
    """Measure every metric of METRICS for all records and for every group of every grouping.

    Args:
        groupings: by name, in the policy's order; codes [M] over the evaluation rows.
        predictions: decision [M] and truth [M], score [M] where there is one; losses are not read.
        persons: [M] person of each evaluation row, or None; where a person repeats, persons are resampled,
        not rows. settings: minimum group and denominator, level, replicates.
        minimum_cell: persons below which nothing is published exactly (see `disclosure`).
        generator: source of the bootstrap; each grouping draws from a child of its own.
        controls: strata within which groups are compared again, over the same rows; from `control.controls`.

    Returns:
        Measurements `fairness.<metric>`, `fairness.<metric>_difference`, `fairness.<metric>_ratio` and
        `fairness.impact_ratio`. Groups that cannot be assessed have them too, without a value and with the
        reason.

    Raises:
        DataError: memberships, decisions and labels do not fit each other.
    """
    cell = cell_of(truth=predictions.truth, decision=predictions.decision)

    def cells(grouping: Grouping) -> Cells:
        return count(codes=grouping.codes, groups=len(grouping.labels), cell=cell, persons=persons)

    part = measured(
        groupings=groupings,
        cells=cells,
        rows=len(cell),
        undecided=int((cell < 0).sum()),
        settings=settings,
        minimum_cell=minimum_cell,
        generator=generator,
    )
    if controls and part.status == "assessed":
        within = conditional(
            groupings=groupings, strata_of=controls, cell=cell, persons=persons, settings=settings,
            minimum_cell=minimum_cell,
        )  # fmt: skip
        part = part.model_copy(update={"conditional": within})
    if predictions.score is None:
        return part
    return with_scores(
        part,
        groupings=groupings,
        cells=cells,
        score=predictions.score,
        truth=predictions.truth,
        persons=persons,
        settings=settings,
        minimum_cell=minimum_cell,
        generator=generator,
    )


def measured(
    *,
    groupings: Mapping[str, Grouping],
    cells: Callable[[Grouping], Cells],
    rows: int,
    undecided: int,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
) -> FairnessPart:
    """Measure every metric from counts alone.

    Args:
        groupings: by name; codes [rows] over records, or over the rows of a tally of them.
        cells: the counts of a grouping; of one whose codes are all 0, those of all records.
        rows: length of the codes. undecided: records without a decision, which the counts leave out.
        settings, minimum_cell, generator: as for `assess`.
    """
    overall = _overall(cells, rows, settings=settings, minimum_cell=minimum_cell)
    whole = _found(overall)
    measurements, groups = [*_rates(overall, whole), *composites(overall, whole)], list[Group]()
    tested = list[AttributeTests]()
    for (name, grouping), child in zip(groupings.items(), generator.spawn(len(groupings)), strict=True):
        own = cells(grouping)
        along = disclosure.lines(name, groupings)
        state = standing(own, settings=settings, minimum_cell=minimum_cell, along=along)
        setting = Setting(grouping, own, state, settings, minimum_cell)
        groups += group_rows(grouping, own, state, settings=settings, minimum_cell=minimum_cell)
        every = _found(setting)
        measurements += _rates(setting, every)
        measurements += _comparisons(setting, every, child)
        # Spawned after the comparisons' own, so that what is added here moves none of their intervals.
        odds, shuffles = child.spawn(2)
        measurements += composites(setting, every, odds)
        tested.append(inference(setting, every, shuffles))
    status, reason = _status(groupings, overall.cells)
    return FairnessPart(
        status=status,
        reason=reason,
        attributes=tuple(groupings),
        groups=tuple(groups),
        measurements=tuple(measurements),
        metrics=METRIC_NOTES,
        tests=tuple(tested),
        notes=notes(
            undecided=undecided, cells=overall.cells, groups=groups, groupings=groupings, minimum_cell=minimum_cell
        ),
    )


def _overall(
    cells: Callable[[Grouping], Cells], rows: int, *, settings: FairnessSettings, minimum_cell: int
) -> Setting:
    """All records as one group, so that they pass the same gates."""
    codes = np.zeros(rows, dtype=np.int64)
    grouping = Grouping(name="", labels=("",), codes=codes, reference="", reference_stated=True)
    own = cells(grouping)
    state = standing(own, settings=settings, minimum_cell=minimum_cell, along=(np.arange(2),))
    return Setting(grouping, own, state, settings, minimum_cell)


def _found(setting: Setting) -> dict[str, Rates]:
    """Every metric's gated values on one grouping."""
    point = values(setting.cells.records[:-1])
    return {
        name: rates(
            metric,
            point[name],
            cells=setting.cells,
            state=setting.state,
            settings=setting.settings,
            minimum_cell=setting.minimum_cell,
        )
        for name, metric in METRICS.items()
    }


def _rates(setting: Setting, every: Mapping[str, Rates]) -> Iterator[Measurement]:
    """`fairness.<metric>` of every declared group."""
    m, cells, state = setting.minimum_cell, setting.cells, setting.state
    for name, found in every.items():
        estimates = rate_estimates(METRICS[name], found, cells=cells, level=setting.settings.level)
        for group, exact in enumerate(estimates):
            estimate, parts = release_rate(exact, found, group, cells=cells, state=state, m=m)
            yield Measurement(
                measure=f"fairness.{name}",
                on=setting.grouping.name,
                group=setting.grouping.labels[group],
                estimate=estimate,
                parts=parts,
            )


def _comparisons(setting: Setting, every: Mapping[str, Rates], generator: np.random.Generator) -> Iterator[Measurement]:
    """Difference and ratio of every group but the reference, and the impact ratio."""
    grouping, reference = setting.grouping, setting.reference
    for (name, found), child in zip(every.items(), generator.spawn(len(every)), strict=True):
        differences, ratios = comparisons(
            METRICS[name],
            found,
            cells=setting.cells,
            reference=reference,
            settings=setting.settings,
            generator=child,
        )
        for group in range(len(grouping.labels)):
            if group != reference:
                exact = (differences[group], ratios[group])
                yield from _pair(setting, name=name, found=found, group=group, exact=exact)


def _pair(
    setting: Setting, *, name: str, found: Rates, group: int, exact: tuple[Estimate, Estimate]
) -> Iterator[Measurement]:
    """The released difference and ratio of one metric and group."""
    grouping, state, m, reference = setting.grouping, setting.state, setting.minimum_cell, setting.reference
    where = {"on": grouping.name, "group": grouping.labels[group], "reference": grouping.reference}
    difference, parts = release_difference(exact[0], found, group, reference, state=state, m=m)
    yield Measurement(measure=f"fairness.{name}_difference", unit="points", estimate=difference, parts=parts, **where)
    ratio, parts = release_ratio(exact[1], found, group, reference, state=state, m=m)
    measures = [f"fairness.{name}_ratio", *([IMPACT_RATIO] if name == "selection_rate" else [])]
    for measure in measures:
        yield Measurement(measure=measure, unit="ratio", estimate=ratio, parts=parts, **where)


def _status(groupings: Mapping[str, Grouping], overall: Cells) -> tuple[Status, str]:
    if not overall.records.any():
        return "not-applicable", "no evaluation record has a decision"
    if not groupings:
        return "not-applicable", "the policy names no protected attribute"
    return "assessed", ""
