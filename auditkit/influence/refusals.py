"""What the engine refuses before it computes anything, each with its reason.

Influence of a record is only defined when the objective is a sum over records. A loss that averages over the batch, or
a layer that mixes records (BatchNorm in training mode), breaks this without any error message from torch; scores come
out with a wrong scale or sign. Both are found here by running a few rows twice: together, apart and duplicated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from auditkit.errors import Complaint, ModelError, NumericsError
from auditkit.influence.problem import Problem

_PROBE_ROWS = 8


def check_training_mode(module: nn.Module) -> None:
    """Refuse layers that behave otherwise in training: BatchNorm, dropout.

    Raises:
        ModelError: names each such layer.
    """
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
        ModelError: outputs depend on the batch or on chance; the loss reduces over the batch.
        NumericsError: parameters, outputs or losses of some records are not finite.
    """
    bad = [name for name, p in problem.parameters().items() if not bool(torch.isfinite(p).all())]
    if bad:
        raise NumericsError(f"parameters are not finite: {', '.join(bad)}")
    rows = min(_PROBE_ROWS, len(problem.targets))
    inputs = tuple(t[:rows] for t in problem.inputs)
    with torch.no_grad():
        _check_independent(problem, inputs, rows)
        _check_loss(problem, problem.outputs(inputs), problem.targets[:rows])
        for at, batch, targets in problem.rows() if every_loss else ():
            losses = problem.loss(problem.raw(problem.outputs(batch)), targets)
            require_finite(losses, f"the loss of training records {at.start} to {at.stop - 1}")


def require_finite(values: Tensor, what: str) -> None:
    """Raise NumericsError with a count unless every value is finite."""
    wrong = int((~torch.isfinite(values)).sum())
    if wrong:
        raise NumericsError(f"{what}: {wrong} of {values.numel()} values are not finite")


def _check_independent(problem: Problem, inputs: tuple[Tensor, ...], rows: int) -> None:
    together = problem.outputs(inputs)
    try:
        apart = torch.cat([problem.outputs(tuple(t[i : i + 1] for t in inputs)) for i in range(rows)])
    except (ValueError, RuntimeError) as reason:
        raise ModelError(f"the module cannot be run on a single record: {reason}") from reason
    require_finite(together, "outputs of the first training records")
    if not torch.allclose(together, apart, rtol=_tolerance(problem), atol=_tolerance(problem)):
        raise ModelError(
            Complaint(
                "the outputs of a record depend on the other records of its batch, or on chance",
                hint="influence of single records is not defined for such a model",
            )
        )


def _check_loss(problem: Problem, outputs: Tensor, targets: Tensor) -> None:
    once = problem.loss(problem.raw(outputs), targets)
    if once.shape != (len(targets),):
        raise ModelError(
            Complaint(
                f"the loss must give one value per record, shape ({len(targets)},); it gave {tuple(once.shape)}",
                hint="use reduction='none' and reduce only over a record's own outputs",
            )
        )
    require_finite(once, f"the loss of training records 0 to {len(targets) - 1}")
    twice = problem.loss(problem.raw(torch.cat([outputs, outputs])), torch.cat([targets, targets]))
    tolerance = _tolerance(problem)
    if twice.shape != (2 * len(targets),) or not torch.allclose(
        twice, torch.cat([once, once]), rtol=tolerance, atol=tolerance
    ):
        raise ModelError(
            Complaint(
                "the loss of a record changes when the batch is duplicated, so it reduces over the batch",
                hint="use reduction='none' and do not divide by the number of records",
            )
        )


def _tolerance(problem: Problem) -> float:
    return 1e-8 if problem.dtype == torch.float64 else 1e-4
