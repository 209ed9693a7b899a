"""`nn.Linear`: the gradient of a record is sum_t d_t a_tᵀ over the positions that share the weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.influence.sites.site import AffineSite, with_one


@dataclass(frozen=True)
class LinearSite(AffineSite):
    """Inputs [B, ..., i]; everything between records and features counts as positions."""

    def rows_in(self, given: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
        """[B, T, i]."""
        found = given.reshape(rows, -1, given.shape[-1]).to(dtype)
        return found if self.bias is None else with_one(found)

    def rows_out(self, output: Tensor, rows: int) -> Tensor:
        """[B, T, o]."""
        return output.reshape(rows, -1, output.shape[-1])
