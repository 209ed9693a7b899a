"""Labels of groups and bins, and which bin a value falls in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = -1
EXACT = 2**53
"""From here on float64 does not hold every whole number."""
PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[-+]\d\d+)?")
_END = r"-?(?:inf|(?:0|[1-9]\d*)(?:\.\d+)?)"
_INTERVAL = re.compile(rf"([\[(])({_END}), ({_END})([\])])")


def group_label(value: object) -> str:
    """One value as the label of its group: one name, whether it is written as a text, a number or a truth value.

    A CSV column with a missing value turns 1 into 1.0, and one that was saved from text holds '1': all are the group
    `1`. True and the texts True, TRUE and true are `true`, which is not `1`. A text with a leading zero or a blank is a
    name, no number. Bins in the notation of intervals have their ends written alike: `(0.0, 30.0]` is `(0, 30]`.

    >>> [group_label(value) for value in (1, 1.0, "1", "1.0", "01", True, "True", 0.5, "0.50", "(0.0, 30.0]")]
    ['1', '1', '1', '1', '01', 'true', 'true', '0.5', '0.5', '(0, 30]']
    """
    kind = type(value).__name__
    if kind in ("bool", "bool_"):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text_label(str(value))
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        return _number_label(format(value, "f"))
    if isinstance(value, Real) and math.isfinite(value) and float(value).is_integer() and abs(float(value)) < EXACT:
        return str(int(float(value)))
    return str(value)


def _text_label(text: str) -> str:
    if text.casefold() in ("true", "false"):
        return text.casefold()
    if PLAIN_NUMBER.fullmatch(text):
        return _number_label(text)
    interval = _INTERVAL.fullmatch(text)
    if interval is None:
        return text
    left, low, high, right = interval.groups()
    return f"{left}{_number_label(low)}, {_number_label(high)}{right}"


def _number_label(text: str) -> str:
    """A plainly written number as Python writes it: whole ones without point, no digit of a long one lost."""
    if "inf" in text:
        return text
    if "e" not in text:
        whole, _, rest = text.partition(".")
        rest = rest.rstrip("0")
        text = f"{whole}.{rest}" if rest else whole
        return "0" if text == "-0" else text
    return group_label(float(text))


def reference_label(value: object) -> object:
    """A stated reference as the label of its group; what is no single value stays for the schema to refuse."""
    return group_label(value) if isinstance(value, (bool, int, float, str)) else value


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
