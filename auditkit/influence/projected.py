"""A block-diagonal Gauss–Newton curvature in projected coordinates, and its inverse (the `logra` curvature).

For a block with projection P (`projection`), per-record root gradients g and the objective's penalty diag(λ),

    H = 1/N sum_n w_n sum_k (Pᵀ g_nk)(Pᵀ g_nk)ᵀ + Pᵀ diag(λ) P + damping I

by Cholesky in float64; scores are u ᵀ P H⁻¹ Pᵀ v. With all directions kept (P square) this is the block Gauss–Newton
matrix itself. With fewer, what lies outside the span of P is left out of every score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.curvature import BlockSpectrum
from auditkit.influence.damping import Damping, added_damping, floor
from auditkit.influence.dense import DenseBlock
from auditkit.influence.jacobian import rows_that_fit
from auditkit.influence.problem import Inputs, Problem
from auditkit.influence.projection import Projection
from auditkit.influence.sequences import root_quality
from auditkit.result import Quality

KEPT = 0.5
"""Share of the curvature's trace inside the projection below which the report warns."""
_NUMBERS = 2**24


@dataclass(frozen=True)
class ProjectedBlock:
    """One inverted block; `invert` makes it."""

    ggn: Tensor
    """[k, k] without any penalty."""
    penalty: Tensor
    """[k, k] Pᵀ diag(λ) P, and the damping on its diagonal."""
    factor: Tensor
    """[k, k] lower Cholesky factor of H."""
    damping: float
    own: float
    """Largest λ of its parameters."""

    @staticmethod
    def invert(
        ggn: Tensor, penalty: Tensor, damping: Damping, *, mean: float, own: float, affine: bool
    ) -> ProjectedBlock:
        """Choose the damping where it is `auto` and factorise.

        Args:
            ggn: [k, k]. penalty: [k, k] Pᵀ diag(λ) P. damping: a number, or `auto`.
            mean: mean eigenvalue of the block before projection. own: its largest λ. affine: see `damping`.

        Raises:
            NumericsError: H is not positive definite with the damping given (with `auto`: not even with its floor).
        """
        added = added_damping(damping, mean_eigenvalue=mean, penalty=own, affine=affine)
        eye = torch.eye(len(ggn), dtype=torch.float64, device=ggn.device)
        try:
            factor = _factor(ggn + penalty + added * eye, added)
        except NumericsError:
            if damping != "auto":
                raise
            # Some parameters carry no L2 of their own: lift all of them by the floor.
            added = max(added, floor(mean, affine=affine))
            factor = _factor(ggn + penalty + added * eye, added)
        return ProjectedBlock(ggn, penalty + added * eye, factor, added, own)

    def damped(self, added: float) -> ProjectedBlock:
        """The same Gauss–Newton matrix under its penalty and another damping.

        Raises:
            NumericsError: H is not positive definite with it.
        """
        penalty = self.penalty + (added - self.damping) * torch.eye(len(self.ggn), dtype=torch.float64).to(self.ggn)
        return replace(self, penalty=penalty, factor=_factor(self.ggn + penalty, added), damping=added)

    def spectrum(self, coordinates: Tensor) -> BlockSpectrum:
        """Without the penalty, with coordinates [k, K] turned into it (see `DenseBlock.spectrum`)."""
        alike = torch.full_like(self.ggn[0], self.own + self.damping)
        return DenseBlock(self.ggn, alike, self.factor, self.damping).spectrum(coordinates)

    def stiffer(self, factor: float) -> ProjectedBlock:
        """The same Gauss–Newton matrix under `factor` times the penalty."""
        penalty = self.penalty * factor
        return replace(self, penalty=penalty, factor=_factor(self.ggn + penalty, self.damping))


@dataclass(frozen=True)
class Inverse:
    """H⁻¹ in projected coordinates, from the Cholesky factors of its blocks alone."""

    spans: Mapping[str, slice]
    factors: Mapping[str, Tensor]
    """Block -> [k, k] lower Cholesky factor."""

    def solve(self, coordinates: Tensor) -> Tensor:
        """[K, S] H⁻¹ coordinates."""
        result = torch.zeros_like(coordinates)
        for name, span in self.spans.items():
            result[span] = torch.cholesky_solve(coordinates[span], self.factors[name])
        return result

    def gram(self, rows: Tensor) -> Tensor:
        """[B, P, P] inner products under H⁻¹ of projected gradients [B, P, K]."""
        total = torch.zeros(*rows.shape[:2], rows.shape[1], dtype=rows.dtype, device=rows.device)
        for name, span in self.spans.items():
            flat = rows[:, :, span].reshape(-1, span.stop - span.start).T
            half = torch.linalg.solve_triangular(self.factors[name], flat, upper=False).T
            half = half.reshape(*rows.shape[:2], -1)
            total += half @ half.transpose(1, 2)
        return total


