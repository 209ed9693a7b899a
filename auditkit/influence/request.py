"""What a caller hands to the public door, checked and turned into the engine's problem and evaluation."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, DataError, ModelError, NumericsError, PolicyError
from auditkit.influence.measures import Evaluation, Measure, state_evaluation
from auditkit.influence.problem import Inputs, Loss, Problem, batches, pose
from auditkit.influence.refusals import check_module, check_saturation
from auditkit.influence.registry import EXACT_PARAMETERS

Rows: TypeAlias = tuple[Tensor | tuple[Tensor, ...], Tensor]
"""(inputs, targets): inputs are one tensor [N, ...] or a tuple of them, in the order in which the module takes them."""

Score: TypeAlias = Callable[[Tensor], Tensor]
"""outputs as the module gives them -> [B], differentiable."""

Measured: TypeAlias = Literal["loss"] | Score | Mapping[str, Literal["loss"] | Score]
"""One measure for all slices, or one for each by the slice's name."""

_PAIR = 2


def check_settings(*, removal: str, tolerance: float, measure: object, slices: Mapping[str, Rows]) -> None:
    """Refuse settings that are unknown or not supported, all at once, and a request without slices.

    Raises:
        PolicyError: names each wrong setting. DataError: there is no slice.
    """
    wrong = []
    if removal not in ("fixed", "renormalised"):
        wrong.append(f"removal {removal!r} is not known; there are 'fixed' and 'renormalised'")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        wrong.append(f"tolerance must be a finite number that is not negative, not {tolerance!r}")
    if measure == "score":
        wrong.append("measure 'score' needs to know the favourable score; give it as a callable (outputs) -> [B]")
    elif isinstance(measure, Mapping):
        wrong += _wrong_measures(measure, slices)
    elif measure != "loss" and not callable(measure):
        wrong.append(f"measure must be 'loss' or a callable (outputs) -> [B], not {measure!r}")
    if wrong:
        raise PolicyError([Complaint(text) for text in wrong])
    if not slices:
        raise DataError("there is no slice to measure influence on")


def _wrong_measures(measure: Mapping[object, object], slices: Mapping[str, Rows]) -> list[str]:
    wrong = []
    if set(measure) != set(slices):
        wrong.append(f"a measure by slice must name every slice and no other: {sorted(map(str, measure))}")
    bad = sorted(str(name) for name, one in measure.items() if one != "loss" and not callable(one))
    if bad:
        wrong.append(f"measures must be 'loss' or a callable (outputs) -> [B]; wrong for {', '.join(bad)}")
    return wrong


def device_of(device: str | torch.device, module: nn.Module) -> torch.device:
    """Where to compute; `auto` is where the module's parameters lie.

    Raises:
        PolicyError: the device is unknown, absent or without float64. ModelError: this is no module to compute with.
    """
    check_module(module)
    if device == "auto":
        return next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        found = torch.device(device)
        torch.zeros(1, dtype=torch.float64, device=found)
    except (RuntimeError, AssertionError, TypeError) as reason:
        raise PolicyError(f"device {device!r} cannot compute in float64 here: {reason}") from reason
    return found


@dataclass(frozen=True)
class Passes:
    """How the training rows are to be run, which depends on the estimator."""

    dtype: torch.dtype = torch.float64
    every_loss: bool = True
    """Whether the loss of every record is looked at before anything else; False where the scores' own pass does."""
    batch: int = 512


def passes_of(module: nn.Module, estimator: str) -> Passes:
    """Block estimators run a float32 module in float32, and look at every record's loss as they score it."""
    own = [p for p in module.parameters() if p.requires_grad]
    large = estimator == "auto" and sum(p.numel() for p in own) > EXACT_PARAMETERS
    if not large and estimator not in ("kfac", "ekfac"):
        return Passes()
    wide = any(p.dtype == torch.float64 for p in module.parameters())
    return Passes(torch.float64 if wide else torch.float32, every_loss=False, batch=1024)


def problem_of(
    module: nn.Module,
    loss: Loss,
    train: Rows,
    *,
    where: torch.device,
    weight_decay: float | Mapping[str, float],
    weights: Tensor | None,
    plan: Passes,
) -> Problem:
    """The posed problem on the device; see `problem.pose` for what it refuses.

    Raises:
        ModelError: also for a module or a loss that holds tensors of another precision.
    """
    inputs, targets = _rows("train", train, where)
    if any(p.device != where for p in module.parameters()):
        module = copy.deepcopy(module).to(where)
    try:
        return pose(
            module,
            loss,
            inputs,
            targets,
            weight_decay=weight_decay,
            weights=weights,
            dtype=plan.dtype,
            every_loss=plan.every_loss,
            batch=plan.batch,
        )
    except RuntimeError as reason:
        precision = str(plan.dtype).removeprefix("torch.")
        raise ModelError(
            Complaint(
                f"the module or the loss cannot be run in {precision} on the training records: {reason}",
                hint="tensors of their own must be buffers of the module, or follow the dtype of the outputs",
            )
        ) from reason


