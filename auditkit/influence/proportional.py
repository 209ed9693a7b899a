"""How much of one parameter vector is a multiple of another, and which of two multiples explains more.

Regression through the origin with one coefficient; errors of parameters that belong to one unit of a layer move
together, so variances are summed by unit (White 1980, clustered). Two regressors that are not nested are compared by
Vuong's statistic (Vuong 1989): the mean gain in Gaussian log-likelihood, each with a variance of its own, in standard
errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from auditkit.influence.problem import Layout

_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Fit:
    """One regression through the origin."""

    slope: float
    error: float
    """Half of the 95 % interval of the slope."""
    left: Tensor
    """[D] residuals."""
    share: float
    """1 − |residuals|² / |vector|²."""


def fit(vector: Tensor, regressor: Tensor, units: Tensor) -> Fit:
    """The multiple of the regressor [D] nearest to the vector [D]; `units` [D] are numbers of units."""
    square = float(regressor.square().sum())
    slope = float(regressor @ vector) / square if square > 0 else 0.0
    left = vector - slope * regressor
    spread = float(by_unit(regressor * left, units).square().sum()) ** 0.5
    return Fit(slope, _NORMAL_95 * spread / square if square > 0 else 0.0, left, share(left, vector))


def share(left: Tensor, vector: Tensor) -> float:
    """Of the squared vector, what residuals explain."""
    whole = float(vector.square().sum())
    return 1 - float(left.square().sum()) / whole if whole > 0 else 0.0


def vuong(first: Tensor, second: Tensor, units: Tensor) -> float:
    """Standard normal where both residuals [D] are as good; positive where the first are smaller."""
    tiny = torch.finfo(torch.float64).tiny
    one, two = (float(e.square().mean().clamp(min=tiny)) for e in (first, second))
    gain = 0.5 * (torch.tensor(two / one).log() + second.square() / two - first.square() / one)
    sums = by_unit(gain, units)[torch.bincount(units) > 0]
    spread = float(sums.std() * len(sums) ** 0.5) if len(sums) > 1 else float("inf")
    return float(sums.sum()) / spread if spread > 0 else 0.0


def units_of(layout: Layout) -> Tensor:
    """[D] a number for each unit: rows or columns of a weight, whichever are more; entries of a vector."""
    parts, start = [], 0
    for shape in layout.shapes:
        rows = shape[0] if shape else 1
        columns = prod(shape) // max(1, rows)
        by_row, by_column = torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)
        parts.append(start + (by_row if rows >= columns else by_column))
        start += max(rows, columns)
    return torch.cat(parts)


def by_unit(values: Tensor, units: Tensor) -> Tensor:
    """[U] sums."""
    total = torch.zeros(int(units.max()) + 1, dtype=values.dtype, device=values.device)
    return total.index_add_(0, units, values)
