"""Finished models of a bank as pieces on disk, so that a killed run retrains none of them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from auditkit.pieces import Keep


def kept(keep: Keep, name: str, compute: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of a finished piece, or computed now and kept."""
    piece = keep.get(name)
    if piece is not None:
        return {key: torch.from_numpy(array) for key, array in piece.items()}
    found = dict(compute())
    keep.put(name, {key: value.detach().numpy() for key, value in found.items()})
    return found
