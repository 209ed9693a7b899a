"""One run over a table, from its settings to its result: know it, fit the curvature, score it, sum up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, PolicyError
from auditkit.influence.attribution import unit_of
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.curvature import Curvature
from auditkit.influence.damping import Damping
from auditkit.influence.decay import weight_decay
from auditkit.influence.measures import Evaluation, measure_values
from auditkit.influence.problem import Loss, Problem
from auditkit.influence.quality import coverage, from_optimum, left_out_of
from auditkit.influence.refusals import explained
from auditkit.influence.registry import ESTIMATORS, SOURCES, choose
from auditkit.influence.renormalised import RemovalForm, renormalise
from auditkit.influence.request import Measured, Rows, device_of, evaluation_of, passes_of, problem_of
from auditkit.influence.settling import RECORDS, settle
from auditkit.influence.sharing import shared
from auditkit.influence.sizes import order_row
from auditkit.influence.streaming.encoding import Reader, Records
from auditkit.influence.streaming.fitting import on_all, settled, taken
from auditkit.influence.streaming.folder import Folder, key_of
from auditkit.influence.streaming.outcome import TableAttribution, columns_of
from auditkit.influence.streaming.passing import Pass, Progress, together
from auditkit.influence.streaming.sampling import draw
from auditkit.influence.streaming.scorer import Scorer
from auditkit.influence.streaming.sheets import SELF, Layout, writing
from auditkit.influence.streaming.streamed import PASSES, streamed
from auditkit.processes import Processes
from auditkit.result import Quality

_HEAD = 512
_OWN_UNIT = "change of the record's own loss, in the unit of the loss (nats for a log-likelihood)"
_REMOVAL: Mapping[str, str] = {
    "fixed": "Removal form fixed: the other records keep weight 1/N.",
    "renormalised": "Removal form renormalised: the mean is taken over the remaining N - 1 records.",
}


@dataclass(frozen=True)
class Settings:
    """What the caller chose; see `door.attribute_table`."""

    estimator: str
    damping: Damping
    weight_decay: float | Mapping[str, float]
    removal: RemovalForm
    measure: Measured
    tolerance: float
    fit_records: int | None
    rows_per_batch: int
    rows_per_shard: int
    top: int
    identifier: str | None
    device: str | torch.device

    def check(self) -> None:
        """Refuse settings that are unknown or not supported, all at once.

        Raises:
            PolicyError: names each wrong setting.
        """
        wrong = []
        known = ("auto", *sorted(ESTIMATORS))
        if self.estimator not in known:
            wrong.append(
                f"no influence estimator for tables is called {self.estimator!r}; there are {', '.join(known)}"
            )
        elif self.fit_records is None and self.estimator not in PASSES:
            wrong.append(
                f"estimator {self.estimator!r} cannot be fitted in passes; give fit_records, or one of {PASSES}"
            )
        least = {"rows_per_batch": 1, "rows_per_shard": 1, "top": 1, "fit_records": 2}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < smallest):
                wrong.append(f"{name} must be a whole number of at least {smallest}, not {value!r}")
        if wrong:
            raise PolicyError([Complaint(text) for text in wrong])

    def words(self, processes: Processes, device: torch.device) -> dict[str, Any]:
        """What the bytes of a run depend on, beside model and records."""
        names = (
            "estimator",
            "damping",
            "removal",
            "tolerance",
            "fit_records",
            "rows_per_batch",
            "rows_per_shard",
            "top",
        )
        chosen = {name: getattr(self, name) for name in names}
        return {**chosen, "identifier": self.identifier, "processes": processes.size, "device": str(device)}

    def posed(self, module: nn.Module, loss: Loss, records: Records, where: torch.device) -> Problem:
        """The problem on some records of the table."""
        return problem_of(
            module,
            loss,
            (records.inputs, records.targets),
            where=where,
            weight_decay=self.weight_decay,
            weights=records.weights,
            plan=passes_of(module, self.estimator),
        )

    def unit(self, name: str) -> str:
        """Of a slice's scores."""
        return unit_of(self.measure[name] if isinstance(self.measure, Mapping) else self.measure)


@dataclass(frozen=True)
class Fitted:
    """The curvature that scores rest on."""

    curvature: Curvature
    pull: Tensor | None
    quality: tuple[Quality, ...]


