"""Claims on the figures of a result: what each ought to be, how exactly, and which figure nobody claims.

`complaints(actual, expected)` walks a part of `audit.json`. Every number in it must be met by a number of the same
place in `expected` (exact up to float rounding), or by a `Near`; every text that holds a figure by the same text, or by
a `Says` with the figures that it may print. What has no counterpart is a complaint: a figure nobody recomputed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

RELATIVE = 1e-9
ABSOLUTE = 1e-12
UNCLAIMED = object()
NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+| × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?![\w])")
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
FIXED = {"formula", "meaning", "source", "title", "attack_source", "measure"}
"""Fields whose text is the same in every report: definitions, names and literature, with its years and sections."""


@dataclass(frozen=True)
class Near:
    """A figure known up to a stated uncertainty, and printed on a stated grid.

    `shown` is the monotone rule by which the exact value becomes the printed one (rounding to a step); the identity
    where nothing is rounded.
    """

    low: float
    high: float
    shown: Callable[[float], float] = float

    def meets(self, found: float) -> bool:
        """Whether some value within the uncertainty is printed as `found`."""
        low, high = self.shown(self.low), self.shown(self.high)
        slack = ABSOLUTE + RELATIVE * max(abs(low), abs(high))
        on_grid = abs(self.shown(found) - found) <= slack
        return on_grid and low - slack <= found <= high + slack

    def __repr__(self) -> str:
        return f"{self.shown(self.low):.10g} to {self.shown(self.high):.10g}"


def about(value: float, tolerance: float) -> Near:
    """A value up to a tolerance."""
    return Near(value - tolerance, value + tolerance)


class Says:
    """A text whose figures are these and no others, each rounded as the text rounds it; names may hold digits."""

    def __init__(self, *figures: float | Near | None, names: Iterable[str] = ()) -> None:
        self.figures = [figure for figure in figures if figure is not None]
        self.names = sorted(names, key=len, reverse=True)

    def unexplained(self, text: str) -> list[str]:
        """The figures of the text that none of these gives."""
        for name in self.names:
            text = text.replace(name, " ")
        return [token for token in tokens(text) if not any(prints(token, figure) for figure in self.figures)]

    def __repr__(self) -> str:
        return f"Says({', '.join(map(repr, self.figures))})"


def tokens(text: str) -> list[str]:
    """The figures that a text prints; dates, versions and names that hold digits are one token or none."""
    return NUMBER.findall(text.replace("\u00a0", " "))


def parsed(token: str) -> tuple[float, float] | None:
    """A figure and half a unit of its last digit; None for a version or another thing that is no number."""
    plain = token.replace("−", "-").replace("+", "")
    mantissa, _, power = re.sub(r" × 10(.*)", r"e\1", plain).translate(SUPERSCRIPTS).partition("e")
    if not re.fullmatch(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", mantissa) or not re.fullmatch(r"|[-+]?\d\d?", power):
        return None
    mantissa = mantissa.replace(",", "")
    digits = len(mantissa.partition(".")[2])
    scale = 10.0 ** int(power or 0)
    return float(mantissa) * scale, 0.5 * 10.0**-digits * scale


def prints(token: str, figure: float | Near, scales: tuple[int, ...] = (1, 100)) -> bool:
    """Whether a printed figure is this one, as it is or as a percentage, rounded to its last printed digit.

    A figure printed without decimals stands for a whole number, or for three significant digits above 100.
    """
    read = parsed(token)
    if read is None:
        return False
    printed, half = read
    low, high = (figure.low, figure.high) if isinstance(figure, Near) else (figure, figure)
    if isinstance(figure, Near):
        low, high = figure.shown(low), figure.shown(high)
    for scale in scales:
        exact = half == 0.5 and abs(printed) < 100
        slack = 1e-9 * max(1.0, abs(printed)) if exact else half * (1 + 1e-9)
        if low * scale - slack <= printed <= high * scale + slack:
            return True
    return False


def complaints(actual: Any, expected: Any, where: str = "") -> list[str]:
    """Every figure of `actual` that differs from its claim or that nobody claims."""
    if isinstance(actual, dict):
        return _of_mapping(actual, expected, where)
    if isinstance(actual, list):
        return _of_list(actual, expected, where)
    if isinstance(actual, bool):
        return [] if expected is UNCLAIMED or expected == actual else [f"{where}: {actual}, not {expected}"]
    if isinstance(actual, str):
        return _of_text(actual, expected, where)
    if actual is None:
        return [] if expected is UNCLAIMED or expected is None else [f"{where}: withheld, not {expected}"]
    return _of_number(actual, expected, where)


def _of_number(actual: float, expected: Any, where: str) -> list[str]:
    if expected is UNCLAIMED:
        return [f"{where}: nobody claims {actual!r}"]
    if isinstance(expected, Near):
        return [] if expected.meets(actual) else [f"{where}: {actual!r}, not {expected}"]
    if not isinstance(expected, int | float):
        return [f"{where}: {actual!r}, though it ought to be {expected!r}"]
    close = abs(actual - expected) <= ABSOLUTE + RELATIVE * abs(expected)
    return [] if close else [f"{where}: {actual!r}, not {float(expected)!r}"]


def _of_text(actual: str, expected: Any, where: str) -> list[str]:
    if isinstance(expected, Says):
        left = expected.unexplained(actual)
        return [f"{where}: {', '.join(left)} in {actual!r} is none of {expected}"] if left else []
    if isinstance(expected, str):
        return [] if actual == expected else [f"{where}: {actual!r}, not {expected!r}"]
    if where.rsplit(".", 1)[-1] in FIXED or not tokens(actual):
        return []
    return [f"{where}: nobody claims the figures of {actual!r}"]


def _of_mapping(actual: dict[str, Any], expected: Any, where: str) -> list[str]:
    if expected is not UNCLAIMED and not isinstance(expected, dict):
        return [f"{where}: a record, though it ought to be {expected!r}"]
    own = {} if expected is UNCLAIMED else expected
    lacking = [f"{where}: lacks {key!r}" for key in own if key not in actual]
    found = (complaints(value, own.get(key, UNCLAIMED), f"{where}.{key}") for key, value in actual.items())
    return [*lacking, *(text for part in found for text in part)]


def _of_list(actual: list[Any], expected: Any, where: str) -> list[str]:
    if isinstance(expected, Says):
        expected = [expected] * len(actual)
    if expected is not UNCLAIMED and (not isinstance(expected, list) or len(expected) != len(actual)):
        size = len(expected) if isinstance(expected, list) else expected
        return [f"{where}: {len(actual)} entries, though there ought to be {size}"]
    own = [UNCLAIMED] * len(actual) if expected is UNCLAIMED else expected
    pairs = enumerate(zip(actual, own, strict=True))
    return [text for k, (value, claim) in pairs for text in complaints(value, claim, f"{where}[{k}]")]


def count_figures(part: Any) -> int:
    """How many numbers a part holds."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        return sum(count_figures(value) for value in part)
    return int(isinstance(part, int | float) and not isinstance(part, bool))


def by_key(rows: Iterable[dict[str, Any]], *keys: str) -> dict[str, dict[str, Any]]:
    """Rows under their keys, so that they are compared whatever their order.

    Raises:
        AssertionError: two rows have the same keys.
    """
    listed = list(rows)
    named = {" / ".join(str(row[key]) for key in keys): row for row in listed}
    assert len(named) == len(listed), f"rows share {keys}"
    return named
