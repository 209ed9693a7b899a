"""`kfac`: Kronecker factors of the closed-form Gauss–Newton matrix, block by layer, without corrected eigenvalues.

    H ≈ (G ⊗ A) / (T W) + penalty,   G = sum p_n d dᵀ,   A = sum p_n a aᵀ,   p_n = w_n / N,   W = sum p_n

with d the root gradients at a layer's output, a its inputs (1 appended for the bias), T the positions of a record that
share the weight (1 for a plain tabular layer, as many as windows for a convolution). The penalty (the model's own L2
per weight and bias, and the damping) is added to the product itself and inverted exactly in its eigenbasis; it is not
spread over the factors.

Source: Martens & Grosse 2015, section 3; Grosse & Martens 2016 for shared weights. Cost: one pass of K backward vectors
to fit (`ekfac` takes two), one pass of C to score. Memory: o² + i² + o·i numbers a layer.

Exact for one linear layer, and block by block for deep linear networks, under squared loss with one position.
Wrong when: a layer's inputs and output gradients depend on each other across records, or the positions of a record do;
`ekfac` corrects part of the first. Coverage, dense blocks and refusals are those of `ekfac`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from auditkit.influence.beside import Beside, FirstPass
from auditkit.influence.blocks import BlockCurvature, fit_blocks
from auditkit.influence.capture import Site
from auditkit.influence.damping import Damping
from auditkit.influence.layers import factor_pass, factors_of
from auditkit.influence.partial import FITTED, fit_part
from auditkit.influence.problem import Problem
from auditkit.influence.spectra import Spectra


@dataclass(frozen=True)
class Kfac:
    """Settings of the K-FAC estimator."""

    damping: Damping = "auto"
    dense_limit: int = 4096
    """Largest dense block, in parameters, for modules without Kronecker structure."""
    records: int = FITTED
    """Training records from which the curvature is fitted (`partial`); all where there are no more."""

    def fit(self, problem: Problem) -> BlockCurvature:
        """Fit factors and dense blocks.

        Raises:
            ModelError: a factor of some parameter would not fit in memory.
            NumericsError: a block is not positive definite with the damping given.
        """
        return fit_part(problem, self.records, self._fit)

    def _fit(self, problem: Problem) -> BlockCurvature:
        return fit_blocks(problem, product_spectrum, self.damping, dense_limit=self.dense_limit)


def product_spectrum(problem: Problem, sites: tuple[Site, ...], beside: Beside) -> Spectra:
    """Eigenvectors of the factors, and the products [o, i] of their eigenvalues, from one pass."""
    first = FirstPass(beside)
    sums = factor_pass(problem, sites, first if beside.every else None)
    mass = float(problem.processes.sum(problem.weights.sum())) / problem.n
    bases = first.bases(sums)
    eigenvalues = first.products(sums, bases)
    for name, factors in factors_of(problem, sites, sums).items():
        basis = factors.basis()
        outputs = _eigenvalues(factors.outputs, basis.left)
        inputs = factors.inputs if basis.right is None else _eigenvalues(factors.inputs, basis.right)
        bases[name] = basis
        eigenvalues[name] = torch.outer(outputs, inputs) / (factors.positions * mass)
    return Spectra(bases, eigenvalues, first.dense(sums))


def _eigenvalues(factor: Tensor, vectors: Tensor) -> Tensor:
    """Eigenvalues that go with these eigenvectors; rounding below zero is zero."""
    values: Tensor = (vectors * (factor @ vectors)).sum(0)
    return values.clamp(min=0.0)
