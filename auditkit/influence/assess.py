"""Which training records the model's treatment of slices, cases and group gaps rests on: the room's one door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from auditkit.bank.types import Bank
from auditkit.errors import DataError
from auditkit.influence import fidelity
from auditkit.influence.aggregates import cases, slice_influence, stated_penalty
from auditkit.influence.columns import Levels, describe
from auditkit.influence.damping import Damping
from auditkit.influence.disclosure import Release, releases
from auditkit.influence.measures import Evaluation, measure_values, state_evaluation
from auditkit.influence.problem import Problem, pose
from auditkit.influence.targets import UNITS, Target, targets_of
from auditkit.influence.unseen import Unseen
from auditkit.influence.ways import Found, NotAtHand, Rank, of_audited, of_bank, of_replay
from auditkit.pieces import Keep, Nothing, Under
from auditkit.processes import ALONE, Processes
from auditkit.result import InfluencePart
from auditkit.subject.inputs import inputs as inputs_of
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Ints, Slice, Subject, Table

_NOWHERE = Nothing()


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
    leverage: Floats | None = None
    """[N] share of the curvature that is the record's own; None where the estimator takes no record out of it."""
    reference: Floats | None = None
    """[K] self-influence that the reserve's records would have, had the model learned from them (`unseen`); None where
    there is no reserve with labels or the estimator has no way to it."""


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
    gain: Floats | None = None,
    keep: Keep = _NOWHERE,
    processes: Processes = ALONE,
) -> tuple[InfluencePart, InfluenceArrays | None]:
    """Effect of every training record on every slice, case and group gap; self-influence; aggregates for the report.

    Args:
        subject: the audited model; without gradient access the part says `not-applicable` and why.
        table: rows, labels, weights and membership; training rows give N, evaluation rows M.
        slices: slices and cases over the evaluation rows, frozen under the audited model.
        settings: estimator, damping, columns to compare, smallest cells, floor of fidelity.
        bank: retrained models, on which fidelity is measured; None, and `no_bank` says why.
        gain: [K] by how much the margin of each reserve record would rise if it were learned from; None: not known.
        keep: where finished sums and scores are left, and found by a run that goes on.
        processes: each holds a share of the training records; all of them assess, with the same arguments.

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
    try:
        run = _Run.of(
            subject, table, targets, settings, bank=bank, no_bank=no_bank, gain=gain, keep=keep, processes=processes
        )
    except NotAtHand as reason:
        return InfluencePart(status="not-applicable", reason=f"estimator {settings.estimator}: {reason}"), None
    columns = describe(
        table.frame, table.label, table.groupings, train, compare=settings.compare, features=subject.features
    )
    persons = None if table.persons is None else person_codes(table.persons[train])
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
    found: Found

    @staticmethod
    def of(
        subject: Subject,
        table: Table,
        targets: Sequence[Target],
        settings: Settings,
        *,
        bank: Bank | None,
        no_bank: str,
        gain: Floats | None,
        keep: Keep,
        processes: Processes,
    ) -> _Run:
        problem, evaluation = _posed(subject, table, targets, keep=keep, processes=processes)
        if settings.estimator == "ensemble":
            return _Run(problem, evaluation, of_bank(problem, evaluation, bank, settings.damping, no_bank=no_bank))
        if settings.estimator == "tracin":
            return _Run(problem, evaluation, of_replay(problem, evaluation, subject, table))
        scores = Under(keep, "scores")
        found = of_audited(
            problem,
            evaluation,
            settings.estimator,
            settings.damping,
            keep=scores,
            minimum=settings.minimum_cell,
            rank=_rank(bank, table.rows("train"), targets),
            unseen=_unseen(subject, table, gain),
        )
        return _Run(problem, evaluation, found)

    def arrays(self, train: Ints, targets: Sequence[Target]) -> InfluenceArrays:
        """Everything, record by record."""
        return InfluenceArrays(
            rows=train,
            names=tuple(t.name for t in targets),
            kinds=tuple(t.kind for t in targets),
            measures=tuple(t.measure for t in targets),
            units=tuple(UNITS[t.measure] for t in targets),
            effects=self.found.effects.cpu().numpy(),
            self_influence=self.found.self_influence.cpu().numpy(),
            leverage=None if self.found.leverage is None else self.found.leverage.cpu().numpy(),
            reference=None if self.found.reference is None else self.found.reference.cpu().numpy(),
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
        effects = self.found.effects.cpu().numpy()
        public = [i for i, target in enumerate(targets) if target.kind != "case"]
        return InfluencePart(
            status="assessed",
            estimator=self.found.name,
            why_estimator=self.found.why,
            source=self.found.source,
            damping=self.found.damping,
            weight_decay=stated_penalty(self.problem),
            parameters=self.problem.layout.size,
            covered_share=self.found.covered / self.problem.layout.size,
            n_train=self.problem.n,
            slices=tuple(
                slice_influence(
                    targets[i],
                    effects[:, i],
                    float(values[i]),
                    release=told[i],
                    columns=columns,
                    persons=persons,
                    minimum=settings.minimum_cell,
                    level=settings.level,
                )
                for i in public
            ),
            quality=(
                *self.found.quality,
                *cases(len(targets) - len(public)),
            ),
        )


def _rank(bank: Bank | None, train: Ints, targets: Sequence[Target]) -> Rank | None:
    """By which models for fitting a damping is chosen, if there are enough of them."""
    models = 0 if bank is None else int((~bank.plan.measuring).sum())
    if bank is None or models < fidelity.FEWEST:
        return None
    return Rank(lambda effects: fidelity.on_fitting(effects, train, targets, bank), models)


def _unseen(subject: Subject, table: Table, gain: Floats | None) -> Unseen | None:
    """The reserve's records, where there are any and all have labels."""
    rows, gradient = table.rows("reserve"), subject.gradient
    if gradient is None or not len(rows) or not np.isfinite(table.label[rows]).all():
        return None
    inputs, labels = gradient.tensors(table.frame.iloc[rows], table.label[rows])
    return Unseen(inputs, labels, gain)


def _posed(
    subject: Subject, table: Table, targets: Sequence[Target], *, keep: Keep, processes: Processes
) -> tuple[Problem, Evaluation]:
    """The audited model with its training rows, and the evaluation rows with the measures."""
    gradient = subject.gradient
    assert gradient is not None  # noqa: S101 - `assess` has answered for a model without gradients
    train, rows = table.rows("train"), table.rows("evaluation")
    if not np.isfinite(table.label[train]).all():
        raise DataError("some training records have no label; influence needs the label of every training record")
    train = train[processes.share(len(train))]
    inputs, labels = gradient.tensors(inputs_of(subject, table, train), table.label[train])
    problem = pose(
        gradient.module,
        gradient.loss,
        inputs,
        labels,
        weight_decay=gradient.weight_decay,
        weights=torch.from_numpy(table.weights[train].astype(np.float64)),
        processes=processes,
        keep=Under(keep, "factors"),
    )
    # Rows without a label take part in no mean loss (their weight is zero), so any number may stand in for it.
    inputs, labels = gradient.tensors(inputs_of(subject, table, rows), np.nan_to_num(table.label[rows]))
    evaluation = state_evaluation(
        problem, inputs, labels, [t.as_measure(labels.device) for t in targets], gradient.favourable_score
    )
    return problem, evaluation
