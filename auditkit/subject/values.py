"""Cell values as text, and whether a value of the policy means a value of the file.

A file may hold `1`, `1.0` or `"1"` where the policy says `1`. Values are compared by their text and, where both are
plain numbers, by their number; a text with a leading zero (`01`) is a code, never the number 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.policy.bins import PLAIN_NUMBER
from auditkit.subject.types import Ints

__all__ = [
    "PLAIN_NUMBER", "Scalar", "closest", "counted", "levels", "listing", "means", "number", "text_of", "texts",
]  # fmt: skip

Scalar = bool | int | float | str


def text_of(value: object) -> str:
    """One non-missing cell as text: whole floats without `.0`, `true` and `false`, all else as Python writes it."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 2**53:
        return str(int(value))
    return str(value)


def levels(column: pd.Series) -> tuple[Ints, tuple[str, ...]]:
    """Codes [R] into the sorted texts of a column; -1 where the cell is missing.

    Two values with one text (`1` and `1.0`) are one level.
    """
    codes, unique = pd.factorize(column)
    texts = [text_of(value) for value in unique]
    ordered = sorted(set(texts))
    place = {text: index for index, text in enumerate(ordered)}
    renumber = np.array([*(place[text] for text in texts), -1], dtype=np.int64)
    return renumber[codes], tuple(ordered)


def texts(column: pd.Series) -> NDArray[np.object_]:
    """A column as texts [R]; None where the cell is missing."""
    codes, names = levels(column)
    return np.array([*names, None], dtype=object)[codes]


def number(text: str) -> float | None:
    """The number that a text plainly writes, else None (`01`, ` 1`, `1,5` and `nan` are not plain numbers)."""
    return float(text) if PLAIN_NUMBER.fullmatch(text) else None


def means(text: str, wanted: Scalar) -> bool:
    """Whether the cell text is what the policy's value says.

    `true` and `false` of the policy also mean `True`, `TRUE` and so on, but never 1 and 0.
    """
    if isinstance(wanted, bool):
        return text.casefold() == str(wanted).casefold()
    said = text_of(wanted)
    if text == said:
        return True
    left, right = number(text), number(said)
    return left is not None and left == right


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, ignoring case; None when none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def counted(count: int, one: str, many: str) -> str:
    """`1 record has` or `1,204 records have`."""
    return f"{count:,} {one if count == 1 else many}"


def listing(items: Sequence[object], limit: int = 5) -> str:
    """`'a', 'b' and 3 more`: enough to find the place, never the whole file."""
    shown = ", ".join(repr(item) if isinstance(item, str) else str(item) for item in items[:limit])
    return f"{shown} and {len(items) - limit:,} more" if len(items) > limit else shown
