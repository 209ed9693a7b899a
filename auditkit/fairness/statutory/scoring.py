"""Scoring rates: the share of each category that scores above the full sample's median.

The table of scoring rates stands beside the selection rates and the score distributions of the same records. Where a
count of one less the count of another would tell of a few persons (those between the median and the decision's
threshold, or an edge of the distribution), the rate is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditkit.fairness import disclosure
from auditkit.fairness.cells import Cells, cell_of, count
from auditkit.fairness.disparity import rate_estimates, rates
from auditkit.fairness.groups import Standing, standing
from auditkit.fairness.metrics import METRICS, values
from auditkit.fairness.release import release_rate
from auditkit.fairness.statutory.released import Categories, Category
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Median
from auditkit.stats.rounding import STEPS
from auditkit.subject.types import Floats, Grouping, Ints, Mask, Predictions

Ties = Literal["above", "at-or-above"]
RATE = "selection_rate"


@dataclass(frozen=True)
class Scored:
    """The sample, who scores high in it, and what the tables' disclosure control goes by."""

    scores: Floats
    """[M]; NaN for a record without a decision, which no table counts."""
    predictions: Predictions
    persons: NDArray[np.object_] | None
    groupings: Mapping[str, Grouping]
    settings: FairnessSettings
    minimum_cell: int
    ties: Ties
    edges: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    """(attribute, group) -> scores below which the group's share is published elsewhere."""

    @property
    def middle(self) -> float:
        """The median of all records with a decision, those of unknown category among them."""
        return float(np.nanmedian(self.scores))

    @property
    def high(self) -> Floats:
        """[M] 1.0 above the median (or at it too, where the policy says so), NaN without a decision."""
        high = self.scores > self.middle if self.ties == "above" else self.scores >= self.middle
        return np.where(np.isnan(self.scores), np.nan, high.astype(np.float64))


def median(sample: Scored) -> Median:
    """The median as it may be printed: the score of one record, so on a grid where enough persons share its cell."""
    known = ~np.isnan(sample.scores)
    at = known & (sample.scores == sample.middle)
    n, m = int(known.sum()), sample.minimum_cell
    tells = any(0 < _persons(sample, part) < m for part in (at, known & ~at))
    shown = None
    for step in STEPS:
        cell = known & (np.abs(sample.scores - round(sample.middle / step) * step) <= step / 2)
        if _persons(sample, cell) >= m:
            shown = step
            break
    return Median(
        value=None if shown is None else round(round(sample.middle / shown) * shown, 6), step=shown, n=n,
        at_median=None if tells else float(at.sum() / n), ties=sample.ties,
    )  # fmt: skip


def scoring(sample: Scored, selected: Categories) -> Categories:
    """The categories of one attribute with scoring rates in place of selection rates.

    Args:
        sample: the scores. selected: the published groups of the same attribute, whose sizes stay as they are.
    """
    grouping = sample.groupings[selected.on]
    cells = _count(sample, grouping, truth=sample.predictions.truth)
    along = disclosure.lines(grouping.name, sample.groupings)
    state = standing(cells, settings=sample.settings, minimum_cell=sample.minimum_cell, along=along)
    state = _guarded(sample, grouping, cells, state, along)
    metric = METRICS[RATE]
    found = rates(
        metric, values(cells.records[:-1])[RATE], cells=cells, state=state, settings=sample.settings,
        minimum_cell=sample.minimum_cell,
    )  # fmt: skip
    estimates = rate_estimates(metric, found, cells=cells, level=sample.settings.level)
    position = {label: index for index, label in enumerate(grouping.labels)}
    rows = []
    for row in selected.rows:
        group = position[row.label]
        rate, _ = release_rate(estimates[group], found, group, cells=cells, state=state, m=sample.minimum_cell)
        rows.append(Category(row.label, row.n, row.share, rate))
    return replace(selected, rows=tuple(rows))


def _guarded(sample: Scored, grouping: Grouping, cells: Cells, state: Standing, along: tuple[Ints, ...]) -> Standing:
    """Closes the groups where the scoring rate and another share differ by a few persons, and what would tell them."""
    both = _count(sample, grouping, truth=sample.predictions.decision).persons
    between = both[:, [1, 2]]  # decided unfavourably and high, decided favourably and not high
    apart = np.any((between > 0) & (between < sample.minimum_cell), axis=1)
    for group, label in enumerate(grouping.labels):
        apart[group] |= _parted(sample, grouping.codes == group, sample.edges.get((grouping.name, label), ()))
    closed, sensitive = state.closed | apart, apart.copy()
    sensitive[-1] = False  # unknown membership has no row, so nothing of it is to be derived
    sizes = np.minimum(cells.group_records, cells.group_persons)
    more = disclosure.complete(
        withheld=closed, sensitive=sensitive, sizes=sizes, along=along, minimum=sample.minimum_cell
    )
    return replace(state, closed=closed | more)


def _parted(sample: Scored, members: Mask, edges: tuple[float, ...]) -> bool:
    """Whether a few of the members lie between the median and a score whose share below is published."""
    high, low = members & (sample.high == 1), members & (sample.high == 0)
    return any(
        0 < _persons(sample, part) < sample.minimum_cell
        for edge in edges
        for part in (high & (sample.scores < edge), low & (sample.scores >= edge))
    )


def _count(sample: Scored, grouping: Grouping, *, truth: Floats) -> Cells:
    cell = cell_of(truth=truth, decision=sample.high)
    return count(codes=grouping.codes, groups=len(grouping.labels), cell=cell, persons=sample.persons)


def _persons(sample: Scored, rows: Mask) -> int:
    return int(rows.sum()) if sample.persons is None else len(set(sample.persons[rows].tolist()))
