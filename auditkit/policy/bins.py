"""Labels of groups and bins, and which bin a value falls in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = -1


def group_label(value: bool | int | float | str) -> str:
    """A declared group as its label: texts as they are, `true`/`false`, and numbers without a trailing `.0`.

    A CSV column with a missing value turns 1 into 1.0; both are the group `1`.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def bin_labels(edges: Sequence[float]) -> tuple[str, ...]:
    """The labels of the half-open bins [edge, next edge).

    Whole-number edges from 0 name their last whole number: [18, 25, 40, .inf] gives `18-24`, `25-39`, `40+` (24.5 falls
    in `18-24`). Other edges are written as half-open: `0.0 to <0.5`, `0.5 and over`. A first edge of -.inf gives
    `under 18`.

    Args:
        edges: strictly ascending, at least two, infinite at the ends only.
    """
    finite = [edge for edge in edges if math.isfinite(edge)]
    whole = all(float(edge).is_integer() and edge >= 0 for edge in finite)
    return tuple(_label(low, high, whole=whole) for low, high in pairwise(edges))


def assign_bins(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """The bin [R] of each value [R]: lower edge included, upper edge not; UNKNOWN (-1) outside and where not finite.

    Args:
        values: numbers [R]; NaN is unknown.
        edges: strictly ascending, at least two.
    """
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    codes = np.searchsorted(np.asarray(edges, dtype=np.float64), numbers, side="right").astype(np.int64) - 1
    outside = ~np.isfinite(numbers) | (codes < 0) | (codes >= len(edges) - 1)
    codes[outside] = UNKNOWN
    return codes


def _label(low: float, high: float, *, whole: bool) -> str:
    if math.isinf(low) and math.isinf(high):
        return "any"
    if whole:
        if math.isinf(low):
            return f"under {int(high)}"
        if math.isinf(high):
            return f"{int(low)}+"
        return f"{int(low)}-{int(high) - 1}" if high - low > 1 else str(int(low))
    if math.isinf(low):
        return f"under {float(high)}"
    return f"{float(low)} and over" if math.isinf(high) else f"{float(low)} to <{float(high)}"
