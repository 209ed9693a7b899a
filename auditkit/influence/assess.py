"""Which training records the model's treatment of slices, cases and group gaps rests on: the room's one door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from auditkit.bank.types import Bank
from auditkit.errors import DataError
from auditkit.influence import fidelity
from auditkit.influence.columns import Levels, describe
from auditkit.influence.composition import compose
from auditkit.influence.curvature import Curvature
from auditkit.influence.damping import Damping
from auditkit.influence.disclosure import Release, releases
from auditkit.influence.measures import Evaluation, measure_values, state_evaluation
from auditkit.influence.problem import Problem, pose
from auditkit.influence.quality import assess_quality
from auditkit.influence.registry import SOURCES, Choice, choose
from auditkit.influence.scoring import Scores, score
from auditkit.influence.targets import UNITS, Target, targets_of
from auditkit.result import InfluencePart, Quality, SliceInfluence
from auditkit.subject.types import Floats, Gradient, Ints, Slice, Subject, Table


@dataclass(frozen=True)
class InfluenceArrays:
    """The full scores, for other rooms and for restricted evidence; never public."""

    rows: Ints
    """[N] positions of the training records in the table."""
    names: tuple[str, ...]
    """[S] measures, in the order of the columns of `effects`."""
    kinds: tuple[str, ...]
    measures: tuple[str, ...]
    units: tuple[str, ...]
    effects: Floats
    """[N, S] predicted change of the measure if the record were removed and the model retrained."""
    self_influence: Floats
    """[N] predicted change of the record's own loss, nats; never below zero by more than rounding."""


@dataclass(frozen=True)
class Settings:
    """What a policy may set."""

    estimator: str = "auto"
    damping: Damping = "auto"
    compare: tuple[str, ...] = ()
    minimum_cell: int = 10
    minimum_group: int = 30
    level: float = 0.95
    fidelity_floor: float = -1.0


def assess(
    subject: Subject,
    table: Table,
    slices: Sequence[Slice],
    settings: Settings,
    *,
    bank: Bank | None = None,
    no_bank: str = "no models were retrained",
) -> tuple[InfluencePart, InfluenceArrays | None]:
    """Effect of every training record on every slice, case and group gap; self-influence; aggregates for the report.

    Args:
        subject: the audited model; without gradient access the part says `not-applicable` and why.
        table: rows, labels, weights and membership; training rows give N, evaluation rows M.
        slices: slices and cases over the evaluation rows, frozen under the audited model.
        settings: estimator, damping, columns to compare, smallest cells, floor of fidelity.
        bank: retrained models, on which fidelity is measured; None, and `no_bank` says why.

    Returns:
        The part of the result (aggregates only; cases appear as a count), and the arrays, None when there are none.
        Where fidelity lies below the floor the part is `withheld`; the arrays are there all the same.

    Raises:
        ModelError, NumericsError, DataError: see `problem.pose`, the estimators and `scoring.score`.
    """
    if subject.gradient is None:
        reason = subject.no_gradient_reason or "the model gives no gradients"
        return InfluencePart(status="not-applicable", reason=reason), None
    train, evaluation = table.rows("train"), table.rows("evaluation")
    known = np.isfinite(table.label[evaluation]).astype(np.float64)
    targets = targets_of(slices, table.groupings, evaluation, known, minimum=settings.minimum_group)
    if not targets:
        reason = "no slice or case has members, and no protected group reaches the minimum beside its reference"
        return InfluencePart(status="not-applicable", reason=reason), None
    run = _Run.of(subject.gradient, table, targets, settings)
    columns = describe(
        table.frame, table.label, table.groupings, train, compare=settings.compare, features=subject.features
    )
    persons = None if table.persons is None else pd.factorize(table.persons[train])[0].astype(np.int64)
    whose = None if table.persons is None else table.persons[evaluation]
    told = releases(targets, table.groupings, evaluation, whose, minimum=settings.minimum_cell)
    part, arrays = run.part(targets, told, columns, persons, settings), run.arrays(train, targets)
    measured = None if bank is None else fidelity.measure(arrays.effects, train, targets, bank, level=settings.level)
    return fidelity.enter(part, measured, targets, floor=settings.fidelity_floor, absent=no_bank), arrays


