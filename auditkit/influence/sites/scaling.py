"""Normalisation layers: outputs w ∘ x̂ + b, x̂ the normalised input, which does not depend on w and b.

A record's gradients are sum_t d_t ∘ x̂_t and sum_t d_t: no Kronecker structure, but no autograd per record either.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.influence.sites.site import Observed

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@dataclass(frozen=True)
class ScalingSite(Observed):
    """What the normalisations share; o = i."""

    @abstractmethod
    def normalised(self, given: Tensor) -> Tensor:
        """The input normalised, neither scaled nor shifted."""

    def rows_in(self, given: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """[B, T, o] normalised inputs."""
        return self.rows_out(self.normalised(given), rows).to(dtype)

    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, o]: channels lie second."""
        return output.reshape(rows, output.shape[1], -1).transpose(1, 2)

    def record_gradients(self, given: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        """Parameter -> [B, P, o]."""
        found = {self.weight: (gradients * given.unsqueeze(1)).sum(2)}
        return found if self.bias is None else {**found, self.bias: gradients.sum(2)}


@dataclass(frozen=True)
class LayerNormSite(ScalingSite):
    """Over the last dimensions, one weight for each of their places; also `nn.RMSNorm`."""

    layer: nn.LayerNorm | nn.RMSNorm

    def normalised(self, given: Tensor) -> Tensor:
        """The input normalised."""
        shape = list(self.layer.normalized_shape)
        if isinstance(self.layer, nn.RMSNorm):
            return functional.rms_norm(given, shape, None, self.layer.eps)
        return functional.layer_norm(given, shape, None, None, self.layer.eps)

    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, o]: the places lie last."""
        return output.reshape(rows, -1, prod(self.layer.normalized_shape))


@dataclass(frozen=True)
class GroupNormSite(ScalingSite):
    """Over groups of channels, one weight a channel."""

    layer: nn.GroupNorm

    def normalised(self, given: Tensor) -> Tensor:
        """The input normalised."""
        return functional.group_norm(given, self.layer.num_groups, None, None, self.layer.eps)


@dataclass(frozen=True)
class BatchNormSite(ScalingSite):
    """In eval mode: by the running mean and variance, one weight a channel."""

    layer: BatchNorm

    def normalised(self, given: Tensor) -> Tensor:
        """The input normalised."""
        layer = self.layer
        return functional.batch_norm(given, layer.running_mean, layer.running_var, None, None, False, 0.0, layer.eps)
