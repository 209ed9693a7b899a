"""What every kind of layer seen through hooks can say of itself.

Shapes: B records, P probes, T positions of a record that share the weight (1 for a plain tabular layer), o outputs and
i inputs of the layer as a matrix (1 appended to the inputs when there is a bias).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Observed(ABC):
    """A layer, and the names of its parameters in the whole module."""

    name: str
    layer: nn.Module
    weight: str
    bias: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Its parameters."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def is_embedding(self) -> bool:
        """Whether its inputs are category codes."""
        return False

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight as the layer holds it."""
        return tuple(dict(self.layer.named_parameters(recurse=False))["weight"].shape)

    def fits(self, given: Tensor, output: Tensor, rows: int) -> bool:
        """Whether a call has the records in front, as far as shapes can tell; numbers are verified in `capture`."""
        return given.ndim > 1 and len(given) == rows and len(output) == rows

    @abstractmethod
    def rows_in(self, given: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """[B, T, i] from a call's input (1 appended when there is a bias), or codes [B, T]."""

    @abstractmethod
    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, o] from a call's output, or from the gradient in it."""

    @abstractmethod
    def record_gradients(self, given: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        """Parameter -> [B, P, numbers] from rows [B, T, i] and output gradients [B, P, T, o]."""


class Site(Observed):
    """A layer with one matrix [o, i], whose gradient is sum_t d_t a_tᵀ over its positions."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(o, i), the bias counted as an input."""

    @abstractmethod
    def gradient(self, given: Tensor, gradients: Tensor) -> Tensor:
        """[B, P, o, i] from inputs [B, T, i] (or codes [B, T]) and output gradients [B, P, T, o]."""

    @abstractmethod
    def matrices(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[K, o, i] from K stacked values of the parameters, each of the parameter's shape with K behind it."""

    @abstractmethod
    def parts(self, matrices: Tensor) -> dict[str, Tensor]:
        """The inverse of `matrices`."""

    def record_gradients(self, given: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        """Parameter -> [B, P, numbers]."""
        rows, probes = gradients.shape[:2]
        stacked = self.parts(self.gradient(given, gradients).flatten(0, 1))
        return {name: part.movedim(-1, 0).reshape(rows, probes, -1) for name, part in stacked.items()}


class AffineSite(Site):
    """Weight [o, ...] whose trailing dimensions are the inputs of one position, and a bias [o]."""

    @property
    def shape(self) -> tuple[int, int]:
        """(o, i)."""
        outputs, *inputs = self.weight_shape
        return outputs, prod(inputs) + (self.bias is not None)

    def gradient(self, given: Tensor, gradients: Tensor) -> Tensor:
        """[B, P, o, i]: one matrix product a record, all probes at once."""
        rows, probes, _, outputs = gradients.shape
        stacked = gradients.transpose(2, 3).reshape(rows, probes * outputs, -1)
        return (stacked @ given).view(rows, probes, outputs, -1)

    def matrices(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[K, o, i]."""
        weight = parts[self.weight].flatten(1, -2)
        if self.bias is not None:
            weight = torch.cat([weight, parts[self.bias].unsqueeze(1)], dim=1)
        return weight.permute(2, 0, 1)

    def parts(self, matrices: Tensor) -> dict[str, Tensor]:
        """The inverse of `matrices`."""
        weight = matrices if self.bias is None else matrices[:, :, :-1]
        found = {self.weight: weight.permute(1, 2, 0).reshape(*self.weight_shape, len(matrices))}
        return found if self.bias is None else {**found, self.bias: matrices[:, :, -1].T}


def with_one(rows: Tensor) -> Tensor:
    """Rows [B, T, i] with 1 appended."""
    return torch.cat([rows, torch.ones_like(rows[..., :1])], dim=2)
