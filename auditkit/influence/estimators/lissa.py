"""`lissa`: the truncated Neumann series of H⁻¹, by a recursion over products with the curvature.

    v ← g + (I − H / scale) v,   H⁻¹ g = v / scale,   H = G + diag(lambda + damping)

converges where scale exceeds half of H's largest eigenvalue, and monotonically where it exceeds all of it. The scale is
therefore not guessed: it is `margin` times the largest eigenvalue of G by block power iteration from a fixed start
(never above the trace of G, which bounds it), plus the largest penalty. In full-batch form nothing is random, and each
term of the series takes Chebyshev's weight instead of 1 (`chebyshev`; `acceleration="none"` is the plain series), which
needs the square root of the steps: sqrt(scale / mu) / 2 · log(2 scale / (mu · tolerance)), mu the smallest penalty.

The recursion stops when a bound on its error is met: with mu > 0 |x − H⁻¹g| <= |g − Hx| / mu. Without (an unpenalised
parameter, no damping) the lower end of the spectrum is guessed from Ritz values, lowered while the residual falls too
slowly, and the bound is ten times q / (1 − q) of the last change, q the factor by which the last polynomial shortened
the residual.

With `sample` records drawn for each step (with replacement, from `seed`) the scale grows by R / sample, R the largest
single record's eigenvalue, so that the steps stay contractive in mean square; the answer is the mean of the last half
of the steps, over `repeats` runs, and its standard error over the runs is stated. It then depends on the row order.

Source: Agarwal, Bullins & Hazan 2017; Koh & Liang 2017, section 3. Cost: one product a step (10·N·D operations a
column; 10·sample·D when sampled); the steps are foreseen where mu > 0, and refused above `most`. Sampled steps are the
plain series, scale/mu · log(scale / (mu · tolerance)) of them. Self-influence: see `iterative`.

Wrong when: H is ill conditioned (refused), or a sampled answer is read without its standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from auditkit.influence.damping import Damping
from auditkit.influence.iterative import IterativeCurvature, with_damping
from auditkit.influence.krylov import largest_eigenvalue
from auditkit.influence.neumann import Neumann, Series
from auditkit.influence.problem import Problem
from auditkit.influence.products import HELD, GaussNewton


@dataclass(frozen=True)
class Lissa(Series):
    """Settings of the LiSSA estimator."""

    damping: Damping = "auto"
    margin: float = 1.1
    """Times the largest eigenvalue found, for the scale."""
    held: int = HELD
    """Numbers of the root Jacobian up to which it is formed once."""
    operations: float = 2e13
    """Most operations for the quadratic forms of all records."""

    def fit(self, problem: Problem) -> IterativeCurvature:
        """Bound the spectrum and solve one column as a test.

        Raises:
            NumericsError: the recursion diverges or would need more than `most` steps.
            ModelError: the loss is not convex in the outputs.
        """
        operator = GaussNewton.of(problem, held=self.held)
        largest = self.margin * largest_eigenvalue(operator)
        # The trace bounds the largest eigenvalue from above, whatever power iteration has found.
        largest = min(largest, float(operator.diagonal.sum()))
        if self.sample is not None:
            largest += operator.largest / self.sample

        def make(operator: GaussNewton, penalty: Tensor) -> Neumann:
            return Neumann(operator, penalty, largest, self)

        solver, added, trial = with_damping(operator, self.damping, make)
        return IterativeCurvature(operator, solver, added, trial, 1 - 10 * self.tolerance, self.operations)
