"""Per-record losses, each the negative log-likelihood of a distribution, in nats: `loss(outputs, targets) -> [B]`.

    from auditkit.influence import attribute, losses
    attribute(module, losses.poisson(), (inputs, counts), slices, weight_decay=1e-3)

Any other callable of this shape that is convex in the outputs does as well. With z a record's outputs:

    binary    −log sigmoid((2y − 1) z)               link logit      r = p − y       W = p (1 − p)
    softmax   log sum_c exp z_c − z_y                link softmax    r = p − e_y     W = diag p − p pᵀ
    gaussian  (z − y)² / 2s² + log(s sqrt(2 pi))     link identity   r = (z − y)/s²  W = 1/s²
    poisson   exp z − y z + log y!                   link log        r = exp z − y   W = exp z

r and W are the first and second derivatives in z. Records with several outputs (labels, positions of a sequence) sum
over them. Constants are kept, so that a mean loss is a negative log-likelihood; no score depends on them.

All links are canonical: W does not depend on the target, so the generalised Gauss–Newton matrix of these losses is the
Fisher information of the model's own distribution (Martens 2020, section 9).
With class weights W is multiplied by the weight of the record's class: still the Hessian in the outputs, which is what
removal needs, and no longer the Fisher information of any distribution.

Class weights here are part of the loss. They count in training, in the slices' mean losses and in self-influence, and
F divides by N; torch's `CrossEntropyLoss(weight=...)` divides a batch by its sum of weights, which is the same F only
where the weights average 1 (`balanced` does). To weigh training alone and to measure slices in plain nats, give
`losses.of_records(targets, class_weights)` to `attribute` as `sample_weight`.

A target outside the loss's domain (a label that is neither 0 nor 1 nor between, a negative count) gives NaN, which the
engine refuses with the number of records; nothing is looked at on the way, so that no value leaves the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from auditkit.errors import DataError

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LABELS = 2

RecordFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class RecordLoss:
    """A per-record loss that says what it is; called as `loss(outputs, targets) -> [B]`, and picklable."""

    name: str
    formula: str
    link: str
    """What turns outputs into the distribution's parameter."""
    fisher: bool
    """Whether the generalised Gauss–Newton matrix is the Fisher information of the model's distribution."""
    function: RecordFunction
    unit: str = "nats"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[B] nats, no reduction over records."""
        return self.function(outputs, targets)


def binary(*, class_weights: Sequence[float] | None = None) -> RecordLoss:
    """Binary cross-entropy with one logit: outputs [B] or [B, 1], targets [B] of 0 and 1 (or shares between them).

        −w_1 y log p − w_0 (1 − y) log(1 − p),   p = sigmoid(z)

    With outputs and targets [B, K] it sums over K labels of a record.

    Args:
        class_weights: (w_0, w_1), of the two labels; None is ones.

    Raises:
        DataError: weights that are not two finite numbers above zero.
    """
    weights = _class_weights(class_weights, count=_LABELS)
    return RecordLoss("binary", "-log sigmoid((2y - 1) z)", "logit", weights is None, partial(_binary, weights=weights))


def softmax(*, class_weights: Sequence[float] | None = None) -> RecordLoss:
    """Multi-class cross-entropy: outputs [B, C] (or [B, ..., C]), targets [B] (or [B, ...]) of classes 0 to C − 1.

        w_y (log sum_c exp z_c − z_y)

    Args:
        class_weights: [C] by class; None is ones.

    Raises:
        DataError: weights that are not finite numbers above zero.
    """
    weights = _class_weights(class_weights, count=None)
    return RecordLoss(
        "softmax", "log sum_c exp z_c - z_y", "softmax", weights is None, partial(_softmax, weights=weights)
    )


def gaussian(*, scale: float | Sequence[float] = 1.0) -> RecordLoss:
    """Squared loss of a Gaussian with known standard deviation: outputs and targets [B] or [B, C], summed over C.

        (z − y)² / 2s² + log(s sqrt(2 pi))

    The scale decides how the loss weighs against the L2: least squares ½(z − y)² with penalty lambda is scale 1. A
    scale that is estimated changes with the records and belongs among the model's outputs, with a loss of one's own.

    Args:
        scale: s, in the unit of the target; one for each output, or one for all.

    Raises:
        DataError: a scale that is not finite and above zero.
    """
    scales = (float(scale),) if isinstance(scale, (int, float)) else tuple(float(s) for s in scale)
    if not scales or any(not 0 < s < math.inf for s in scales):
        raise DataError(f"the scale of a Gaussian must be finite and above zero, not {scale!r}")
    formula = "(z - y)^2 / 2 s^2 + log(s sqrt(2 pi))"
    return RecordLoss("gaussian", formula, "identity", True, partial(_gaussian, scales=scales))


def poisson() -> RecordLoss:
    """Counts with log link: outputs z = log of the expected count, [B] or [B, C]; targets counts of the same shape.

        exp z − y z + log y!

    Exposure belongs into the module, as a fixed log-offset added to its output.
    """
    return RecordLoss("poisson", "exp z - y z + log y!", "log", True, _poisson)


LOSSES: Mapping[str, Callable[[], RecordLoss]] = {
    "binary": binary,
    "softmax": softmax,
    "gaussian": gaussian,
    "poisson": poisson,
}
"""Every loss of this file under its name, with default settings."""


def balanced(targets: Tensor, *, classes: int) -> tuple[float, ...]:
    """Class weights N / (C n_c), which average 1 over the records given (as scikit-learn's `balanced`).

    Args:
        targets: [N] labels 0 to C − 1. classes: C.

    Raises:
        DataError: a class without records.
    """
    counts = torch.bincount(targets.reshape(-1).to(torch.int64), minlength=classes).to(torch.float64)
    if len(counts) != classes or bool((counts == 0).any()):
        raise DataError(f"balanced class weights need records of each of {classes} classes, not counts {counts.int()}")
    return tuple((counts.sum() / (classes * counts)).tolist())


def of_records(targets: Tensor, class_weights: Sequence[float]) -> Tensor:
    """[N] float64: each record's class weight, for `sample_weight`; targets [N] of labels 0 to C − 1.

    Raises:
        DataError: weights that are not finite numbers above zero, or a label without a weight.
    """
    weights = _class_weights(class_weights, count=None) or ()
    labels = targets.to(torch.int64)
    if bool(((labels < 0) | (labels >= len(weights)) | (labels != targets)).any()):
        raise DataError(f"some labels are none of the {len(weights)} classes that have a weight")
    return torch.tensor(weights, dtype=torch.float64, device=targets.device)[labels]


def _class_weights(given: Sequence[float] | None, *, count: int | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    weights = tuple(float(w) for w in given)
    if not weights or count not in (None, len(weights)) or any(not 0 < w < math.inf for w in weights):
        raise DataError(f"class weights must be finite numbers above zero, one a class, not {given!r}")
    return weights


def _by_record(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).sum(1)


def _like(outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets in the shape and precision of the outputs; one that does not fit is refused, never broadcast."""
    if outputs.numel() != targets.numel() or len(outputs) != len(targets):
        raise DataError(f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} do not fit each other")
    return targets.reshape(outputs.shape).to(outputs.dtype)


def _binary(outputs: Tensor, targets: Tensor, *, weights: tuple[float, ...] | None) -> Tensor:
    y = _like(outputs, targets)
    zero, one = weights or (1.0, 1.0)
    losses = -one * y * functional.logsigmoid(outputs) - zero * (1 - y) * functional.logsigmoid(-outputs)
    return _by_record(torch.where((y >= 0) & (y <= 1), losses, torch.nan))


def _softmax(outputs: Tensor, targets: Tensor, *, weights: tuple[float, ...] | None) -> Tensor:
    if outputs.shape[:-1] != targets.shape or outputs.ndim < _LABELS:
        raise DataError(f"outputs {tuple(outputs.shape)} need targets {tuple(outputs.shape[:-1])} of class numbers")
    classes = outputs.shape[-1]
    if weights is not None and len(weights) != classes:
        raise DataError(f"{len(weights)} class weights were given for outputs of {classes} classes")
    labels = targets.to(torch.int64)
    known = (labels == targets) & (labels >= 0) & (labels < classes)
    labels = labels.clamp(0, classes - 1)
    losses = torch.logsumexp(outputs, -1) - outputs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    if weights is not None:
        losses = losses * torch.tensor(weights, dtype=outputs.dtype, device=outputs.device)[labels]
    return _by_record(torch.where(known, losses, torch.nan))


def _gaussian(outputs: Tensor, targets: Tensor, *, scales: tuple[float, ...]) -> Tensor:
    y, scale = _like(outputs, targets), torch.tensor(scales, dtype=outputs.dtype, device=outputs.device)
    if len(scales) > 1 and outputs.shape[-1:] != scale.shape:
        raise DataError(f"{len(scales)} scales were given for outputs {tuple(outputs.shape)}")
    return _by_record(0.5 * ((outputs - y) / scale).square() + scale.log() + _HALF_LOG_2PI)


def _poisson(outputs: Tensor, targets: Tensor) -> Tensor:
    y = _like(outputs, targets)
    losses = outputs.exp() - y * outputs + torch.lgamma(y.clamp(min=0) + 1)
    return _by_record(torch.where(y >= 0, losses, torch.nan))
