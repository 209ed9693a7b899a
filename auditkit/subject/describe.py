"""The facts of the data and of the model that the report's first pages print: counts, rates with intervals, recipe."""

from __future__ import annotations

import numpy as np

from auditkit.policy.schema import Policy
from auditkit.result import DataPart, Estimate, Fact, Measurement, ModelPart, SplitFacts
from auditkit.stats.intervals import wilson
from auditkit.subject.types import Check, Floats, Predictions, Slice, Split, Subject, Table

SPLITS: tuple[Split, ...] = ("train", "reserve", "evaluation")


def describe_data(policy: Policy, table: Table, slices: tuple[Slice, ...], checks: tuple[Check, ...]) -> DataPart:
    """Sizes, persons, favourable shares and every count made on reading; counts below the minimum cell are bands."""
    splits = tuple(
        _split_facts(table, split, level=policy.fairness.level) for split in SPLITS if (table.split == split).any()
    )
    minimum = policy.report.minimum_cell
    unknown = tuple(
        Check(f"slice {s.name}", s.unknown, "evaluation rows for which the filter is unknown (a missing value)")
        for s in slices
        if s.unknown
    )
    facts = tuple(
        Fact(name=check.name, value=f"{_count(check.count, minimum)} {check.text}")
        for check in (*table.checks, *checks, *unknown)
    )
    return DataPart(splits=splits, label_means=policy.data.label.means, checks=facts)


def describe_model(subject: Subject, predictions: Predictions, *, level: float) -> ModelPart:
    """What the model is and how often its decision agrees with the label, with a Wilson interval."""
    known = ~np.isnan(predictions.truth)
    agree = int((predictions.decision[known] == predictions.truth[known]).sum())
    accuracy = Measurement(
        measure="model.accuracy", estimate=wilson(events=agree, n=int(known.sum()), level=level), unit="rate"
    )
    return ModelPart(
        adapter=subject.adapter, kind=subject.kind, task="binary decision", threshold=subject.threshold,
        parameters=subject.parameters, measurements=(accuracy,),
        recipe=tuple(Fact(name=name, value=value) for name, value in subject.recipe),
    )  # fmt: skip


def _split_facts(table: Table, split: Split, *, level: float) -> SplitFacts:
    rows = table.rows(split)
    persons = None if table.persons is None else len(set(table.persons[rows].tolist()))
    label: Floats = table.label[rows]
    known = ~np.isnan(label)
    favourable: Estimate | None = None
    if known.any():
        favourable = wilson(events=int(label[known].sum()), n=int(known.sum()), level=level)
    missing = int(table.frame.iloc[rows].isna().to_numpy().sum())
    return SplitFacts(
        split=split, n=len(rows), persons=persons, favourable_share=favourable, missing_cells=missing
    )


def _count(count: int, minimum: int) -> str:
    return f"{count:,}" if count == 0 or count >= minimum else f"fewer than {minimum}"
