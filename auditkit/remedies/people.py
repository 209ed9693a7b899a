"""Evaluation records as the changes are measured on them, and what of their groups may be printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from auditkit.fairness import disclosure
from auditkit.fairness.cells import cell_of, count
from auditkit.fairness.groups import Standing, standing
from auditkit.policy.schema import FairnessSettings, Policy
from auditkit.remedies import changes
from auditkit.result import Change, Estimate
from auditkit.result.remedies import Unit
from auditkit.stats.rounding import TOO_FEW, rate_step, rounded
from auditkit.subject.decisions import threshold_of
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Grouping, Ints, Predictions, Table

FAIRNESS: Final = "fairness."
UNITS: Final[dict[str, Unit]] = {"": "rate", "difference": "points", "ratio": "ratio"}


@dataclass(frozen=True)
class People:
    """Labels, persons and groups [M] of the evaluation records."""

    truth: Floats
    persons: Ints
    """[M] codes; rows without a person are persons of their own."""
    groupings: Mapping[str, Grouping]
    threshold: float
    settings: FairnessSettings
    minimum_cell: int
    predictions: Predictions
    asked: tuple[tuple[str, str], ...]
    """(measure, attribute) of the policy's fairness rules."""


def people_of(
    policy: Policy, table: Table, predictions: Predictions, groupings: Mapping[str, Grouping]
) -> People:  # fmt: skip
    """The evaluation records, and each (measure, attribute) of the policy's fairness rules once."""
    rows = table.rows("evaluation")
    asked = [(rule.measure, rule.on) for rule in policy.rules if rule.measure.startswith(FAIRNESS) and rule.on]
    return People(
        truth=table.label[rows],
        persons=np.arange(len(rows)) if table.persons is None else person_codes(table.persons[rows]),
        groupings=groupings,
        threshold=threshold_of(policy.model),
        settings=policy.fairness,
        minimum_cell=policy.report.minimum_cell,
        predictions=predictions,
        asked=tuple((measure, on) for measure, on in dict.fromkeys(asked) if on in groupings),
    )


def fairness_changes(people: People, before: Floats, after: Floats) -> tuple[Change, ...]:
    """Accuracy and every fairness measure of the policy's rules, without and with the remedy.

    Args:
        people: the evaluation records. before, after: [K, M] scores of the models in the same order.
    """
    cell = [changes.cells(score, people.truth, people.threshold) for score in (before, after)]
    everyone = np.ones(len(people.truth), dtype=np.bool_)
    whole = [changes.rate("accuracy", one, everyone) for one in cell]
    found = [_change(people, "model.accuracy", whole[0], whole[1], step=0.0, unit="rate")]
    for measure, on in people.asked:
        found += _on(people, measure, on, cell)
    return tuple(found)


def _on(people: People, measure: str, on: str, cell: list[Ints]) -> list[Change]:
    """One measure for every group of an attribute, but its reference where it compares."""
    grouping, state = people.groupings[on], _standing(people, on)
    name = measure.removeprefix(FAIRNESS)
    metric, scale = _parsed(name)
    labels = grouping.labels
    base = labels.index(grouping.reference) if grouping.reference in labels else -1
    found = []
    for group, label in enumerate(labels):
        if scale and group == base:
            continue
        own, reference = grouping.codes == group, grouping.codes == base
        where = {"on": on, "group": label, "reference": grouping.reference if scale else ""}
        unit = UNITS[scale]
        concerned = [group, base] if scale else [group]
        why = "" if not scale or base >= 0 else "the reference is not among the groups"
        why = why or next((state.why_not(g, repeats=False) for g in concerned if not state.assessed[g]), "")
        if why:
            nothing = Estimate(value=None, level=people.settings.level, withheld=why)
            found.append(Change(measure=measure, unit=unit, before=nothing, after=nothing, change=nothing, **where))
            continue
        sides = [
            changes.compared(metric, one, own, reference, scale=scale) if scale else changes.rate(metric, one, own)
            for one in cell
        ]
        step = _step(people, grouping, state, concerned)
        if step and scale == "ratio":
            step = _ratio_step(step, changes.rate(metric, cell[0], reference), sides[0])
        found.append(_change(people, measure, sides[0], sides[1], step=step, unit=unit, **where))
    return found


def _parsed(name: str) -> tuple[str, str]:
    """A measure's metric and how it compares groups: `difference`, `ratio` or not at all."""
    if name == "impact_ratio":
        return "selection_rate", "ratio"
    for scale in ("difference", "ratio"):
        if name.endswith(f"_{scale}"):
            return name.removesuffix(f"_{scale}"), scale
    return name, ""


def _standing(people: People, on: str) -> Standing:
    """What may be said of the groups, by the audited model's own cells, as the fairness room judges it."""
    grouping = people.groupings[on]
    cell = cell_of(truth=people.predictions.truth, decision=people.predictions.decision)
    counted = count(codes=grouping.codes, groups=len(grouping.labels), cell=cell, persons=people.persons.astype(object))
    along = disclosure.lines(on, people.groupings)
    return standing(counted, settings=people.settings, minimum_cell=people.minimum_cell, along=along)


def _step(people: People, grouping: Grouping, state: Standing, concerned: list[int]) -> float | None:
    """What figures of closed groups are rounded to; 0 for open ones, None where no step is wide enough."""
    steps = [0.0]
    for group in concerned:
        if state.closed[group]:
            labelled = (grouping.codes == group) & np.isfinite(people.truth)
            favourable = int((people.truth[labelled] == 1).sum())
            trials = min(favourable, int(labelled.sum()) - favourable)
            step = rate_step(trials=trials, minimum=people.minimum_cell)
            if step is None:
                return None
            steps.append(step)
    return max(steps)


def _ratio_step(step: float, reference: changes.Answered | None, ratio: changes.Answered | None) -> float | None:
    """The step of a ratio of two rates that are rounded to `step`."""
    if reference is None or ratio is None:
        return None
    return disclosure.ratio_step(
        ratio=float(ratio.value.mean()), reference_rate=float(reference.value.mean()), group_step=step,
        reference_step=step,
    )  # fmt: skip


def _change(
    people: People, measure: str, before: changes.Answered | None, after: changes.Answered | None,
    *, step: float | None, unit: Unit, on: str = "", group: str = "", reference: str = "",
) -> Change:  # fmt: skip
    level = people.settings.level
    if before is None or after is None or step is None:
        why = TOO_FEW if step is None else "not estimable: a retrained model leaves its denominator empty"
        nothing = Estimate(value=None, level=level, withheld=why)
        told = [nothing] * 3
    else:
        told = [changes.estimate(one, people.persons, level=level) for one in (before, after, after.less(before))]
    if step:
        told = [rounded(one, step=step, bounds=(-float("inf"), float("inf"))) for one in told]
    return Change(
        measure=measure, on=on, group=group, reference=reference, unit=unit, before=told[0], after=told[1],
        change=told[2],
    )  # fmt: skip
