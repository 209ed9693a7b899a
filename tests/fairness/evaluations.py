"""Small evaluation sets with known cells, and the way a test reads a FairnessPart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from auditkit.fairness.assess import assess
from auditkit.policy.schema import FairnessSettings, Rule
from auditkit.result import Estimate, FairnessPart, Group, Measurement
from auditkit.subject.types import Grouping, Predictions

Counts = tuple[int, int, int, int]
"""TN, FP, FN, TP."""


def rows(counts: Mapping[str, Counts]) -> tuple[np.ndarray, Predictions]:
    """Group label of every row, and the predictions, for these cells."""
    label, truth, decision = [], [], []
    for group, cells in counts.items():
        for cell, n in enumerate(cells):
            label += [group] * n
            truth += [float(cell // 2)] * n
            decision += [float(cell % 2)] * n
    return np.array(label), predictions(truth=truth, decision=decision)


def predictions(*, truth: Sequence[float], decision: Sequence[float]) -> Predictions:
    return Predictions(
        decision=np.array(decision, dtype=float),
        score=None,
        truth=np.array(truth, dtype=float),
        loss=None,
        loss_train=None,
        loss_reserve=None,
    )


def grouping(
    name: str, values: Sequence[object], *, labels: Sequence[str], reference: str, of: tuple[str, ...] = ()
) -> Grouping:
    order = list(labels)
    codes = np.array([order.index(str(v)) if str(v) in order else -1 for v in values], dtype=np.int64)
    return Grouping(name=name, labels=tuple(labels), codes=codes, reference=reference, reference_stated=True, of=of)


def part(
    groupings: Sequence[Grouping],
    answers: Predictions,
    *,
    persons: np.ndarray | None = None,
    minimum_cell: int = 10,
    seed: int = 0,
    rules: Sequence[Rule] = (),
    **settings: float,
) -> FairnessPart:
    return assess(
        groupings={g.name: g for g in groupings},
        predictions=answers,
        persons=persons,
        settings=FairnessSettings(**{"replicates": 2_000, **settings}),
        minimum_cell=minimum_cell,
        generator=np.random.default_rng(seed),
        rules=rules,
    )


def of_cells(
    counts: Mapping[str, Counts], *, reference: str, labels: Sequence[str] | None = None, **options: float
) -> FairnessPart:
    """One attribute `sex` with these cells; groups not named in `labels` are unknown."""
    values, answers = rows(counts)
    own = grouping("sex", values, labels=labels or list(counts), reference=reference)
    return part([own], answers, **options)


def measured(found: FairnessPart, measure: str, group: str, on: str = "sex") -> Measurement:
    rows_ = [m for m in found.measurements if (m.measure, m.on, m.group) == (f"fairness.{measure}", on, group)]
    assert len(rows_) == 1, f"{len(rows_)} rows of {measure} for {group!r}"
    return rows_[0]


def estimate(found: FairnessPart, measure: str, group: str, on: str = "sex") -> Estimate:
    return measured(found, measure, group, on).estimate


def group_row(found: FairnessPart, group: str, on: str = "sex", *, unknown: bool = False) -> Group:
    rows_ = [g for g in found.groups if (g.on, g.group) == (on, group) and (g.status == "unknown") == unknown]
    assert len(rows_) == 1
    return rows_[0]
