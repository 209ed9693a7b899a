"""A table as conditions: levels of categorical columns, and ranges of numeric ones between rounded quartiles."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import sparse

from auditkit.subject.types import Ints, Mask

QUARTILES: Final = (0.25, 0.5, 0.75)
DIGITS: Final = 2
"""Significant digits of a range's edge: an edge that is some record's own value would be published otherwise."""
MISSING: Final = "missing"


@dataclass(frozen=True)
class Conditions:
    """C conditions over M records."""

    texts: tuple[str, ...]
    column: Ints
    """[C] number of the column that the condition is on; conditions of one column exclude each other."""
    holds: sparse.csr_array
    """[M, C] 1.0 where the condition holds."""

    def mask(self, chosen: tuple[int, ...]) -> Mask:
        """[M] records that meet all the conditions chosen."""
        columns, met = self._columns, np.zeros(self.holds.shape[0], dtype=np.int64)
        for at in chosen:
            met[columns.indices[columns.indptr[at] : columns.indptr[at + 1]]] += 1
        return np.asarray(met == len(chosen), dtype=np.bool_)

    @cached_property
    def _columns(self) -> sparse.csc_array:
        return self.holds.tocsc()


def conditions(frame: pd.DataFrame, *, numeric: Collection[str] | None, minimum: int) -> Conditions:
    """Every condition that at least `minimum` records meet, and at least as many do not.

    Args:
        frame: [M] rows. numeric: columns measured as numbers; None: by column type. minimum: records.

    A missing value is a level of its own. Numeric columns with at most four values are taken by value.
    """
    texts: list[str] = []
    columns: list[int] = []
    where: list[Ints] = []
    for number, name in enumerate(frame.columns):
        measured = pd.api.types.is_numeric_dtype(frame[name]) if numeric is None else name in numeric
        read = _ranges if measured else _levels
        for text, mask in read(frame[name], str(name), minimum):
            met = np.flatnonzero(mask)
            if minimum <= len(met) <= len(mask) - minimum:
                texts.append(text)
                columns.append(number)
                where.append(met)
    shape = (len(frame), len(texts))
    ends = np.cumsum([0, *(len(met) for met in where)])
    indices = np.concatenate(where) if where else np.zeros(0, dtype=np.int64)
    holds = sparse.csc_array((np.ones(len(indices)), indices, ends), shape=shape).tocsr()
    return Conditions(tuple(texts), np.array(columns, dtype=np.int64), holds)


def _levels(values: pd.Series[Any], name: str, minimum: int) -> Iterator[tuple[str, Mask]]:
    """Levels that at least `minimum` records have."""
    codes, levels = pd.factorize(values, sort=False)
    sizes = np.bincount(codes[codes >= 0], minlength=len(levels))
    for code in np.argsort([str(level) for level in levels], kind="stable"):
        if sizes[code] < minimum:
            continue
        yield f"{name} = {levels[code]}", np.asarray(codes == code, dtype=np.bool_)
    if (codes < 0).any():
        yield f"{name} {MISSING}", np.asarray(codes < 0, dtype=np.bool_)


def _ranges(values: pd.Series[Any], name: str, minimum: int) -> Iterator[tuple[str, Mask]]:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known])) <= len(QUARTILES) + 1:
        yield from _levels(values, name, minimum)
        return
    edges = sorted({_rounded(edge) for edge in np.quantile(numbers[known], QUARTILES)})
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        inside = known.copy()
        if low is not None:
            inside &= numbers >= low
        if high is not None:
            inside &= numbers < high
        held = np.unique(numbers[inside])
        yield (f"{name} = {held[0]:g}" if len(held) == 1 else _between(name, low, high)), inside
    if not known.all():
        yield f"{name} {MISSING}", ~known


def _between(name: str, low: float | None, high: float | None) -> str:
    if low is None:
        return f"{name} < {high:,g}"
    return f"{name} >= {low:,g}" if high is None else f"{low:,g} <= {name} < {high:,g}"


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS - 1}e}")
