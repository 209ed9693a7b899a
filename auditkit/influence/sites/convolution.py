"""Convolutions in one, two and three dimensions: a linear layer on windows of the input, one window a position.

The windows are a strided view of the padded input, so stride and dilation cost nothing; they are copied once, positions
innermost ([i, B, T] in memory), where copies are contiguous and every later matrix product takes them as they lie.
With groups the matrix is block diagonal and has no two factors: its gradients are taken group by group (`GroupedSite`).

Source: Grosse & Martens 2016, section 3 (Kronecker factors for convolution).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.influence.sites.site import AffineSite, Observed

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class ConvolutionSite(AffineSite):
    """One group; i runs over input channels, then over the kernel, as the weight [o, c, *kernel] does."""

    layer: Convolution

    def fits(self, given: Tensor, output: Tensor, rows: int) -> bool:
        """A batch of images, not one image."""
        return given.ndim == len(self.weight_shape) and len(given) == rows

    def rows_in(self, given: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """[B, T, i], 1 appended when there is a bias."""
        found = windows(self.layer, given.to(dtype))
        channels = prod(found.shape[: found.ndim - given.ndim + 1])
        stacked = found.new_empty(channels + (self.bias is not None), rows, prod(found.shape[-given.ndim + 2 :]))
        stacked[:channels].view(found.shape).copy_(found)
        stacked[channels:] = 1.0
        return stacked.permute(1, 2, 0)

    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, o]."""
        return output.flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class GroupedSite(Observed):
    """Several groups: per-record gradients [o, i / groups] without Kronecker factors."""

    layer: Convolution

    def fits(self, given: Tensor, output: Tensor, rows: int) -> bool:
        """A batch of images, not one image."""
        return given.ndim == len(self.weight_shape) and len(given) == rows

    def rows_in(self, given: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """[B, T, C·kernel] over all groups, without bias."""
        found = windows(self.layer, given.to(dtype))
        return found.reshape(-1, rows, prod(found.shape[-given.ndim + 2 :])).permute(1, 2, 0)

    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, o]."""
        return output.flatten(2).transpose(1, 2)

    def record_gradients(self, given: Tensor, gradients: Tensor) -> dict[str, Tensor]:
        """Parameter -> [B, P, numbers]: group by group a matrix product a record."""
        rows, probes, positions, _ = gradients.shape
        groups = self.layer.groups
        inputs = given.reshape(rows, positions, groups, -1).permute(0, 2, 1, 3)
        outputs = gradients.reshape(rows, probes, positions, groups, -1).permute(0, 3, 1, 4, 2)
        products = outputs.reshape(rows, groups, -1, positions) @ inputs
        weight = products.reshape(rows, groups, probes, -1).transpose(1, 2).reshape(rows, probes, -1)
        found = {self.weight: weight}
        return found if self.bias is None else {**found, self.bias: gradients.sum(2)}


def windows(layer: Convolution, given: Tensor) -> Tensor:
    """[C, *kernel, B, *positions] view of the padded input [B, C, *spatial]."""
    padded = _padded(layer, given)
    spread = [
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, dilation in zip(
            padded.shape[2:], layer.kernel_size, layer.stride, layer.dilation, strict=True
        )
    ]
    record, channel, *steps = padded.stride()
    inside = [step * dilation for step, dilation in zip(steps, layer.dilation, strict=True)]
    between = [step * stride for step, stride in zip(steps, layer.stride, strict=True)]
    return padded.as_strided(
        (padded.shape[1], *layer.kernel_size, len(padded), *spread), (channel, *inside, record, *between)
    )


def _padded(layer: Convolution, given: Tensor) -> Tensor:
    if layer.padding == "valid":
        return given
    if isinstance(layer.padding, str):
        # `same` puts the odd one out behind, as torch does.
        whole = [dilation * (kernel - 1) for kernel, dilation in zip(layer.kernel_size, layer.dilation, strict=True)]
        sides = [(total // 2, total - total // 2) for total in whole]
    else:
        sides = [(side, side) for side in layer.padding]
    flat = [number for pair in reversed(sides) for number in pair]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(given, flat, mode=mode) if any(flat) else given
