"""What the engine refuses before it computes anything, each with its reason.

Influence of a record is only defined when the objective is a sum over records. A loss that averages over the batch, or
a layer that mixes records (BatchNorm in training mode), breaks this without any error message from torch; scores come
out with a wrong scale or sign. Both are found here by running a few rows several times: together, apart and duplicated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from auditkit.errors import Complaint, ModelError, NumericsError
from auditkit.influence.diagnosis import UNUSABLE, first_line, shape_hint
from auditkit.influence.jacobian import parameter_gradients
from auditkit.influence.links import saturated
from auditkit.influence.problem import Problem, rounding

_LinAlgError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
_PROBE_ROWS = 8
_LOSS_ROWS = 32


def check_module(module: nn.Module) -> None:
    """Refuse what is no module that can be copied and differentiated, and layers that behave otherwise in training.

    Raises:
        ModelError: names each such layer or parameter.
    """
    given: object = module
    if not isinstance(given, nn.Module):
        raise ModelError(
            Complaint(f"the model must be a torch.nn.Module, not {type(given).__name__}", hint="wrap a function in one")
        )
    _check_written(module)
    _check_training_mode(module)


def _check_written(module: nn.Module) -> None:
    """Refuse wrappers, compiled code, and parameters that are not numbers yet or not real."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    if any(isinstance(layer, parallel) for layer in module.modules()):
        raise ModelError(
            Complaint("the module is wrapped for several devices (DataParallel)", hint="hand over module.module")
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            Complaint("the module was compiled by torch.jit", hint="hand over the module as it is written in Python")
        )
    lazy = [name for name, p in module.named_parameters() if is_lazy(p)]  # type: ignore[redundant-expr]
    if lazy:
        raise ModelError(
            Complaint(
                f"lazy layers have no parameters yet: {', '.join(lazy)}",
                hint="run the module on some records, and train it, before it is audited",
            )
        )
    imaginary = [name for name, p in module.named_parameters() if p.is_complex()]
    if imaginary:
        raise ModelError(
            Complaint(
                f"parameters are complex: {', '.join(imaginary)}",
                hint="state them as real and imaginary parts (torch.view_as_real)",
            )
        )


def _check_training_mode(module: nn.Module) -> None:
    """Refuse layers that behave otherwise in training: BatchNorm, dropout."""
    live = [
        name
        for name, layer in module.named_modules()
        if layer.training and isinstance(layer, (_BatchNorm, _DropoutNd, nn.AlphaDropout))
    ]
    if live:
        raise ModelError(
            Complaint(
                f"layers in training mode mix records or draw at random: {', '.join(live)}",
                hint="call module.eval() on the model that is audited",
            )
        )


def check_posed(problem: Problem, *, every_loss: bool = True) -> None:
    """Refuse parameters and losses that are not finite, records that are coupled, and a loss that is not per record.

    Without `every_loss` only a few records' losses are looked at, and the caller must refuse the others' himself.

    Raises:
        ModelError: outputs depend on the batch or on chance, or not on the parameters; the loss mixes records.
        NumericsError: parameters, outputs or losses of some records are not finite.
    """
    bad = [name for name, p in problem.parameters().items() if not bool(torch.isfinite(p).all())]
    if bad:
        raise NumericsError(f"parameters are not finite: {', '.join(bad)}")
    rows = min(_PROBE_ROWS, len(problem.targets))
    inputs = tuple(t[:rows] for t in problem.inputs)
    with torch.no_grad():
        _check_independent(problem, inputs, rows)
        _check_differentiable(problem, inputs)
        once = _check_loss(problem)
        if not every_loss:
            require_finite(once, f"the loss of {len(once)} training records of {len(problem.targets)}")
        for at, batch, targets in problem.rows() if every_loss else ():
            outputs = problem.outputs(batch)
            losses = problem.losses(outputs, targets)
            where = f"training records {at.start} to {at.stop - 1}"
            require_finite(losses, f"the loss of {where}")
            check_saturation(problem, outputs, losses, where)


