"""Pure algebra of compressed slices: one low-rank form for all slices of a layer, in the norm that the scores live in.

A layer adds dᵀ V_s a to the score of a record with inputs a [i] and loss gradient d [o], V_s the preconditioned slice
gradient [o, i]. Preconditioning flattens the spectrum of V_s, so a plain SVD of it saves nothing. With A = E[a aᵀ] and
D = E[d dᵀ] over records (D of the *loss* gradients, not of the curvature's), and d and a independent,

    E[(dᵀ (V − V̂) a)²] = ‖D^½ (V − V̂) A^½‖²                                        (Frobenius norm)

so what is truncated is W_s = D^½ V_s A^½ / sd_s, every slice at unit score variance sd_s², so that no slice's error
hides behind a louder one's. All slices share a left basis P [o, q] and a right basis R [i, r] (the leading eigenvectors
of sum_s W_s W_sᵀ and sum_s W_sᵀ W_s; a truncated higher-order SVD, De Lathauwer et al. 2000) and keep a core each:

    V̂_s = sd_s · D^-½ P (Pᵀ W_s R) Rᵀ A^-½

with the inverse roots folded into the bases: i r + o q + S q r products a record instead of S o i. Both moments are a
sample's: a direction in which the sample has nothing (a unit that fires for one record in 10,000) may be another
record's. So no eigenvalue counts less than `_FLOOR` of the mean, and no inverse root is larger than its.

Wrong when: d and a depend on each other (they do; the bound is then only a guide). What counts is the error measured on
records, which `rehearsal` takes and reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

_FLOOR = 1e-6
"""Share of the mean eigenvalue of a second moment below which none of them counts."""
_DECOMPOSE = 100
"""Products that decomposing costs for each cube of a width."""
_WEIGH = 16
"""Products that weighing a slice costs for each of its numbers and each unit of both widths, in float64."""
_CACHED = 2**18
"""Numbers that a batch hands from the first product to the second."""
_BATCH = 1024
WORTHWHILE = 2**28
"""Products over all records from which a layer's slices are worth a second look."""