def run(
    module: nn.Module,
    loss: Loss,
    reader: Reader,
    slices: Mapping[str, Rows],
    settings: Settings,
    *,
    out: Path,
    generator: torch.Generator,
    processes: Processes,
) -> TableAttribution:
    """All of it; see `door.attribute_table` for what may be raised."""
    table = reader.table
    where = device_of(settings.device, module)
    first = reader.head(_HEAD)
    reader = replace(reader, form=first.form)

    def posed(records: Records) -> Problem:
        return settings.posed(module, loss, records, where)

    problem = posed(first)
    evaluation = evaluation_of(problem, slices, settings.measure)
    drawn = draw(table.rows, settings.fit_records or RECORDS, generator)
    # Read by one process for all: the same bytes give the same digest everywhere.
    digest = processes.same(table.digest() if processes.first else "")
    folder = Folder(out, key_of(problem, evaluation, digest, settings.words(processes, where), drawn))
    layout = Layout.of(
        {name: settings.unit(name) for name in slices}, _OWN_UNIT, _field(table.schema, settings.identifier), folder.key
    )
    folder.open(processes)
    with writing(out):
        sample = shared(posed(taken(reader, drawn, processes, folder.pieces)), processes)
        fitted, scorer = _prepared(sample, evaluation, reader, settings, folder)
        passing = Pass(replace(sample, total=table.rows), scorer, reader, folder, layout, processes, settings.top)
        progress = together(passing.run(), processes)
        found = _result(problem, passing, settings, fitted, progress)
        if processes.first:
            folder.summarise(found.summary())
    processes.meet()
    return found


def _prepared(
    sample: Problem, evaluation: Evaluation, reader: Reader, settings: Settings, folder: Folder
) -> tuple[Fitted, Scorer]:
    """The curvature, from the sample or from passes over the table, and what scores a part with it."""
    n, fitting = reader.table.rows, replace(sample, keep=folder.pieces)
    if settings.fit_records is None:
        fitting = streamed(sample, reader, sample.processes, folder.pieces, folder.path)
    with explained(sample):
        fitted = fit(fitting, sample, evaluation, settings, folder, n=n)
    whole = replace(sample, total=n)
    scorer = Scorer.of(
        whole, fitted.curvature, evaluation, pull=fitted.pull, tolerance=settings.tolerance, top=settings.top
    )
    return fitted, scorer


def fit(
    problem: Problem, sample: Problem, evaluation: Evaluation, settings: Settings, folder: Folder, *, n: int
) -> Fitted:
    """The curvature, and what is to be said of it; sums that an earlier sitting finished are read.

    Args:
        problem: what it is fitted on. sample: some records in memory, on which passes are tried.
        evaluation, settings, folder: of the run. n: N of the table.
    """
    choice = choose(problem, settings.estimator, settings.damping)
    estimator = on_all(choice.estimator, problem.n)
    curvature = estimator.fit(problem)
    if isinstance(curvature, BlockCurvature):
        curvature = replace(curvature, problem=sample)
    curvature, damping = settle(sample, curvature, settings.damping, drawn=sample.n < n)
    rests = settled(problem, estimator, curvature, evaluation, settings.damping, n=n, keep=folder.pieces)
    pull = None
    if settings.removal == "renormalised":
        curvature, pull = renormalise(replace(problem, total=n), curvature)
    why = choice.why if settings.estimator == "auto" else "Named by the caller."
    quality = (
        Quality(name="estimator", value=None, text=f"{choice.name}. {why} Source: {SOURCES[choice.name]}."),
        *choice.quality,
        damping,
        coverage(problem, curvature),
        rests,
    )
    return Fitted(curvature, pull, quality)


def _result(
    problem: Problem, passing: Pass, settings: Settings, fitted: Fitted, progress: Progress
) -> TableAttribution:
    evaluation, reader, scorer = passing.scorer.evaluation, passing.reader, passing.scorer
    names, n = [measure.name for measure in evaluation.measures], reader.table.rows
    named = [*((name, settings.unit(name)) for name in names), (SELF, _OWN_UNIT)]
    *slices, own = columns_of(progress.tally, n, named, lambda rows: _identifiers(reader, settings, rows))
    gradient = progress.gradient + problem.penalty * problem.flat()
    return TableAttribution(
        shards=tuple(passing.folder.shard(k) for k in range(-(-n // reader.shard))),
        records=n,
        slices=tuple(slices),
        self_influence=own,
        values=measure_values(problem, evaluation).cpu(),
        quality=(
            *fitted.quality,
            *from_optimum(fitted.curvature, gradient, progress.length / n),
            weight_decay(passing.problem, gradient),
            *scorer.quality(),
            *(() if progress.check is None else (progress.check.quality(n),)),
            *left_out_of(n, progress.capped, 0),
            *fitted.curvature.quality(),
            order_row(),
            Quality(name="removal", value=None, text=_REMOVAL[settings.removal]),
        ),
    )


def _identifiers(reader: Reader, settings: Settings, rows: list[int]) -> dict[int, Any]:
    if settings.identifier is None:
        return {}
    return reader.table.look_up(settings.identifier, rows, reader.size)


def _field(schema: Any, identifier: str | None) -> Any | None:
    return None if identifier is None else schema.field(identifier)
