"""`ekfac`: eigenvalue-corrected Kronecker factors of the closed-form Gauss–Newton matrix, block by layer.

Linear and Embedding layers are factored (`kronecker`, `factored`); every other parameter gets a dense block of its
module from per-record Jacobians. The output Hessian's root gives the backward vectors (one for a single logit, C − 1
for C classes): no labels are sampled. The model's own L2 is inside, per parameter, exactly.

Source: George et al. 2018; Grosse et al. 2023, section 3.2. Cost: two passes of K backward vectors to fit, one pass of
C to score; no per-record gradients for layers without weight sharing. Memory: o² + i² + o·i numbers a layer.

Exact for one linear layer under squared loss, and block by block for deep linear networks under squared loss.
Wrong when: layers interact strongly (blocks between layers are left out), or inputs and output gradients of a layer
depend on each other in more than their joint second moments along the eigenvectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.influence.blocks import BlockCurvature, corrected_spectrum, fit_blocks
from auditkit.influence.damping import Damping
from auditkit.influence.problem import Problem


@dataclass(frozen=True)
class Ekfac:
    """Settings of the EK-FAC estimator."""

    damping: Damping = "auto"
    dense_limit: int = 4096
    """Largest dense block, in parameters, for modules without Kronecker structure."""

    def fit(self, problem: Problem) -> BlockCurvature:
        """Fit factors, eigenvalues and dense blocks.

        Raises:
            ModelError: a module without Kronecker structure has more than `dense_limit` parameters.
            NumericsError: a block is not positive definite with the damping given.
        """
        return fit_blocks(problem, corrected_spectrum, self.damping, dense_limit=self.dense_limit)
