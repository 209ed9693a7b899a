"""Which group the others are compared with, where the policy leaves it to the data: `largest`, `best` or `overall`.

A group of such a name is meant before the word is: `reference: best` of an attribute with a group `best` names it.
`best` is the group with the highest selection rate (by weight where records have weights) among those that can be
assessed. It is chosen by the very decisions that it is then compared on, which favours finding a gap; no interval
allows for the choice. `largest` and `overall` are no such choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from auditkit.fairness.cells import Cells, cell_of, count
from auditkit.fairness.metrics import METRICS, mask
from auditkit.policy.schema import FairnessSettings, Policy
from auditkit.subject.groups import JOIN
from auditkit.subject.types import ALL_RECORDS, Grouping, Predictions, Table

Reference = Literal["largest", "best", "overall"]


def referred(grouping: Grouping, how: str, cells: Cells, *, settings: FairnessSettings, minimum: int) -> Grouping:
    """The grouping with its reference chosen.

    Args:
        how: one of `Reference`. cells: its counts. settings: for the minimum group. minimum: the minimum cell.
    """
    if how == "overall":
        return replace(grouping, reference=ALL_RECORDS, reference_stated=True, chosen=how)
    chosen = largest(cells) if how == "largest" else best(cells, minimum=max(settings.minimum_group, minimum))
    return replace(grouping, reference=grouping.labels[chosen], reference_stated=True, chosen=how)


def largest(cells: Cells) -> int:
    """The group with most decided records, the first of several."""
    return int(cells.group_records[:-1].argmax())


def best(cells: Cells, *, minimum: int) -> int:
    """The group with the highest selection rate among those of at least `minimum` records and persons.

    The first of several; the largest where no group has as many, or none has any weight.
    """
    metric = METRICS["selection_rate"]
    events, trials = (cells.mass[:-1] @ mask(part) for part in (metric.events, metric.trials))
    sizes = np.minimum(cells.group_records, cells.group_persons)[:-1]
    eligible = (sizes >= minimum) & (trials > 0)
    if not eligible.any():
        return largest(cells)
    return int(np.where(eligible, events / np.where(trials > 0, trials, 1), -1.0).argmax())


def chosen(
    groupings: Mapping[str, Grouping],
    cells: Callable[[Grouping], Cells],
    *,
    settings: FairnessSettings,
    minimum: int,
) -> dict[str, Grouping]:
    """The groupings with `best` references chosen; those of intersections follow from their attributes'.

    Args:
        groupings: attributes before the intersections of them. cells: the counts of a grouping.
    """
    out: dict[str, Grouping] = {}
    for name, grouping in groupings.items():
        if not grouping.of:
            own = grouping
            if grouping.chosen == "best":
                own = referred(grouping, "best", cells(grouping), settings=settings, minimum=minimum)
            out[name] = own
        elif grouping.chosen == "overall" or not all(part in out for part in grouping.of):
            out[name] = grouping
        else:
            out[name] = replace(grouping, reference=JOIN.join(out[part].reference for part in grouping.of))
    return out


def with_references(policy: Policy, table: Table, predictions: Predictions) -> Table:
    """The table with the references that only the decisions tell; it itself where the policy asks for none such."""
    if not any(grouping.chosen == "best" for grouping in table.groupings.values()):
        return table
    rows = table.rows("evaluation")
    cell = cell_of(truth=predictions.truth, decision=predictions.decision)
    persons = None if table.persons is None else table.persons[rows]
    weights = None if policy.data.weight is None else table.weights[rows]

    def cells(grouping: Grouping) -> Cells:
        return count(codes=grouping.codes, groups=len(grouping.labels), cell=cell, persons=persons, weights=weights)

    own = {name: replace(grouping, codes=grouping.codes[rows]) for name, grouping in table.groupings.items()}
    found = chosen(own, cells, settings=policy.fairness, minimum=policy.report.minimum_cell)
    references = {name: grouping.reference for name, grouping in found.items()}
    return replace(
        table, groupings={name: replace(own, reference=references[name]) for name, own in table.groupings.items()}
    )