@dataclass(frozen=True)
class _Run:
    """One fitted and scored problem."""

    problem: Problem
    evaluation: Evaluation
    choice: Choice
    curvature: Curvature
    scores: Scores

    @staticmethod
    def of(gradient: Gradient, table: Table, targets: Sequence[Target], settings: Settings) -> _Run:
        train, rows = table.rows("train"), table.rows("evaluation")
        if not np.isfinite(table.label[train]).all():
            raise DataError("some training records have no label; influence needs the label of every training record")
        inputs, labels = gradient.tensors(table.frame.iloc[train], table.label[train])
        problem = pose(
            gradient.module,
            gradient.loss,
            inputs,
            labels,
            weight_decay=gradient.weight_decay,
            weights=torch.from_numpy(table.weights[train].astype(np.float64)),
        )
        # Rows without a label take part in no mean loss (their weight is zero), so any number may stand in for it.
        inputs, labels = gradient.tensors(table.frame.iloc[rows], np.nan_to_num(table.label[rows]))
        evaluation = state_evaluation(
            problem, inputs, labels, [t.as_measure(labels.device) for t in targets], gradient.favourable_score
        )
        choice = choose(problem, settings.estimator, settings.damping)
        curvature = choice.estimator.fit(problem)
        return _Run(problem, evaluation, choice, curvature, score(problem, curvature, evaluation))

    def arrays(self, train: Ints, targets: Sequence[Target]) -> InfluenceArrays:
        """Everything, record by record."""
        return InfluenceArrays(
            rows=train,
            names=tuple(t.name for t in targets),
            kinds=tuple(t.kind for t in targets),
            measures=tuple(t.measure for t in targets),
            units=tuple(UNITS[t.measure] for t in targets),
            effects=self.scores.effects.cpu().numpy(),
            self_influence=self.scores.self_influence.cpu().numpy(),
        )

    def part(
        self,
        targets: Sequence[Target],
        told: Sequence[Release],
        columns: Sequence[Levels],
        persons: Ints | None,
        settings: Settings,
    ) -> InfluencePart:
        """The aggregates."""
        values = measure_values(self.problem, self.evaluation).cpu().numpy()
        effects = self.scores.effects.cpu().numpy()
        public = [i for i, target in enumerate(targets) if target.kind != "case"]
        damping = self.curvature.damping.values()
        return InfluencePart(
            status="assessed",
            estimator=self.choice.name,
            why_estimator=self.choice.why,
            source=SOURCES[self.choice.name],
            damping=max(damping),
            weight_decay=_stated_penalty(self.problem),
            parameters=self.problem.layout.size,
            covered_share=self.curvature.covered / self.problem.layout.size,
            n_train=self.problem.n,
            slices=tuple(
                _slice_influence(
                    targets[i],
                    effects[:, i],
                    float(values[i]),
                    release=told[i],
                    columns=columns,
                    persons=persons,
                    settings=settings,
                )
                for i in public
            ),
            quality=(
                *assess_quality(
                    self.problem, self.curvature, self.evaluation, self.scores, minimum=settings.minimum_cell
                ),
                *_cases(len(targets) - len(public)),
            ),
        )


def _slice_influence(
    target: Target,
    effects: Floats,
    value: float,
    *,
    release: Release,
    columns: Sequence[Levels],
    persons: Ints | None,
    settings: Settings,
) -> SliceInfluence:
    """Aggregates of one measure; withheld when its slice, or a difference to another, is below the minimum cell."""
    few = bool(release.withheld)
    # A percentile with fewer than the minimum cell beyond it would come close to single records' values.
    deep = 0.01 * len(effects) >= settings.minimum_cell and not few
    high, low = (float(q) for q in np.quantile(effects, [0.99, 0.01]))
    count = int(np.ceil(0.01 * len(effects)))
    total = float(np.abs(effects).sum())
    top = float(np.sort(np.abs(effects))[-count:].sum())
    return SliceInfluence(
        name=target.name,
        kind=target.kind,
        why=target.why,
        where=target.where,
        n=target.n if release.count else None,
        measure=target.measure,
        unit=UNITS[target.measure],
        value=None if few else value,
        p99_raises=high if deep else None,
        p99_lowers=low if deep else None,
        share_in_top_1pct=top / total if deep and total > 0 else None,
        compositions=()
        if few
        else compose(effects, columns, persons=persons, minimum=settings.minimum_cell, level=settings.level),
        withheld=release.withheld,
    )


def _stated_penalty(problem: Problem) -> str:
    """The model's own L2 in words."""
    levels = sorted(set(problem.penalty.tolist()))
    if levels == [0.0]:
        return "none"
    if len(levels) == 1:
        return f"{levels[0]:g} on all parameters"
    shares = (f"{level:g} on {int((problem.penalty == level).sum()):,} parameters" for level in levels)
    return ", ".join(shares)


def _cases(count: int) -> tuple[Quality, ...]:
    if not count:
        return ()
    text = f"Single cases assessed: {count}; their results are restricted and not part of this report."
    return (Quality(name="cases", value=None, text=text),)
