"""`ekfac`: eigenvalue-corrected Kronecker factors of the closed-form Gauss–Newton matrix, block by layer.

Linear, Embedding and convolution layers are factored (`sites`, `factored`, `kronecker`); every other parameter gets a
dense block of its module, or where that is too large a matrix block of its own (`beside`, `matrices`). The output
Hessian's root gives the backward vectors (one for a single logit, C − 1 for C classes): no labels are sampled. The
model's own L2 is inside, per parameter, exactly.

Factors and eigenvalues are means, which a part of the records estimates well: beyond `records` training records they
are fitted on that many, chosen by content (`sampling`), and the quality says how far the scores rest on the choice.

Source: George et al. 2018; Grosse et al. 2023, section 3.2. Cost: two passes of K backward vectors to fit, one pass of
C to score; no per-record gradients for layers without weight sharing, a few records' at a time for the others. Memory:
o² + i² + o·i numbers a layer.

Exact under squared loss for one linear layer or one convolution with one position, and block by block for deep linear
networks.
Wrong when: layers interact strongly (blocks between layers are left out), or inputs and output gradients of a layer
depend on each other in more than their joint second moments along the eigenvectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.influence.blocks import BlockCurvature, fit_blocks
from auditkit.influence.damping import Damping
from auditkit.influence.partial import FITTED, fit_part
from auditkit.influence.problem import Problem
from auditkit.influence.spectra import corrected_spectrum


@dataclass(frozen=True)
class Ekfac:
    """Settings of the EK-FAC estimator."""

    damping: Damping = "auto"
    dense_limit: int = 4096
    """Largest dense block, in parameters, for a module without Kronecker structure."""
    records: int = FITTED
    """Training records from which the curvature is fitted; all where there are no more."""

    def fit(self, problem: Problem) -> BlockCurvature:
        """Fit factors, eigenvalues and dense blocks.

        Raises:
            ModelError: a factor of some parameter would not fit in memory.
            NumericsError: a block is not positive definite with the damping given.
        """
        return fit_part(problem, self.records, self._fit)

    def _fit(self, problem: Problem) -> BlockCurvature:
        return fit_blocks(problem, corrected_spectrum, self.damping, dense_limit=self.dense_limit)
