"""A curvature from eigenpairs in a Krylov space, and a stated rule for every other direction; formulas: `arnoldi`.

Also the preconditioner of `cg`: what it leaves is the spectrum beyond the kept eigenpairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from auditkit.errors import Complaint, NumericsError
from auditkit.influence.capture import Site, verified_sites
from auditkit.influence.krylov import krylov_basis
from auditkit.influence.metric import diagonal_gram
from auditkit.influence.problem import Inputs
from auditkit.influence.products import GaussNewton
from auditkit.influence.sequences import root_quality
from auditkit.result import Quality

_CAPTURED = 0.9
_UNCONVERGED = 0.1
"""Share of the trace below which, and residual of a pair above which, the report warns."""
_WHOLE = 1 - 1e-6
_SINGULAR = 1e-12


def subspace(
    operator: GaussNewton, penalty: Tensor, least: float, *, steps: int, keep: int, block: int = 4, seed: int = 0
) -> Subspace:
    """The Krylov space of M under a penalty [D]; `least` is the L of parameters whose penalty is zero."""
    metric = torch.where(penalty > 0, penalty, torch.full_like(penalty, least))
    inner, lack = metric.rsqrt().unsqueeze(1), ((penalty - metric) / metric).unsqueeze(1)

    def product(vectors: Tensor) -> Tensor:
        return inner * operator.product(inner * vectors) + lack * vectors

    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(len(penalty), min(block, len(penalty)), generator=generator, dtype=torch.float64)
    basis, projected = krylov_basis(product, start.to(penalty.device), columns=steps, generator=generator)
    curved = projected - basis.T @ (lack * basis)
    return Subspace(operator, verified_sites(operator.problem), basis, curved, penalty, metric, keep)


@dataclass(frozen=True)
class Subspace:
    """A Krylov basis with the curvature projected on it; eigenpairs under a penalty come from `curvature`."""

    operator: GaussNewton
    sites: tuple[Site, ...]
    basis: Tensor
    """[D, m] orthonormal, in coordinates scaled by L^½."""
    curved: Tensor
    """[m, m] basisᵀ L^-½ G L^-½ basis."""
    penalty: Tensor
    """[D] lambda + damping; may be zero for some."""
    metric: Tensor
    """[D] L."""
    keep: int
    added: float = 0.0
    complement: Literal["mean", "penalty"] = "mean"
    stated_rest: float | None = None
    """Rho, where it was found otherwise than by `complement`."""

    def stiffer(self, factor: float) -> Subspace:
        """The same basis under `factor` times the penalty."""
        rest = None if self.stated_rest is None else self.stated_rest / factor
        curved, penalty, metric = self.curved / factor, self.penalty * factor, self.metric * factor
        return replace(self, curved=curved, penalty=penalty, metric=metric, stated_rest=rest)

    def curvature(self) -> SubspaceCurvature:
        """Ritz pairs of M in the basis, those kept.

        Raises:
            NumericsError: a Ritz value of H, in units of L, is not positive.
        """
        lack = self.basis.T @ (((self.penalty - self.metric) / self.metric).unsqueeze(1) * self.basis)
        whole = self.curved + lack
        values, vectors = torch.linalg.eigh((whole + whole.T) / 2)
        if not bool((1 + values > _SINGULAR * (1 + values.abs().max())).all()):
            raise NumericsError(
                Complaint(
                    f"the curvature is not positive definite with damping {self.added:g}",
                    hint="set influence.damping to a larger number",
                )
            )
        count = len(values) if len(values) == len(self.penalty) else self.keep
        order = torch.argsort(torch.log1p(values).abs(), descending=True)[:count]
        vectors = vectors[:, order]
        trace = float((self.operator.diagonal / self.metric).sum())
        share = float((vectors * (self.curved @ vectors)).sum()) / trace if trace > 0 else 1.0
        directions = self.metric.rsqrt().unsqueeze(1) * (self.basis @ vectors)
        return SubspaceCurvature(self, directions, values[order], self._rest(values[order]), share)

    def _rest(self, values: Tensor) -> float:
        """Rho."""
        left = len(self.penalty) - len(values)
        if self.stated_rest is not None:
            return self.stated_rest if left else 0.0
        if self.complement == "penalty" or not left:
            return 0.0
        lack = (self.penalty - self.metric) / self.metric
        whole = float((self.operator.diagonal / self.metric + lack).sum())
        return max(0.0, (whole - float(values.sum())) / left)


@dataclass(frozen=True)
class SubspaceCurvature:
    """Kept eigenpairs and the penalty around them."""

    subspace: Subspace
    directions: Tensor
    """[D, k] L^-½ U, in the parameters' own coordinates."""
    values: Tensor
    """[k] mu."""
    rest: float
    """Rho, the curvature that every other direction counts as having."""
    captured: float
    """Share of the trace of L^-½ G L^-½ that the kept directions hold."""

    @property
    def damping(self) -> Mapping[str, float]:
        """Damping beyond the model's own L2."""
        return {"all": self.subspace.added}

    @property
    def covered(self) -> int:
        """All trainable parameters."""
        return self.subspace.operator.problem.layout.size

    @property
    def knows_leverage(self) -> bool:
        """Only where the kept directions hold the whole curvature; otherwise leverage comes out too large."""
        return self.captured >= _WHOLE

    @property
    def leverage_bound(self) -> float:
        """Near 1 at full rank; otherwise as for a curvature that is not exact."""
        return 1 - 1e-9 if self.knows_leverage else 0.9

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ vectors, by the formula of `arnoldi`."""
        vectors = vectors.to(torch.float64)
        return vectors / self._others.unsqueeze(1) - self.directions @ (
            self._taken.unsqueeze(1) * (self.directions.T @ vectors)
        )

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Both products, by forward mode along the directions given and those kept."""
        pushed = self.subspace.operator.push(inputs, torch.cat([directions, self.directions], dim=1))
        if probes is not None:
            pushed = probes.transpose(1, 2) @ pushed
        cross, kept = pushed[..., : directions.shape[1]], pushed[..., directions.shape[1] :]
        gram = diagonal_gram(self.subspace.operator.problem, self.subspace.sites, inputs, probes, self._others)
        return cross, gram - (kept * self._taken) @ kept.transpose(1, 2)

    def quality(self) -> tuple[Quality, ...]:
        """Captured share of the trace, and how far the kept pairs are from eigenpairs."""
        count, whole = len(self.values), self.covered
        share = (
            f"Share of the curvature's trace (relative to the penalty) that the {count:,} kept eigenpairs of {whole:,} "
            f"hold; every other direction counts as having {self.rest:.2g} times its L2 and damping as curvature."
        )
        residual = self._residual()
        pairs = "Largest residual of a kept eigenpair of the curvature, relative to its eigenvalue; 0 is an eigenpair."
        return (
            Quality(name="captured curvature", value=self.captured, text=share, warns=self.captured < _CAPTURED),
            Quality(name="eigenpair residual", value=residual, text=pairs, warns=not residual <= _UNCONVERGED),
            *root_quality(self.subspace.operator.problem),
        )

    def _residual(self) -> float:
        """max_k |M u_k − mu_k u_k| / (1 + mu_k)."""
        root = self.subspace.metric.sqrt().unsqueeze(1)
        penalty = self.subspace.penalty.unsqueeze(1)
        moved = (self.subspace.operator.product(self.directions) + penalty * self.directions) / root
        return float(((moved / (1 + self.values)) - root * self.directions).norm(dim=0).max())

    def stiffer(self, factor: float) -> SubspaceCurvature:
        """The same basis under `factor` times the penalty; eigenpairs are taken anew."""
        return self.subspace.stiffer(factor).curvature()

    @property
    def _others(self) -> Tensor:
        """[D] H outside the kept directions."""
        return self.subspace.metric * (1 + self.rest)

    @property
    def _taken(self) -> Tensor:
        """[k] what the kept directions take off it."""
        return 1 / (1 + self.rest) - 1 / (1 + self.values)
