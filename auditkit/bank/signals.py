"""What every model of a bank answers: per-record losses in nats and favourable scores, K models x B rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auditkit.bank.descent import Stack, outputs_of
from auditkit.errors import NumericsError
from auditkit.subject.model import favourable_score, loss
from auditkit.subject.types import Floats

_HELD = 2**24


def answers(module: nn.Module, stack: Stack, inputs: tuple[Tensor, ...], targets: Tensor) -> tuple[Floats, Floats]:
    """Losses [K, B] and favourable scores [K, B] of stacked models on the same rows.

    Args:
        module: the tabular architecture. stack: parameter name -> [K, ...]. inputs: rows [B, ...]. targets: [B].

    Raises:
        NumericsError: an answer is not finite.
    """
    models = len(next(iter(stack.values())))
    wide = max(64, *(layer.numel() // models for layer in stack.values()))
    size = max(1, _HELD // (models * min(wide, 4096)))
    parts = [
        _part(module, stack, tuple(t[at : at + size] for t in inputs), targets[at : at + size])
        for at in range(0, len(targets), size)
    ]
    losses, scores = (torch.cat(column, dim=1).numpy() for column in zip(*parts, strict=True))
    return checked(losses), checked(scores)


def checked(found: Floats) -> Floats:
    """The answers, if all are finite.

    Raises:
        NumericsError: some are not, with the count.
    """
    wrong = found.size - int(torch.isfinite(torch.from_numpy(found)).sum())
    if wrong:
        raise NumericsError(f"{wrong:,} of {found.size:,} answers of retrained models are not finite numbers")
    return found


def _part(module: nn.Module, stack: Stack, inputs: tuple[Tensor, ...], targets: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        outputs = outputs_of(module, stack, inputs)
        return loss(outputs, targets.expand(len(outputs), -1)), favourable_score(outputs)