def check_saturation(problem: Problem, outputs: Tensor, losses: Tensor, where: str) -> None:
    """Refuse records whose probability is 0 or 1 to rounding, against their label, so that its slope is lost.

    Args:
        problem: the posed problem. outputs: [B, C] canonical. losses: [B] theirs. where: which records these are.

    Raises:
        ModelError: there are such records.
    """
    lost = saturated(problem.link, problem.raw(outputs)) & (losses > 1)
    if bool(lost.any()):
        raise ModelError(
            Complaint(
                f"{int(lost.sum())} of {where} have a probability so close to 0 or 1, against their label, that its "
                "slope is lost to rounding",
                hint="end the module in logits, and use losses.binary() or BCEWithLogitsLoss(reduction='none')",
            )
        )


def require_finite(values: Tensor, what: str) -> None:
    """Raise NumericsError with a count unless every value is finite."""
    wrong = int((~torch.isfinite(values)).sum())
    if wrong:
        raise NumericsError(f"{what}: {wrong} of {values.numel()} values are not finite")


@contextmanager
def explained(problem: Problem) -> Iterator[None]:
    """Where a computation gives no usable number, name the records whose derivatives are not finite, if there are any.

    A curvature with one such record in it looks merely indefinite, and no damping mends it.

    Raises:
        NumericsError: in place of a decomposition that failed, or of an error without these records.
    """
    try:
        yield
    except (NumericsError, _LinAlgError) as reason:
        bad = _without_gradient(problem)
        if bad:
            raise NumericsError(_of_records(problem, bad)) from reason
        if isinstance(reason, NumericsError):
            raise
        raise NumericsError(
            Complaint(
                f"the curvature cannot be decomposed: {first_line(reason)}", hint="set the damping to a larger number"
            )
        ) from reason


def _of_records(problem: Problem, bad: list[int]) -> Complaint:
    first = bad[0]
    held = [t for t in problem.inputs if t.is_floating_point() and not bool(torch.isfinite(t[first]).all())]
    why = "its inputs hold inf or NaN" if held else "its inputs are finite, so an operation of the module overflows"
    count = "a training record" if len(bad) == 1 else f"{len(bad):,} training records or more"
    return Complaint(
        f"the derivatives of the outputs of {count} are not finite; the first is record {problem.start + first} "
        f"(counted from 0): {why}",
        hint="mend or leave out such records before the model is trained and audited",
    )


def _without_gradient(problem: Problem) -> list[int]:
    """Positions of up to 8 records here of whose outputs some derivative in the parameters is not finite."""
    bad: list[int] = []
    spans = [(start, min(start + problem.batch, len(problem.targets))) for start in
             range(0, len(problem.targets), max(1, problem.batch))]  # fmt: skip
    while spans and len(bad) < _PROBE_ROWS:
        start, stop = spans.pop(0)
        inputs = tuple(t[start:stop] for t in problem.inputs)
        probes = torch.ones(stop - start, problem.classes, 1, dtype=torch.float64, device=problem.targets.device)
        found = parameter_gradients(problem, inputs, probes)
        if all(bool(torch.isfinite(part).all()) for part in found.values()):
            continue
        middle = (start + stop) // 2
        if stop - start == 1:
            bad.append(start)
        else:
            spans = [(start, middle), (middle, stop), *spans]
    return bad


def _check_independent(problem: Problem, inputs: tuple[Tensor, ...], rows: int) -> None:
    given = tuple(t.clone() for t in inputs)
    together = problem.outputs(given)
    if any(not torch.equal(t.nan_to_num(), own.nan_to_num()) for t, own in zip(given, inputs, strict=True)):
        raise ModelError(
            Complaint("the module changes its inputs in place", hint="write x = x * 2 rather than x *= 2 in forward")
        )
    try:
        apart = torch.cat([problem.outputs(tuple(t[i : i + 1] for t in inputs)) for i in range(rows)])
    except UNUSABLE as reason:
        raise ModelError(f"the module cannot be run on a single record: {first_line(reason)}") from reason
    require_finite(together, "outputs of the first training records")
    if apart.shape != together.shape or not torch.allclose(
        together, apart, rtol=rounding(problem.dtype), atol=rounding(problem.dtype)
    ):
        raise ModelError(
            Complaint(
                "the outputs of a record depend on the other records of its batch, or on chance",
                hint="influence of single records is not defined for such a model",
            )
        )


