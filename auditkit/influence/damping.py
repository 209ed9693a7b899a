"""How much is added to the curvature's diagonal beyond the model's own L2, when the policy says `auto`.

Rule: the penalty (L2 plus damping) is lifted to `share` of the mean eigenvalue of the curvature; a model whose own L2
already reaches that gets no damping at all, because its L2 is part of the objective and nothing has to be guessed.
The share is 1e-6 for a model that is affine in its parameters (its curvature is the Hessian; damping is only there
for rounding) and 1e-3 otherwise (directions without curvature would otherwise take unbounded steps).
The rule looks at nothing but the curvature; how far the scores rest on it is reported beside them.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Damping: TypeAlias = float | Literal["auto"]

AFFINE_SHARE = 1e-6
GENERAL_SHARE = 1e-3


def added_damping(damping: Damping, *, mean_eigenvalue: float, penalty: float, affine: bool) -> float:
    """Damping to add to a block with this mean eigenvalue and this (largest) own L2."""
    if damping != "auto":
        return float(damping)
    if mean_eigenvalue == 0:
        # A block without curvature has no gradient either: any positive number gives the same zero.
        return max(0.0, 1.0 - penalty)
    return max(0.0, floor(mean_eigenvalue, affine=affine) - penalty)


def floor(mean_eigenvalue: float, *, affine: bool) -> float:
    """The penalty that `auto` lifts a block to."""
    return (AFFINE_SHARE if affine else GENERAL_SHARE) * mean_eigenvalue