def _rows(name: str, rows: Rows, where: torch.device) -> tuple[Inputs, Tensor]:
    """Inputs as a tuple, and targets, on the device; refuses what is no pair of tensors with equally many rows."""
    given: object = rows
    pair = given if isinstance(given, (tuple, list)) and len(given) == _PAIR else (None, None)
    inputs = tuple(pair[0]) if isinstance(pair[0], (tuple, list)) else (pair[0],)
    tensors = [t for t in (*inputs, pair[1]) if isinstance(t, Tensor) and t.ndim]
    if len(tensors) != len(inputs) + 1:
        raise DataError(f"{name} must be (inputs, targets): a tensor or a tuple of tensors, and a tensor")
    lengths = [len(t) for t in tensors]
    if not lengths[-1] or len(set(lengths)) > 1:
        raise DataError(f"{name} is empty, or its inputs {lengths[:-1]} and targets {lengths[-1]} differ in rows")
    moved = [t.to(where) for t in tensors]
    return tuple(moved[:-1]), moved[-1]


def evaluation_of(problem: Problem, slices: Mapping[str, Rows], measure: Measured) -> Evaluation:
    """All slices' rows one below the other, and a mean over each slice's own rows.

    Raises:
        DataError: rows that do not fit one another or the training rows. PolicyError: a measure that is not per record.
    """
    where = problem.targets.device
    found = [_rows(f"slice {name!r}", rows, where) for name, rows in slices.items()]
    wanted = [(t.shape[1:], t.is_floating_point()) for t in (*problem.inputs, problem.targets)]
    for name, (inputs, targets) in zip(slices, found, strict=True):
        if [(t.shape[1:], t.is_floating_point()) for t in (*inputs, targets)] != wanted:
            raise DataError(f"inputs or targets of slice {name!r} differ in kind or shape from the training records'")
    inputs = tuple(torch.cat(parts) for parts in zip(*(rows for rows, _ in found), strict=True))
    lengths = torch.tensor([len(targets) for _, targets in found], device=where)
    owner = torch.repeat_interleave(torch.arange(len(found), device=where), lengths)
    by_slice = dict(measure) if isinstance(measure, Mapping) else dict.fromkeys(slices, measure)
    # One function for all slices is one quantity, evaluated once for each record.
    names = {id(one): f"measure of {name}" for name, one in reversed(by_slice.items()) if not isinstance(one, str)}
    others = {names[id(one)]: one for one in by_slice.values() if not isinstance(one, str)}
    measures = [
        Measure(name, names.get(id(by_slice[name]), "loss"), (owner == s).to(torch.float64) / lengths[s])
        for s, name in enumerate(slices)
    ]
    evaluation = state_evaluation(problem, inputs, torch.cat([aims for _, aims in found]), measures, others=others)
    for one in others.values():
        _check_score(problem, evaluation, one)
    _check_finite(problem, evaluation, list(slices))
    return evaluation


def _check_finite(problem: Problem, evaluation: Evaluation, names: list[str]) -> None:
    """Refuse slices some of whose records have outputs or losses that are not finite."""
    bad = []
    asked = "loss" in evaluation.quantities()
    with torch.no_grad():
        for _, inputs, targets in batches(evaluation.inputs, evaluation.targets, problem.batch):
            outputs = problem.outputs(inputs)
            losses = problem.losses(outputs, targets) if asked else outputs.sum(1)
            bad.append(~torch.isfinite(losses))
            if asked:
                check_saturation(problem, outputs, losses, "the slices' records")
    wrong = torch.cat(bad).to(torch.float64)
    counts = [int(((measure.weights != 0) * wrong).sum()) for measure in evaluation.measures]
    complaints = [
        Complaint(
            f"slice {name!r}: {'losses' if asked else 'outputs'} of {count:,} records are not finite",
            hint="their inputs or targets hold inf or NaN, or lie outside what the loss takes",
        )
        for name, count in zip(names, counts, strict=True)
        if count
    ]
    if complaints:
        raise NumericsError(complaints)


def _check_score(problem: Problem, evaluation: Evaluation, favourable: Score) -> None:
    rows = tuple(t[:2] for t in evaluation.inputs)
    given: object = favourable(problem.raw(problem.outputs(rows)))
    if not isinstance(given, Tensor) or given.shape != (len(rows[0]),):
        raise PolicyError(
            f"the measure must give one value per record, shape ({len(rows[0])},); "
            f"it gave {tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__}"
        )
