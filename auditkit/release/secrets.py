"""What no public file may hold: ids of records and persons, rare texts, and values of single records.

What can be looked for byte by byte is looked for so. What cannot be told from an ordinary number or word by its bytes
(an id `17`, a surname that is a word) is counted here as unchecked, and left to the structure of the result, which has
no field that an id could stand in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.subject.types import Floats, Table

RUN: Final = re.compile(r"[^\W_]+")
NUMBER_ID: Final = 7
"""Digits from which an id of digits alone is told from a count."""
MIXED_ID: Final = 4
"""Characters from which an id of letters and digits is told from a label."""
TEXT: Final = 8
"""Characters from which a rare text of several words is told from an ordinary phrase."""
FEATURE_DIGITS: Final = 7
"""Significant digits from which a feature's value is told from an aggregate of fewer digits."""
EXTREME_DIGITS: Final = 5
"""The same for the least and the largest value of a column, which are few."""


@dataclass(frozen=True)
class Secrets:
    """Ready to be searched for."""

    ids: frozenset[str]
    """Letters and digits, in lower case, without separators."""
    literal: frozenset[str]
    """The same as written, in lower case."""
    numbers: frozenset[str]
    """Ids of digits alone."""
    texts: frozenset[str]
    """Rare texts of several words, in lower case, without separators."""
    values: frozenset[float]
    """Values of features, exact."""
    answers: Floats
    """Values of single records that an audit computed, sorted."""
    unchecked: int
    """Ids that cannot be told from ordinary numbers and words by their bytes."""
    digests: frozenset[str]
    """Digests that may be published."""


def secrets_of(
    table: Table,
    arrays: Iterable[NDArray[Any]],
    *,
    keys: Sequence[str | None],
    public: Iterable[str],
    digests: Iterable[str],
    minimum: int,
) -> Secrets:
    """Everything that a public file must not hold.

    Args:
        table: all records. arrays: restricted arrays and columns of restricted tables.
        keys: columns that hold ids.
        public: texts that are public in any case: the policy's, and the labels of groups.
        digests: digests that may be published. minimum: persons from which a value is no single record's.
    """
    said = [text.lower() for text in public]
    words = {_plain(text) for text in said} | {run for text in said for run in RUN.findall(text)}
    given = {float(n) for text in said for n in re.findall(r"\d+(?:\.\d+)?", text)}
    known = {str(key) for key in (*table.ids, *(() if table.persons is None else table.persons))} - {"None", "nan"}
    mixed = {key for key in known if _mixed(key) and _plain(key) not in words}
    numbers = {key for key in known if key.isdigit() and len(key) >= NUMBER_ID and float(key) not in given}
    features = [name for name in table.frame.columns if name not in keys]
    rare = set[str]()
    values = set[float]()
    for name in features:
        column = table.frame[name]
        if pd.api.types.is_bool_dtype(column):
            continue
        if pd.api.types.is_numeric_dtype(column):
            values |= _few_values(column.to_numpy(dtype=np.float64, na_value=np.nan), minimum)
        else:
            rare |= _few_texts(column, minimum)
    return Secrets(
        ids=frozenset(_plain(key) for key in mixed), literal=frozenset(key.lower() for key in mixed),
        numbers=frozenset(numbers), texts=frozenset(rare - words), values=frozenset(values - given),
        answers=_answers(arrays, minimum), unchecked=len(known) - len(mixed) - len(numbers),
        digests=frozenset(digest.lower() for digest in digests),
    )  # fmt: skip


def significant(text: str) -> int:
    """Significant digits of a number as it is written."""
    mantissa = re.split("[eE]", text)[0].replace(",", "").lstrip("+-\N{MINUS SIGN}")
    digits = mantissa.replace(".", "").lstrip("0")
    return len(digits if "." in mantissa else digits.rstrip("0"))


def texts_in(value: object) -> Iterable[str]:
    """Every text and number of a document, keys too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)
    elif value is not None:
        yield str(value)


def counts_in(value: object) -> Iterable[str]:
    """Every whole number that a result has a field for: a count of millions may be somebody's number as well."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from counts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from counts_in(inner)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _plain(text: str) -> str:
    return "".join(RUN.findall(text.lower()))


def _mixed(key: str) -> bool:
    """Whether it has letters and digits, or several words: such a text does not occur by chance."""
    if key.isdigit():
        return False
    plain = _plain(key)
    both = any(c.isdigit() for c in plain) and any(c.isalpha() for c in plain)
    several = len(RUN.findall(key)) > 1 and plain.isalpha() and len(plain) >= TEXT
    return (both and len(plain) >= MIXED_ID) or several


def _few_values(column: Floats, minimum: int) -> set[float]:
    """Values of many digits that few records hold, and the column's extremes."""
    found, counts = np.unique(column[np.isfinite(column)], return_counts=True)
    if not len(found):
        return set()
    few = [float(v) for v in found[counts < minimum] if significant(_written(v)) >= FEATURE_DIGITS]
    ends = [float(v) for v in (found[0], found[-1]) if _long(float(v))]
    return {*few, *ends}


def _long(value: float) -> bool:
    """Whether an extreme of a column is told from a count or a coordinate."""
    return significant(_written(value)) >= EXTREME_DIGITS and abs(value) >= 1


def _written(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _few_texts(column: pd.Series[Any], minimum: int) -> set[str]:
    """Texts of several words (or of letters and digits) that few records hold."""
    counts = column.dropna().astype(str).value_counts()
    return {_plain(text) for text in counts.index[counts < minimum] if _mixed(text) and len(_plain(text)) >= TEXT}


def _answers(arrays: Iterable[NDArray[Any]], minimum: int) -> Floats:
    found: list[Floats] = [np.empty(0)]
    for array in arrays:
        if not np.issubdtype(array.dtype, np.floating):
            continue
        values, counts = np.unique(np.asarray(array, dtype=np.float64).ravel(), return_counts=True)
        found.append(values[np.isfinite(values) & (counts < minimum) & (values != 0)])
    return np.unique(np.concatenate(found))
