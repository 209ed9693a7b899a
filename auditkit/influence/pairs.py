"""Measures that rest on few rows, as pairs of vectors: no gradient [D] of a measure is formed, none is solved for.

The gradient of one evaluation row's loss in a layer is delta alphaᵀ, with inputs alpha [i] and output gradient
delta [o]. In the eigenbasis (a' = Q_Aᵀ a and so on) its product with the gradient d aᵀ of a training record under the
inverse block M is

    sum_jk d'_j delta'_j M_jk alpha'_k a'_k  =  sum_r (sum_j d'_j u_jr delta'_j) (sum_k a'_k v_kr alpha'_k)

for M ≈ sum_r u_r v_rᵀ (`lengths`, whose terms these are): R (o + i) products for a row and a record in place of o i,
and o + i numbers in memory for a row in place of o i. Measures are sums over rows, m = sum_e c_e q_e, so their products
are those of the rows times c. Where the bias has an L2 of its own (`kronecker`), with P(a)_j = sum_k a'_k M_jk q_k,

    sum_j scale_j (d'_j P(a)_j) (delta'_j P(alpha)_j)          goes off.

The terms' relative error bounds each product by that share of the sum of its absolute values; signs may cancel, so what
counts is the error measured on records (`rehearsal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.influence.lengths import OwnLength

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class RowPairs:
    """M rows of evaluation and S measures on them."""

    forms: Mapping[str, OwnLength]
    """Single-row site -> its inverse block, whole or in terms."""
    rows: Mapping[str, Pair]
    """Site -> alpha' [M, i] and delta' [M, o], in the precision of the passes."""
    weights: Tensor
    """[M, S] c_e."""

    @property
    def products(self) -> int:
        """Products for each record."""
        total = 0
        for form in self.forms.values():
            outputs, inputs = form.whole.shape[1], form.whole.shape[0]
            if form.inverse is None:
                total += outputs * inputs
            else:
                total += len(form.inverse[0].T) * (outputs + inputs)
        return total * len(self.weights)

    def scores(self, records: Mapping[str, Pair]) -> Tensor:
        """[B, S] for records' rows a' [B, i] and d' [B, o] in the eigenbasis, by site; in their precision."""
        total: Tensor | None = None
        for name, form in self.forms.items():
            found = _products(form, records[name], self.rows[name])
            total = found if total is None else total.add_(found)
        assert total is not None  # noqa: S101 - made only for layers that there are
        return total @ self.weights.to(total.dtype)

    def within(self, forms: Mapping[str, OwnLength]) -> RowPairs:
        """The same rows under other forms of the same blocks."""
        return replace(self, forms=forms)


def _products(form: OwnLength, records: Pair, rows: Pair) -> Tensor:
    """[B, M] of one layer."""
    (a, d), (alpha, delta) = records, rows
    if form.inverse is None:
        found = torch.stack([((d * delta[e]) @ form.whole.T * a) @ alpha[e] for e in range(len(alpha))], dim=1)
    else:
        u, v = form.inverse
        found = torch.zeros(len(a), len(alpha), dtype=a.dtype, device=a.device)
        for r in range(u.shape[1]):
            found.addcmul_((d * u[:, r]) @ delta.T, (a * v[:, r]) @ alpha.T)
    if form.pulled is not None and form.scale is not None:
        found -= (d * (a @ form.pulled)) @ (delta * (alpha @ form.pulled) * form.scale).T
    return found