@dataclass(frozen=True)
class ProjectedCurvature:
    """Fitted blocks."""

    problem: Problem
    projection: Projection
    blocks: Mapping[str, ProjectedBlock]
    kept: float
    """Share of the curvature's trace that lies inside the projection."""
    knows_leverage: bool = False
    leverage_bound: float = 0.9

    @property
    def damping(self) -> Mapping[str, float]:
        """Damping beyond the model's own L2, by block."""
        return {name: block.damping for name, block in self.blocks.items()}

    @property
    def covered(self) -> int:
        """All trainable parameters: each is projected, or the outputs do not depend on it."""
        return self.problem.layout.size

    @property
    def inverse(self) -> Inverse:
        """H⁻¹ in projected coordinates."""
        return Inverse(self.projection.spans(), {name: block.factor for name, block in self.blocks.items()})

    def solve(self, vectors: Tensor) -> Tensor:
        """P H⁻¹ Pᵀ vectors; zero for parameters on which the outputs do not depend."""
        return self.projection.up(self.inverse.solve(self.projection.down(vectors.to(torch.float64))))

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Both products in projected coordinates, from one forward pass and one backward pass per probe."""
        coordinates, inverse = self.projection.down(directions), self.inverse
        eye = torch.eye(self.problem.classes, dtype=torch.float64, device=directions.device)
        size = rows_that_fit(len(coordinates) * (len(eye) if probes is None else probes.shape[2]), _NUMBERS)
        crosses, grams = [], []
        for start in range(0, len(inputs[0]), size):
            part = tuple(t[start : start + size] for t in inputs)
            wanted = eye.expand(len(part[0]), -1, -1) if probes is None else probes[start : start + size]
            rows, _ = self.projection.records(self.problem, self.projection.trace(self.problem, part), part, wanted)
            crosses.append(rows @ coordinates)
            grams.append(inverse.gram(rows))
        return torch.cat(crosses), torch.cat(grams)

    def quality(self) -> tuple[Quality, ...]:
        """How much of the curvature the projection holds, and what was drawn at random for it."""
        total, parameters = sum(self.projection.widths.values()), sum(self.projection.sizes().values())
        return (kept_share(self.kept, total, parameters), *root_quality(self.problem))

    def spectra(self, vectors: Tensor) -> Mapping[str, BlockSpectrum]:
        """Block -> its eigenvalues, and vectors [D, K] projected and turned into its eigenbasis."""
        coordinates, spans = self.projection.down(vectors.to(torch.float64)), self.projection.spans()
        return {name: block.spectrum(coordinates[spans[name]]) for name, block in self.blocks.items()}

    def damped(self, added: Mapping[str, float]) -> ProjectedCurvature:
        """The same Gauss–Newton matrices under other dampings."""
        blocks = {name: block.damped(added.get(name, block.damping)) for name, block in self.blocks.items()}
        return replace(self, blocks=blocks)

    def stiffer(self, factor: float) -> ProjectedCurvature:
        """The same Gauss–Newton matrices under `factor` times the penalty."""
        return replace(self, blocks={name: block.stiffer(factor) for name, block in self.blocks.items()})


def kept_share(share: float, numbers: int, parameters: int) -> Quality:
    """How much of the curvature's trace lies inside the projection."""
    text = (
        f"Share of the curvature's trace that lies in the {numbers:,} projected coordinates of {parameters:,} "
        "parameters; what lies outside is left out of every score."
    )
    return Quality(name="curvature inside the projection", value=share, text=text, warns=share < KEPT)


def _factor(matrix: Tensor, damping: float) -> Tensor:
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(matrix)
    pivots = factor.diagonal()
    # A singular matrix may pass by rounding: its smallest pivot is then of the size of the rounding itself.
    rounding = (len(pivots) * torch.finfo(factor.dtype).eps) ** 0.5
    if int(info) or not bool(torch.isfinite(factor).all()) or bool(pivots.min() <= rounding * pivots.max()):
        raise NumericsError(
            Complaint(
                f"a projected curvature block is not positive definite with damping {damping:g}",
                hint="set influence.damping to a larger number",
            )
        )
    return factor
