"""What the blocks of a block-diagonal curvature are inverted from, and the passes of EK-FAC that give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from auditkit.influence.beside import Beside, FirstPass, SecondPass
from auditkit.influence.capture import Site
from auditkit.influence.kronecker import Basis
from auditkit.influence.layers import factor_pass, factors_of, fit_eigenvalues
from auditkit.influence.problem import Problem


@dataclass(frozen=True)
class Spectra:
    """What blocks are inverted from."""

    bases: Mapping[str, Basis]
    """Site or parameter -> eigenvectors of its two factors."""
    eigenvalues: Mapping[str, Tensor]
    """Site or parameter -> the eigenvalues [o, i] that go with their products."""
    dense: Mapping[str, Tensor]
    """Module -> the Gauss–Newton matrix [D', D'] of its dense block."""


Spectrum: TypeAlias = Callable[[Problem, tuple[Site, ...], Beside], Spectra]
"""Of the Kronecker sites and of what lies beside them."""


def corrected_spectrum(problem: Problem, sites: tuple[Site, ...], beside: Beside) -> Spectra:
    """The second moments of the root gradients along the factors' eigenvectors (EK-FAC), from two passes."""
    first = FirstPass(beside)
    sums = factor_pass(problem, sites, first if beside.every else None)
    bases = {name: factors.basis() for name, factors in factors_of(problem, sites, sums).items()}
    own = first.bases(sums)
    rider = SecondPass(beside, own) if own else None
    eigenvalues = fit_eigenvalues(problem, sites, bases, rider=rider)
    return Spectra({**bases, **own}, eigenvalues, first.dense(sums))
