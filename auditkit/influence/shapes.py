"""The shapes of outputs and weights that the engine takes, and how many records fit into one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auditkit.errors import Complaint, DataError, ModelError
from auditkit.influence.roots import RootColumns

_NUMBERS = 2**23
_SEQUENCE = 2


def trailing_shape(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[int, ...]:
    """Shape of one record's output: () for [B], (C,) for [B, C], (T, C) for sequences [B, T, C].

    Raises:
        ModelError: the module gives something else.
    """
    rows = min(2, len(inputs[0]))
    with torch.no_grad():
        given = module(*(t[:rows].clone() for t in inputs))
    if not isinstance(given, Tensor) or given.ndim not in (1, 2, 3) or len(given) != rows:
        shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ModelError(
            f"the module must give outputs [B], [B, C] or [B, T, C] for B records; for {rows} it gave {shape}"
        )
    if not given.is_floating_point():
        kind = str(given.dtype).removeprefix("torch.")
        raise ModelError(
            Complaint(
                f"the module's outputs are {kind}, not real numbers that a loss can be differentiated in",
                hint="give logits or other scores, not decisions, counts or complex numbers",
            )
        )
    return tuple(given.shape[1:])


def rows_at_once(batch: int, trailing: tuple[int, ...], widths: Sequence[int], columns: RootColumns) -> int:
    """Rows of a pass: `batch`, or as many sequences as keep the root gradients of all layers near 64 MiB.

    Args:
        batch: rows asked for. trailing: shape of one record's output. widths: outputs of each layer at one position.
        columns: root columns, for each of which a layer has a gradient a position.
    """
    if len(trailing) < _SEQUENCE:
        return batch
    return max(1, min(batch, _NUMBERS // (trailing[0] * max(1, sum(widths)) * (columns.probes + 1))))


def checked_weights(weights: Tensor | None, n: int) -> Tensor:
    """[N] float64 sample weights; None is ones.

    Raises:
        DataError: they are not N finite numbers, or some are negative.
    """
    if weights is None:
        return torch.ones(n, dtype=torch.float64)
    if weights.shape != (n,) or not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise DataError(f"sample weights must be {n} finite numbers that are not negative")
    return weights.to(torch.float64)