@dataclass(frozen=True)
class Contraction:
    """The columns V [S, o, i] of one layer, in the form in which rows meet them."""

    cores: tuple[Tensor, ...]
    """[r, S'·q] by inputs, [q, S'·r] by outputs, S' columns each; r = i and q = o where there is no basis."""
    last: int
    """q by inputs, r by outputs."""
    right: Tensor | None = None
    """[i, r] basis of the inputs."""
    left: Tensor | None = None
    """[o, q] basis of the output gradients."""
    by_inputs: bool = True
    """Whether the inputs meet the core first (then the output gradients), or the other way round."""

    @staticmethod
    def full(directions: Tensor, dtype: torch.dtype) -> Contraction:
        """All of V [S, o, i]; the side whose product is smaller comes last."""
        return Contraction._of(directions, dtype, None, None)

    @staticmethod
    def _of(cores: Tensor, dtype: torch.dtype, right: Tensor | None, left: Tensor | None) -> Contraction:
        by_inputs = cores.shape[1] <= cores.shape[2]
        last = min(cores.shape[1:])
        # What a batch meets stays in the cache of a CPU: beyond it, every batch would fetch fresh memory.
        chunk = max(1, _CACHED // (_BATCH * last)) if cores.device.type == "cpu" else len(cores)
        turned = [
            (c.permute(2, 0, 1) if by_inputs else c.permute(1, 0, 2)).flatten(1) for c in torch.split(cores, chunk)
        ]
        parts = tuple(part.to(dtype).contiguous() for part in turned)
        right, left = (None if basis is None else basis.to(dtype).contiguous() for basis in (right, left))
        return Contraction(parts, last, right, left, by_inputs)

    @property
    def shape(self) -> tuple[int, int]:
        """(q, r), the ranks that are kept."""
        first = len(self.cores[0])
        return (self.last, first) if self.by_inputs else (first, self.last)

    @property
    def products(self) -> int:
        """Products a record."""
        return sum(t.numel() for t in (*self.cores, self.right, self.left) if t is not None)

    @property
    def cost(self) -> float:
        """Products a record, one in bfloat16 counted half."""
        return self.products / 2 if self.cores[0].dtype == torch.bfloat16 else self.products

    def to(self, dtype: torch.dtype) -> Contraction:
        """The same with products in another precision."""
        right, left = (None if b is None else b.to(dtype) for b in (self.right, self.left))
        return replace(self, cores=tuple(core.to(dtype) for core in self.cores), right=right, left=left)

    def scores(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """[B, S] dᵀ V_s a for inputs [B, i] and loss gradients [B, o]; products in the precision of the cores."""
        dtype = self.cores[0].dtype
        a, d = inputs.to(dtype), gradients.to(dtype)
        a = a if self.right is None else a @ self.right
        d = d if self.left is None else d @ self.left
        first, second = (a, d) if self.by_inputs else (d, a)
        last = second.unsqueeze(1)
        found = [torch.linalg.vecdot((first @ core).view(len(first), -1, self.last), last) for core in self.cores]
        return torch.cat(found, dim=1).to(inputs.dtype)


@dataclass(frozen=True)
class Spectrum:
    """One layer's slices in the weighted norm, from which a truncation of any rank can be read."""

    cores: Tensor
    """[S, o, i] Pᵀ W_s R at full rank, times sd_s."""
    left: Tensor
    """[o, o] D^-½ P, columns in falling order."""
    right: Tensor
    """[i, i] A^-½ R."""
    left_energy: Tensor
    """[o] share of the total score variance in each left direction, falling."""
    right_energy: Tensor
    """[i]"""

    @staticmethod
    def of(directions: Tensor, inputs: Tensor, gradients: Tensor, deviations: Tensor) -> Spectrum:
        """From V [S, o, i], the second moments A [i, i] and D [o, o], and the scores' deviations sd [S]; float64."""
        half_d, inverse_d = roots(gradients)
        half_a, inverse_a = roots(inputs)
        scales = deviations.view(-1, 1, 1)
        weighted = half_d @ (directions / scales) @ half_a
        left_energy, left = _leading(torch.einsum("soi,spi->op", weighted, weighted))
        right_energy, right = _leading(torch.einsum("soi,soj->ij", weighted, weighted))
        cores = left.T @ weighted @ right * scales
        return Spectrum(cores, inverse_d @ left, inverse_a @ right, left_energy, right_energy)

    def truncated(self, budget: float, dtype: torch.dtype) -> Contraction | None:
        """What stays when `budget` of the summed unit variances may go on either side; None where nothing is saved."""
        columns, outputs, inputs = self.cores.shape
        q, r = _rank(self.left_energy, budget), _rank(self.right_energy, budget)
        if cost(columns, outputs, inputs, q, r) >= columns * outputs * inputs:
            return None
        return Contraction._of(self.cores[:, :q, :r], dtype, self.right[:, :r], self.left[:, :q])


def worthwhile(records: int, columns: int, outputs: int, inputs: int) -> bool:
    """Whether decomposing a layer costs less than what it might save over all records."""
    full = records * columns * outputs * inputs
    weighing = _WEIGH * columns * outputs * inputs * (outputs + inputs)
    return full >= WORTHWHILE and _DECOMPOSE * (outputs**3 + inputs**3) + weighing < full


def cost(columns: int, outputs: int, inputs: int, q: int, r: int) -> int:
    """Products a record at these ranks."""
    return inputs * r + outputs * q + columns * q * r


def roots(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric root and its inverse of a second moment [k, k] whose eigenvalues are no smaller than the floor."""
    values, vectors = torch.linalg.eigh(moment)
    least = _FLOOR * float(values.clamp(min=0).mean())
    # Without any records' content every direction is as good as another, and scores are 0.
    root = values.clamp(min=least).sqrt() if least > 0 else torch.ones_like(values)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def _leading(moment: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(moment)
    return values.flip(0).clamp(min=0), vectors.flip(1)


def _rank(energy: Tensor, budget: float) -> int:
    """Smallest number of leading directions beyond which no more than `budget` lies; at least one."""
    beyond = energy.flip(0).cumsum(0).flip(0)
    return max(1, int((beyond > budget).sum()))
