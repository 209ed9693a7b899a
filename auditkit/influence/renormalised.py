"""Removal form `renormalised`: without the record the objective is a mean over the N − 1 others, the L2 stays.

With L = diag(lambda), the gradient of the remaining objective at a minimum of F is −(w_n grad l_n + L theta)/(N − 1):
the penalty no longer balances the data. Times (N − 1)/N, which moves no minimum, that objective is F without the record
under (N − 1)/N of the penalty; so its Newton step is the one of the fixed form with two changes,

    delta theta_n = 1/N (H' − w_n J_nᵀ W_n J_n / N)⁻¹ (w_n grad l_n + L theta),    H' = H with (N − 1)/N of its penalty

and equals H₋ₙ⁻¹(w_n grad l_n + L theta)/(N − 1), H₋ₙ the curvature of the remaining objective. The added pull is
the same for all records: it shifts every score of a slice by nearly the same number, and so decides signs. Damping
counts as penalty in H', not in the pull.

With sample or class weights it is the records that are counted, not their weights: the mean goes from 1/N to 1/(N − 1)
whatever w_n is, and a record of weight 0 is one of the N. A trainer that divides by the sum of the weights has the same
F where they average 1, and would go to 1/(N − w_n) instead; its pull is w_n times the one here.

The self-influence of a record can be negative here: with a weaker penalty all losses tend to fall. Wrong when: the
trained parameters are not a minimum of F, as for the fixed form.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor

from auditkit.influence.curvature import Curvature
from auditkit.influence.problem import Problem

RemovalForm: TypeAlias = Literal["fixed", "renormalised"]


def renormalise(problem: Problem, curvature: Curvature) -> tuple[Curvature, Tensor]:
    """H' and the pull L theta [D], for `scoring.score`."""
    return curvature.stiffer((problem.n - 1) / problem.n), problem.penalty * problem.flat()
