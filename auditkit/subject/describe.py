"""The facts of the data and of the model that the report's first pages print: counts, rates with intervals, recipe."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.policy.schema import Policy
from auditkit.result import DataPart, Estimate, Fact, Measurement, ModelPart, SplitFacts
from auditkit.stats.intervals import critical, design_effect, wilson, wilson_bounds
from auditkit.stats.rounding import coarse_rate
from auditkit.subject.persons import person_codes, support
from auditkit.subject.types import Check, Floats, Mask, Predictions, Slice, Split, Subject, Table

EMPTY_SLICE: Final = "no evaluation record passes the filter: nothing is traced back from it"
SPLITS: tuple[Split, ...] = ("train", "reserve", "evaluation")


def describe_data(policy: Policy, table: Table, slices: tuple[Slice, ...], checks: tuple[Check, ...]) -> DataPart:
    """Sizes, persons, favourable shares and every count made on reading; counts below the minimum cell are bands."""
    minimum = policy.report.minimum_cell
    splits = tuple(
        _split_facts(table, split, level=policy.fairness.level, minimum=minimum)
        for split in SPLITS
        if (table.split == split).any()
    )
    unknown = tuple(
        Check(f"slice {s.name}", s.unknown, "evaluation rows for which the filter is unknown (a missing value)")
        for s in slices
        if s.unknown
    )
    facts = tuple(
        Fact(name=check.name, value=f"{_count(check.count, minimum)} {check.text}")
        for check in (*table.checks, *checks, *unknown)
    )
    empty = tuple(Fact(name=f"slice {s.name}", value=EMPTY_SLICE) for s in slices if s.kind == "slice" and not s.n)
    return DataPart(splits=splits, label_means=policy.data.label.means, checks=(*facts, *empty))


def describe_model(
    subject: Subject,
    predictions: Predictions,
    *,
    level: float,
    minimum: int = 10,
    persons: NDArray[np.object_] | None = None,
) -> ModelPart:
    """What the model is and how often its decision agrees with the label, with a Wilson interval.

    Accuracy is rounded where a cell of truth and decision holds fewer persons [M] than the minimum cell, as the
    fairness part does it: an exact figure beside its rounded rates would give those few away.
    """
    truth, decision = predictions.truth, predictions.decision
    known = ~np.isnan(truth)
    whose = None if persons is None else persons[known]
    estimate, parts = _rate(decision[known] == truth[known], whose, level=level), tuple[str, ...]()
    cells = [(truth == t) & (decision == d) for t in (0.0, 1.0) for d in (0.0, 1.0)]
    if min(support(cell, persons) for cell in cells) < minimum:
        estimate = coarse_rate(estimate, trials=int(known.sum()), minimum=minimum)
        parts = (f"rounded: a cell of truth and decision is below {minimum} persons",)
    accuracy = Measurement(measure="model.accuracy", estimate=estimate, unit="rate", parts=parts)
    return ModelPart(
        adapter=subject.adapter, kind=subject.kind, task="binary decision", threshold=subject.threshold,
        parameters=subject.parameters, measurements=(accuracy,),
        recipe=tuple(Fact(name=name, value=value) for name, value in subject.recipe),
    )  # fmt: skip


def _split_facts(table: Table, split: Split, *, level: float, minimum: int) -> SplitFacts:
    rows = table.rows(split)
    whose = None if table.persons is None else table.persons[rows]
    label: Floats = table.label[rows]
    known = ~np.isnan(label)
    favourable: Estimate | None = None
    if known.any():
        favourable = _rate(label[known] == 1.0, None if whose is None else whose[known], level=level)
        if min(support(label == state, whose) for state in (0.0, 1.0)) < minimum:
            favourable = coarse_rate(favourable, trials=int(known.sum()), minimum=minimum)
    missing = int(table.frame.iloc[rows].isna().to_numpy().sum())
    return SplitFacts(
        split=split, n=len(rows), persons=None if whose is None else len(set(whose.tolist())),
        favourable_share=favourable, missing_cells=None if 0 < missing < minimum else missing,
    )  # fmt: skip


def _rate(hits: Mask, persons: NDArray[np.object_] | None, *, level: float) -> Estimate:
    """Wilson's interval; where persons repeat, n is divided by the design effect, as in the fairness part."""
    exact = wilson(events=int(hits.sum()), n=len(hits), level=level)
    codes = None if persons is None else person_codes(persons)
    if codes is None or exact.value is None or codes.max(initial=-1) + 1 == len(hits):
        return exact
    records = np.bincount(codes)
    events = np.bincount(codes, weights=hits).astype(np.int64)
    effect = design_effect(events=events, trials=records, counts=np.ones_like(records))
    low, high = wilson_bounds(rate=exact.value, n=len(hits) / effect, z=critical(level))
    method = f"{exact.method}, n divided by the design effect {effect:.2f} of repeated persons"
    return exact.model_copy(update={"low": low, "high": high, "method": method})


def _count(count: int, minimum: int) -> str:
    return f"{count:,}" if count == 0 or count >= minimum else f"fewer than {minimum}"