def _check_differentiable(problem: Problem, inputs: tuple[Tensor, ...]) -> None:
    """Refuse a module of which autograd takes no gradient in any trained parameter."""
    probes = torch.ones(len(inputs[0]), problem.classes, 1, dtype=torch.float64, device=problem.targets.device)
    moving = {name: p.clone().requires_grad_() for name, p in problem.parameters().items()}
    try:
        with torch.enable_grad():
            attached = problem.outputs(inputs, moving).requires_grad
        if attached:
            parameter_gradients(problem, inputs, probes)
    except UNUSABLE as reason:
        raise ModelError(
            Complaint(
                f"the outputs cannot be differentiated in the parameters: {first_line(reason)}",
                hint="operations that write in place must not change what an earlier one needs; copy before writing",
            )
        ) from reason
    if not attached:
        raise ModelError(
            Complaint(
                "the outputs do not depend on the trained parameters through differentiable operations",
                hint="forward must not run under torch.no_grad or inference_mode, nor detach, round or take an argmax",
            )
        )


def _check_loss(problem: Problem) -> Tensor:
    """Compare the loss of records spread over all rows: together, each alone, in reverse and twice over; gives it."""
    n = len(problem.targets)
    rows = torch.linspace(0, n - 1, min(_LOSS_ROWS, n), device=problem.targets.device).round().to(torch.int64)
    outputs = problem.outputs(tuple(t[rows.to(t.device)] for t in problem.inputs))
    targets = problem.targets[rows]
    once = problem.losses(outputs, targets)
    if once.shape != (len(targets),):
        hint = "use reduction='none' and reduce only over a record's own outputs"
        if once.ndim > 1 and len(once) == once.shape[1] == len(targets):
            hint = f"outputs and targets are spread over each other; {shape_hint(problem.raw(outputs), targets)}"
        raise ModelError(
            Complaint(
                f"the loss must give one value per record, shape ({len(targets)},); it gave {tuple(once.shape)}",
                hint=hint,
            )
        )
    twice = problem.losses(torch.cat([outputs, outputs]), torch.cat([targets, targets]))
    if not _alike(problem, twice, torch.cat([once, once])):
        raise ModelError(
            Complaint(
                "the loss of a record changes when the batch is duplicated, so it reduces over the batch",
                hint="use reduction='none' and do not divide by the number of records",
            )
        )
    alone = [problem.losses(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(targets))]
    if any(one.shape != (1,) for one in alone):
        raise ModelError(
            Complaint(
                f"the loss of a single record must have the shape (1,); it has {tuple(alone[0].shape)}",
                hint="squeeze the dimension of outputs only: .squeeze(-1)",
            )
        )
    back = problem.losses(outputs.flip(0), targets.flip(0)).flip(0)
    if not _alike(problem, torch.cat(alone), once) or not _alike(problem, back, once):
        raise ModelError(
            Complaint(
                "the loss of a record is another one alone than in a batch, so it mixes records or draws at random",
                hint="a record's loss may depend on its own outputs and target only: give class shares, centres and "
                "scales as constants of the whole training set, and outputs and targets the same shape",
            )
        )
    return once


def _alike(problem: Problem, values: Tensor, wanted: Tensor) -> bool:
    tolerance = rounding(problem.dtype)
    return values.shape == wanted.shape and torch.allclose(
        values, wanted, rtol=tolerance, atol=tolerance, equal_nan=True
    )
