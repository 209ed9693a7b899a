"""The protocol between estimators and scoring: fitted once, an estimator answers with its inverse curvature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from auditkit.influence.problem import Inputs, Problem
from auditkit.result import Quality


class Curvature(Protocol):
    """A fitted, damped, invertible curvature H of one problem."""

    @property
    def damping(self) -> Mapping[str, float]:
        """What was added to the diagonal beyond the model's own L2, by block (`all` when there is one)."""
        ...

    @property
    def covered(self) -> int:
        """Parameters that H covers; the rest, if any, must be parameters that the outputs do not depend on."""
        ...

    @property
    def knows_leverage(self) -> bool:
        """Whether a record's share of H is accurate enough to take it out of H (the Newton step)."""
        ...

    @property
    def leverage_bound(self) -> float:
        """Largest leverage the Newton step may use with this curvature (see `newton.removal`)."""
        ...

    def solve(self, vectors: Tensor) -> Tensor:
        """H⁻¹ vectors, [D, K] -> [D, K], float64."""
        ...

    def probe(self, inputs: Inputs, probes: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """One pass over B records, for probes [B, C, P] in the output space (None: all C outputs).

        Returns probesᵀ J directions [B, P, S] for directions [D, S], and probesᵀ J H⁻¹ Jᵀ probes [B, P, P], float64.
        """
        ...

    def quality(self) -> tuple[Quality, ...]:
        """What this estimator says of its own work so far (residuals, captured share); read after scoring."""
        ...

    def stiffer(self, factor: float) -> Curvature:
        """The same curvature with L2 plus damping multiplied; for the report of how far scores rest on damping."""
        ...


class Estimator(Protocol):
    """A frozen dataclass of settings; `fit` is its only work."""

    def fit(self, problem: Problem) -> Curvature:
        """Accumulate and invert the curvature of one problem."""
        ...


@dataclass(frozen=True)
class BlockSpectrum:
    """One block without its penalty, in its eigenbasis (or in that part of it which given vectors lie in)."""

    eigenvalues: Tensor
    """[E]"""
    turned: Tensor
    """[E, K] given vectors in these coordinates."""
    own: float
    """The block's own L2; the largest where parameters differ."""


@runtime_checkable
class Redampable(Curvature, Protocol):
    """A curvature that is quickly had under another damping, so that `auto` can compare several."""

    def spectra(self, vectors: Tensor) -> Mapping[str, BlockSpectrum]:
        """Block (as in `damping`) -> its spectrum, with vectors [D, K] turned into its coordinates."""
        ...

    def damped(self, added: Mapping[str, float]) -> Redampable:
        """The same curvature with these dampings beyond the model's own L2, by block; the others stay."""
        ...
