"""The fairness part of an audit: every metric for every group, its comparisons, and what may be shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness import disclosure
from auditkit.fairness.cells import Cells, cell_of, count
from auditkit.fairness.compared import compared
from auditkit.fairness.composites import composites
from auditkit.fairness.control import conditional
from auditkit.fairness.disparity import Rates, rate_estimates, rates
from auditkit.fairness.fine import fine_part
from auditkit.fairness.gaps import inference
from auditkit.fairness.groups import rows as group_rows
from auditkit.fairness.groups import standing
from auditkit.fairness.metrics import METRICS, values
from auditkit.fairness.notes import METRIC_NOTES, notes
from auditkit.fairness.release import release_rate
from auditkit.fairness.score_part import with_scores
from auditkit.fairness.setting import Setting
from auditkit.fairness.weights import check
from auditkit.policy.schema import FairnessSettings, Rule
from auditkit.result import AttributeTests, FairnessPart, Group, Measurement, Status
from auditkit.subject.types import Floats, Grouping, Predictions


def assess(
    *,
    groupings: Mapping[str, Grouping],
    predictions: Predictions,
    persons: NDArray[np.object_] | None,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
    weights: Floats | None = None,
    controls: Mapping[str, Grouping] | None = None,
    rules: Sequence[Rule] = (),
) -> FairnessPart:
    """Measure every metric of METRICS for all records and for every group of every grouping.

    Args:
        groupings: by name, in the policy's order; codes [M] over the evaluation rows.
        predictions: decision [M] and truth [M], score [M] where there is one; losses are not read.
        persons: [M] person of each evaluation row, or None; where a person repeats, persons are resampled,
        not rows. settings: minimum group and denominator, level, replicates.
        minimum_cell: persons below which nothing is published exactly (see `disclosure`).
        generator: source of the bootstrap; each grouping draws from a child of its own.
        weights: [M] sample weights, or None; see `weights`.
        controls: strata within which groups are compared again, over the same rows; from `control.controls`.
        rules: of the policy; where it asks for Holm or Benjamini–Hochberg, each is tested, see `thresholds`.

    Returns:
        Measurements `fairness.<metric>`, `fairness.<metric>_difference`, `fairness.<metric>_ratio` and
        `fairness.impact_ratio`. Groups that cannot be assessed have them too, without a value and with the
        reason.

    Raises:
        DataError: memberships, decisions and labels do not fit each other.
    """
    cell = cell_of(truth=predictions.truth, decision=predictions.decision)
    if weights is not None:
        check(weights, rows=len(cell))

    def cells(grouping: Grouping) -> Cells:
        return count(codes=grouping.codes, groups=len(grouping.labels), cell=cell, persons=persons, weights=weights)

    part = measured(
        groupings=groupings,
        cells=cells,
        rows=len(cell),
        undecided=int((cell < 0).sum()),
        settings=settings,
        minimum_cell=minimum_cell,
        generator=generator,
        rules=rules,
    )
    if controls and part.status == "assessed":
        within = conditional(
            groupings=groupings, strata_of=controls, cell=cell, persons=persons, settings=settings,
            minimum_cell=minimum_cell, weights=weights,
        )  # fmt: skip
        part = part.model_copy(update={"conditional": within})
    if predictions.score is None:
        return part if weights is None else fine_part(part)
    part = with_scores(
        part,
        groupings=groupings,
        cells=cells,
        score=predictions.score,
        truth=predictions.truth,
        persons=persons,
        settings=settings,
        minimum_cell=minimum_cell,
        generator=generator,
        weights=weights,
    )
    return part if weights is None else fine_part(part)


def measured(
    *,
    groupings: Mapping[str, Grouping],
    cells: Callable[[Grouping], Cells],
    rows: int,
    undecided: int,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
    rules: Sequence[Rule] = (),
) -> FairnessPart:
    """Measure every metric from counts alone.

    Args:
        groupings: by name; codes [rows] over records, or over the rows of a tally of them.
        cells: the counts of a grouping; of one whose codes are all 0, those of all records.
        rows: length of the codes. undecided: records without a decision, which the counts leave out.
        settings, minimum_cell, generator, rules: as for `assess`.
    """
    overall = _overall(cells, rows, settings=settings, minimum_cell=minimum_cell)
    whole = _found(overall)
    measurements, groups = [*_rates(overall, whole), *composites(overall, whole)], list[Group]()
    tested = list[AttributeTests]()
    for (name, grouping), child in zip(groupings.items(), generator.spawn(len(groupings)), strict=True):
        own = cells(grouping)
        along = disclosure.lines(name, groupings)
        state = standing(own, settings=settings, minimum_cell=minimum_cell, along=along)
        against = overall if grouping.chosen == "overall" else None
        setting = Setting(grouping, own, state, settings, minimum_cell, against)
        groups += group_rows(grouping, own, state, settings=settings, minimum_cell=minimum_cell)
        every = _found(setting)
        measurements += _rates(setting, every)
        measurements += compared(setting, every, child)
        # Spawned after the comparisons' own, so that what is added here moves none of their intervals.
        odds, shuffles = child.spawn(2)
        measurements += composites(setting, every, odds)
        tested.append(inference(setting, every, shuffles, rules=rules))
    status, reason = _status(groupings, overall.cells)
    part = FairnessPart(
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
    return part if overall.cells.weighted is None else fine_part(part)


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
    point = values(setting.cells.mass[:-1])
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


def _status(groupings: Mapping[str, Grouping], overall: Cells) -> tuple[Status, str]:
    if not overall.records.any():
        return "not-applicable", "no evaluation record has a decision"
    if not groupings:
        return "not-applicable", "the policy names no protected attribute"
    return "assessed", ""
