"""The course of the audited model's training: every record's loss at its checkpoints, and what its own gradient did.

    loss[c, i]  = l_i(theta_c)                                  nats
    own[n]      = 1/N sum_c eta_c w_n |grad l_n(theta_c)|²      nats, TracIn-CP self-influence
    length[n]   = |grad l_n(theta)| at the audited parameters

eta_c is the learning rate summed over the steps that checkpoint c stands for (`replay`). Source: Pruthi et al. 2020,
section 3; Pollock et al. 2024 for the losses. Whoever has these numbers saw the training or holds its checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from auditkit.errors import ModelError, NumericsError
from auditkit.subject.fitting import one_thread
from auditkit.subject.inputs import inputs as inputs_of
from auditkit.subject.replay import Checkpoint, replay
from auditkit.subject.types import Floats, Gradient, Subject, Table

HELD = 2**23
"""Numbers of per-record gradients that are held at once."""
MOST = 10**11
"""Records times parameters above which per-record gradients are left out."""


@dataclass(frozen=True)
class Course:
    """Losses along the training of the audited model."""

    loss: Floats
    """[C, N + K] at C checkpoints, in order: training records, then the reserve; nats."""
    own: Floats
    """[N] TracIn-CP self-influence, nats."""


def follow(subject: Subject, table: Table) -> tuple[Course | None, str]:
    """The course of the training, carried out again; or None and why it cannot be told.

    Raises:
        NumericsError: a loss or a gradient is not finite.
    """
    gradient = subject.gradient
    if gradient is None:
        return None, subject.no_gradient_reason or "the model gives no gradients"
    try:
        checkpoints = replay(subject, table)
    except ModelError as reason:
        return None, str(reason)
    with one_thread():
        return _followed(subject, gradient, table, checkpoints), ""


def _followed(subject: Subject, gradient: Gradient, table: Table, checkpoints: Sequence[Checkpoint]) -> Course:
    """Losses and lengths at the checkpoints."""
    train, reserve = table.rows("train"), table.rows("reserve")
    rows = np.concatenate([train, reserve])
    frame = inputs_of(subject, table, rows)
    inputs, labels = gradient.tensors(frame, np.nan_to_num(table.label[rows]))
    known = np.isfinite(table.label[rows])
    losses, own = [], np.zeros(len(train))
    first = tuple(part[: len(train)] for part in inputs)
    for state, rate in checkpoints:
        with torch.no_grad():
            outputs = functional_call(gradient.module, state, inputs)
            losses.append(np.where(known, gradient.loss(outputs, labels).numpy(), np.nan))
        own += rate * lengths(gradient, state, first, labels[: len(train)]) ** 2
    own *= table.weights[train] / max(1, len(train))
    course = np.stack(losses)
    if not np.isfinite(course[:, known]).all() or not np.isfinite(own).all():
        raise NumericsError("losses or gradients along the training are not finite numbers")
    return Course(course, own)


def final_lengths(subject: Subject, table: Table) -> tuple[Floats | None, str]:
    """Length [N] of every training record's loss gradient at the audited parameters, or None and why."""
    gradient = subject.gradient
    if gradient is None:
        return None, subject.no_gradient_reason or "the model gives no gradients"
    train = table.rows("train")
    if len(train) * sum(value.numel() for value in gradient.module.parameters()) > MOST:
        return None, "one gradient for each record is too much work for so large a model"
    if not np.isfinite(table.label[train]).all():
        return None, "some training records have no label"
    inputs, labels = gradient.tensors(inputs_of(subject, table, train), table.label[train])
    state = {name: value.detach() for name, value in gradient.module.state_dict().items()}
    try:
        with one_thread():
            return lengths(gradient, state, inputs, labels), ""
    except RuntimeError as error:
        # A foreign module may branch on its data or count its batches, which per-record differentiation cannot follow.
        return None, f"the module's gradients record by record cannot be taken: {str(error).splitlines()[0][:80]}"


def lengths(gradient: Gradient, state: dict[str, Tensor], inputs: tuple[Tensor, ...], labels: Tensor) -> Floats:
    """|grad l_n| [N] over all trainable parameters at the parameters of `state`, a few records at a time."""
    trained = {name for name, value in gradient.module.named_parameters() if value.requires_grad}
    moving = {name: value for name, value in state.items() if name in trained}
    still = {name: value for name, value in state.items() if name not in trained}

    def own(parameters: dict[str, Tensor], row: tuple[Tensor, ...], label: Tensor) -> Tensor:
        one = tuple(part.unsqueeze(0) for part in row)
        outputs = functional_call(gradient.module, {**parameters, **still}, one)
        return gradient.loss(outputs, label.unsqueeze(0)).sum()

    each = vmap(grad(own), in_dims=(None, 0, 0), randomness="error")
    size = max(1, HELD // max(1, sum(value.numel() for value in moving.values())))
    parts = []
    for at in range(0, len(labels), size):
        own_gradients = each(moving, tuple(part[at : at + size] for part in inputs), labels[at : at + size])
        parts.append(sum(part.flatten(1).to(torch.float64).square().sum(1) for part in own_gradients.values()))
    squares = torch.cat([part for part in parts if isinstance(part, Tensor)]) if parts else torch.zeros(0)
    found: Floats = np.asarray(squares.to(torch.float64).sqrt().cpu().numpy())
    return found
