"""`logra`: low-rank gradient projection, two-sided for each layer, and the Gauss–Newton curvature of what is kept.

    scores = grad mᵀ P (Pᵀ (G + diag λ) P + damping I)⁻¹ Pᵀ grad l / N

P keeps `rank` directions of each layer's inputs (1 appended for the bias) and of its output gradients, capped by their
number: rank² coordinates a layer, as in the paper and in its library, whose rank counts one side too. Parameters beside
such layers keep at most rank² random combinations. G is block-diagonal by layer, in closed form: no labels are sampled.

Source: Choe et al. 2024, sections 3.2 and 3.3. Cost: one pass of K + 1 backward vectors to fit (one more to choose
leading directions), one to score, both with sum_t k (o + i) operations a record and layer; rank⁴ numbers a layer.
Its projected gradients can be kept on disk and asked again without the training data: `store`.

At full rank it is the block Gauss–Newton curvature exactly. Wrong when: gradients that matter lie outside the kept
directions (the quality says what share of the curvature's trace lies inside), or layers interact strongly.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from auditkit.influence.damping import Damping
from auditkit.influence.jacobian import is_affine
from auditkit.influence.problem import Problem
from auditkit.influence.projected import ProjectedCurvature
from auditkit.influence.projected_sums import add_sums, batch_gradients, invert_sums, no_sums, rows_for
from auditkit.influence.projecting import Directions, choose_projection
from auditkit.influence.projection import Projection
from auditkit.influence.sharing import summed


@dataclass(frozen=True)
class Logra:
    """Settings of the LoGra estimator."""

    damping: Damping = "auto"
    rank: int = 64
    """Directions kept of each side of a layer."""
    directions: Directions = "random"
    """Which: orthonormal ones at random, or the leading eigenvectors of each side's second moment."""
    seed: int = 0
    """Of the generator of random directions."""

    def fit(self, problem: Problem) -> ProjectedCurvature:
        """Choose the projection, accumulate the projected Gauss–Newton blocks and invert them.

        Raises:
            ModelError: the loss is not convex in the outputs.
            NumericsError: a block is not positive definite with the damping given.
        """
        projection = choose_projection(problem, rank=self.rank, directions=self.directions, seed=self.seed)
        sums = summed(problem, "logra", lambda: _sums(problem, projection))
        blocks, kept = invert_sums(problem, projection, sums, self.damping, affine=is_affine(problem))
        return ProjectedCurvature(problem, projection, blocks, kept)


def _sums(problem: Problem, projection: Projection) -> dict[str, Tensor]:
    sums, spans = no_sums(projection, problem.targets.device), projection.spans()
    for batch in problem.rows(rows_for(problem, projection)):
        found = batch_gradients(problem, projection, batch)
        add_sums(sums, spans, found, problem.weights[batch[0]])
    return sums
