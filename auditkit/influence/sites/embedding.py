"""`nn.Embedding`: a linear layer on one-hot inputs that are never formed; the padding row receives no gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auditkit.influence.sites.site import Site


@dataclass(frozen=True)
class EmbeddingSite(Site):
    """Inputs are codes; i runs over the table's rows and o over its columns, so the weight [V, e] is the transpose."""

    layer: nn.Embedding

    @property
    def is_embedding(self) -> bool:
        """Yes."""
        return True

    @property
    def shape(self) -> tuple[int, int]:
        """(e, V)."""
        codes, width = self.weight_shape
        return width, codes

    def fits(self, given: Tensor, output: Tensor, rows: int) -> bool:
        """Codes may be one a record."""
        return given.ndim > 0 and len(given) == rows and len(output) == rows

    def rows_in(self, given: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """[B, T] codes."""
        return given.reshape(rows, -1)

    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, e]."""
        return output.reshape(rows, -1, output.shape[-1])

    def real(self, codes: Tensor) -> Tensor:
        """[B, T] whether the code is not the padding code."""
        if self.layer.padding_idx is None:
            return torch.ones_like(codes, dtype=torch.bool)
        return codes != self.layer.padding_idx

    def gradient(self, given: Tensor, gradients: Tensor) -> Tensor:
        """[B, P, e, V]; dense, so only for a few records at a time."""
        rows, probes, _, width = gradients.shape
        kept = gradients * self.real(given).view(rows, 1, -1, 1)
        total = torch.zeros(rows, probes, self.shape[1], width, dtype=gradients.dtype, device=gradients.device)
        total.scatter_add_(2, given.view(rows, 1, -1, 1).expand_as(kept), kept)
        return total.transpose(2, 3)

    def matrices(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[K, e, V]."""
        return parts[self.weight].permute(2, 1, 0)

    def parts(self, matrices: Tensor) -> dict[str, Tensor]:
        """The inverse of `matrices`."""
        return {self.weight: matrices.permute(2, 1, 0)}
