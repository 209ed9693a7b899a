"""Every metric of one outcome, for all records and for every group, with what may be shown of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share
from auditkit.fairness.outcomes.averages import averages
from auditkit.fairness.outcomes.families import Comparison, Family
from auditkit.fairness.outcomes.gates import Scene, scene
from auditkit.fairness.outcomes.quantiles import Quantile
from auditkit.fairness.outcomes.registry import METHODS, Method
from auditkit.fairness.outcomes.released import joined_step, quantile_step, shown, step_of
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Estimate
from auditkit.result.outcomes import OutcomeNote, OutcomePart, OutcomeRow, OutcomeUnit
from auditkit.subject.types import Grouping

INFINITE: Final = float("inf")


def assess(
    answers: Answers,
    *,
    name: str,
    columns: Mapping[str, str],
    groupings: Mapping[str, Grouping],
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
) -> OutcomePart:
    """Measure every metric of the outcome's kind.

    Args:
        answers: [M] records. name: of the outcome. columns: `prediction`, and `truth` where there is one.
        groupings: by name, codes [M]; a membership that is not known is in no group.
        settings: minimum group and denominator, level, replicates. minimum_cell: persons; see `disclosure`.
        generator: of the bootstrap; every grouping draws from a child of its own.

    Returns:
        One row per metric, version and group, and for its comparisons with the reference; intervals hold together over
        the groups of an attribute. A row without a value says why. Weights count throughout; n counts records.
    """
    part = OutcomePart(
        name=name, kind=answers.kind, status="assessed", prediction=columns["prediction"],
        truth=columns.get("truth", ""), weighted=answers.weighted, classes=answers.classes,
        attributes=tuple(groupings), notes=_notes(answers, groupings, minimum_cell),
    )  # fmt: skip
    reason = _nothing(answers, groupings)
    if reason:
        return part.model_copy(update={"status": "not-applicable", "reason": reason, "notes": ()})
    named = dict(groupings)
    codes = np.zeros(len(answers.prediction), dtype=np.int64)
    whole = Grouping(name="", labels=("",), codes=codes, reference="", reference_stated=True)
    rows: list[OutcomeRow] = []
    # Over all records the figures of a ranking are what its places make them: 1, and the depth.
    over = () if answers.kind == "ranking" else ("",)
    for own, child in zip((*over, *named), generator.spawn(len(over) + len(named)), strict=True):
        where = scene(
            answers, own, named, settings=settings, minimum_cell=minimum_cell, whole=None if own else whole
        )
        rows += _rows(where, child)
    asked = {row.metric for row in rows}
    notes = tuple(_note(metric, method) for metric, method in METHODS.items() if metric in asked)
    return part.model_copy(update={"rows": tuple(rows), "metrics": notes})


def _rows(where: Scene, generator: np.random.Generator) -> Iterator[OutcomeRow]:
    """Every metric of one grouping, in the order of METHODS."""
    for name, of, family in families(where, generator):
        method, steps = family.method, dict[int, float | None]()
        own = family.own()
        for group in where.groups:
            exact = own.get(group) or _without(where, family.why[group])
            steps[group] = _step(family, exact, group)
            bounds = (0.0, 1.0) if method.estimator == "rate" else (-INFINITE, INFINITE)
            yield _row(family, (name, of), group, exact, step=steps[group], bounds=bounds)
        for kind in method.compared if where.grouping.name else ():
            yield from _compared(family, (name, of), kind, steps)


def families(where: Scene, generator: np.random.Generator) -> Iterator[tuple[str, str, Family]]:
    """Metric, version and family; averages of the same groups share their draws."""
    found = [
        (name, of, _family(where, method, shares, version))
        for name, method in METHODS.items() if method.kind == where.answers.kind
        for version, of in enumerate(method.names(where.answers))
        if (shares := method.shares(where.answers, version))
    ]  # fmt: skip
    sets: dict[tuple[int, ...], list[int]] = {}
    for at, (_, _, family) in enumerate(found):
        if family.method.estimator == "mean" and family.estimable:
            sets.setdefault(tuple(family.estimable), []).append(at)
    for (groups, members), child in zip(sets.items(), generator.spawn(len(sets)), strict=True):
        drawn = averages(
            where.answers, [found[at][2].shares[0] for at in members], [where.rows[g] for g in groups],
            replicates=where.settings.replicates, generator=child,
        )  # fmt: skip
        for at, own in zip(members, drawn, strict=True):
            found[at][2].drawn.append(own)
    yield from found


def _family(where: Scene, method: Method, shares: tuple[Share, ...], version: int) -> Family:
    why = [where.why_not(method, shares, version, group) for group in where.groups]
    return Family(where, method, shares, version, why)


def _compared(
    family: Family, name: tuple[str, str], kind: Comparison, steps: Mapping[int, float | None]
) -> Iterator[OutcomeRow]:
    """Every group but the reference against it."""
    where, base = family.scene, family.scene.reference
    found = family.against(kind)
    for group in where.groups:
        if group == base:
            continue
        exact = found.get(group) or _without(where, where.against_why_not(family.why, group))
        step: float | None = 0.0
        if exact.value is not None:
            values = (family.value(group), family.value(base))
            step = joined_step((steps[group], steps[base]), values, kind)
        rate = family.method.estimator == "rate"
        low = 0.0 if kind == "ratio" else -1.0 if rate else -INFINITE
        bounds = (low, 1.0 if rate and kind == "difference" else INFINITE)
        yield _row(family, name, group, exact, kind=kind, step=step, bounds=bounds)


def _row(
    family: Family, name: tuple[str, str], group: int, exact: Estimate, *,
    kind: Literal["", "difference", "ratio"] = "", step: float | None, bounds: tuple[float, float],
) -> OutcomeRow:  # fmt: skip
    where = family.scene
    groups = [group, where.reference] if kind else [group]
    closed = bool(where.state.closed[[g for g in groups if g >= 0]].any())
    estimate, parts = shown(exact, step=step, bounds=bounds, scene=where, closed=closed)
    return OutcomeRow(
        metric=name[0], of=name[1], on=where.grouping.name, group=where.grouping.labels[group],
        reference=where.grouping.reference if kind else "", comparison=kind, unit=_unit(family.method, kind),
        estimate=estimate, parts=parts,
    )  # fmt: skip


def _step(family: Family, exact: Estimate, group: int) -> float | None:
    where = family.scene
    if exact.value is None:
        return 0.0
    if family.method.estimator == "quantile":
        found = family.parts[group]
        return quantile_step(where, found, exact, group) if isinstance(found, Quantile) else None
    return step_of(where, family.method, family.shares, group)


def _unit(method: Method, kind: str) -> OutcomeUnit:
    if kind == "ratio":
        return "ratio"
    if method.estimator != "rate":
        return "number"
    return "points" if kind else "rate"


def _without(where: Scene, reason: str) -> Estimate:
    return Estimate(value=None, level=where.settings.level, withheld=reason)


def _note(metric: str, method: Method) -> OutcomeNote:
    told = {name: getattr(method, name) for name in ("title", "formula", "zero", "one", "source")}
    return OutcomeNote(metric=metric, **told)


def _nothing(answers: Answers, groupings: Mapping[str, Grouping]) -> str:
    """Why the outcome cannot be assessed at all."""
    if not groupings and answers.kind == "ranking":
        return "the policy names no protected attribute"
    if not answers.counted.any():
        what = "a score" if answers.kind == "ranking" else "both a prediction and a true value"
        return f"no evaluation record has {what}"
    if answers.kind == "classes" and len(answers.classes) < 2:
        return "the records are of fewer than two classes that may be told"
    return ""


def _notes(answers: Answers, groupings: Mapping[str, Grouping], minimum: int) -> tuple[str, ...]:
    """What was left out, and what stands behind the intervals."""
    out = []
    left = int((~answers.counted).sum())
    lacking = "score" if answers.kind == "ranking" else "prediction or true value"
    if left:
        said = f"{left:,}" if left >= minimum else f"Fewer than {minimum}"
        out.append(f"{said} evaluation records have no {lacking}; they are left out.")
    if answers.unit != "records":
        out.append(f"Several records are of the same {answers.unit}; the intervals keep {answers.unit} whole.")
    if answers.weighted:
        out.append("Records count by their weights; n is the number of records.")
    if answers.kind == "ranking" and answers.lists is None:
        out.append(
            "All records are one list. Their places are taken as given: that a place won is one that another record "
            "loses is not in the intervals of the groups' own figures, which are too wide rather than too narrow."
        )
    out += _references(groupings.values())
    return tuple(out)


def _references(groupings: Iterable[Grouping]) -> Iterator[str]:
    for grouping in groupings:
        if not grouping.reference_stated:
            yield f"{grouping.name}: no reference is stated; the largest group, {grouping.reference}, stands in."
