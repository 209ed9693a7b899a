"""Chebyshev iteration for a symmetric positive definite system: the Neumann series with the best weights.

Its residual polynomial is T_k((u + l − 2 x) / (u − l)) / T_k((u + l) / (u − l)): the smallest on [l, u] of all with
value 1 at 0, and below 1 on (0, u], so that a bound l that is too large slows the iteration down and cannot make it
diverge. About sqrt(u / l) / 2 steps for each factor e, where the plain series takes u / l. With l = u the steps are
those of the plain series, r / u each. Source: Saad, Iterative Methods for Sparse Linear Systems, 2nd ed.,
algorithm 12.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import acosh, ceil

from torch import Tensor


def chebyshev(
    product: Callable[[Tensor], Tensor], answer: Tensor, left: Tensor, *, lower: float, upper: float
) -> Iterator[Tensor]:
    """Answers [D, K] of product(answer) = b after one step, two steps, and so on, without end.

    Args:
        product: vectors [D, K] -> H vectors. answer: to start from. left: b − H answer.
        lower, upper: bounds of the spectrum, 0 < lower <= upper; upper must hold.
    """
    centre, half = (upper + lower) / 2, (upper - lower) / 2
    weight, step = half / centre, left / centre
    while True:
        answer = answer + step
        yield answer
        left = left - product(step)
        # 1 / (2 centre / half − weight), free of a division by half = 0.
        following = half / (2 * centre - half * weight)
        gain = 2 / (2 * centre - half * weight)
        step, weight = following * weight * step + gain * left if half else left / centre, following


def steps_for(factor: float, *, lower: float, upper: float) -> int:
    """Steps after which residuals have certainly shrunk to 1 / factor."""
    return ceil(acosh(max(factor, 1.0)) / acosh(1 + 2 * lower / max(upper - lower, 1e-12 * upper)))
