"""A distance between records with numbers, categories and gaps, and the table of distinct records it is taken on.

d(a, b)^2 = sum over numbers of ((a - b) / scale)^2 + the number of categories in which they differ. The scale
is the interquartile range / 1.349 over all rows (the standard deviation where that range is 0). A missing
number is a category of its own: two gaps agree, a gap and a value differ by one category.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from auditkit.errors import DataError
from auditkit.subject.types import Floats, Ints

PAIRS_FOR_MEDIAN: Final = 20_000_000
"""Distances computed for the median: all against all up to about 4,500 distinct records, else a sample."""
FEWEST_SAMPLED: Final = 200
CHUNK: Final = 200_000


@dataclass(frozen=True)
class Distinct:
    """The distinct records of all splits, D of them, and how often each occurs where."""

    numbers: Floats
    """[D, F] scaled numbers, gaps at 0."""
    codes: Ints
    """[D, C] category codes, gaps included."""
    counts: Mapping[str, Floats]
    """Split -> [D] occurrences."""
    of_row: Mapping[str, Ints]
    """Split -> index of the distinct record of each row."""


def distinct(features: Mapping[str, pd.DataFrame], numeric: Collection[str] | None) -> Distinct:
    """Encode the feature columns of every split together and number the distinct records.

    Args:
        features: split -> frame with the same columns.
        numeric: columns to measure as numbers; None: those with a numeric or date type.

    Raises:
        DataError: the splits have other columns, a number is infinite, or a numeric column holds text.
    """
    columns = list(next(iter(features.values())).columns)
    for name, part in features.items():
        if list(part.columns) != columns:
            message = f"the feature columns of split {name!r} differ from those of the other splits"
            raise DataError(message)
    frame = pd.concat([part[columns] for part in features.values()], ignore_index=True)
    numbers: list[Floats] = []
    codes: list[Ints] = []
    for column in columns:
        series = frame[column]
        if not is_number(series, numeric):
            codes.append(np.asarray(pd.factorize(series.astype("object"))[0], dtype=np.int64))
            continue
        scaled, gaps = _scaled(series)
        numbers.append(scaled)
        if gaps.any():
            codes.append(gaps.astype(np.int64))
    rows = len(frame)
    stacked = np.column_stack([*numbers, *codes, np.zeros(rows)])
    _, first, inverse = np.unique(stacked, axis=0, return_index=True, return_inverse=True)
    bounds = np.cumsum([0, *(len(part) for part in features.values())])
    of_row = {
        name: inverse.ravel()[start:stop].astype(np.int64)
        for name, start, stop in zip(features, bounds[:-1], bounds[1:], strict=True)
    }
    counts = {name: np.bincount(at, minlength=len(first)).astype(np.float64) for name, at in of_row.items()}
    number_table = np.column_stack(numbers)[first] if numbers else np.empty((len(first), 0))
    code_table = np.column_stack(codes)[first] if codes else np.empty((len(first), 0), dtype=np.int64)
    return Distinct(number_table, code_table, counts, of_row)


def median_nearest(table: Distinct, split: str, generator: np.random.Generator) -> float | None:
    """Median distance from a distinct record of the split to its nearest other one; None with fewer than two.

    Over a random sample of records when all against all would be more than 20 million distances: the median
    then has the sampling error of that many draws.
    """
    rows = np.flatnonzero(table.counts[split] > 0)
    if len(rows) < 2:
        return None
    size = min(len(rows), max(FEWEST_SAMPLED, PAIRS_FOR_MEDIAN // len(rows)))
    sample = rows if size == len(rows) else np.sort(generator.choice(rows, size, replace=False))
    step = max(1, CHUNK // len(rows))
    nearest = [_nearest(table, sample[i : i + step], rows) for i in range(0, len(sample), step)]
    return float(np.median(np.sqrt(np.concatenate(nearest))))


def _nearest(table: Distinct, some: Ints, all_: Ints) -> Floats:
    """Squared distance from each of `some` to the nearest of `all_` that is another record."""
    total = np.zeros((len(some), len(all_)))
    for column in table.numbers.T:
        total += np.subtract.outer(column[some], column[all_]) ** 2
    for column in table.codes.T:
        total += np.not_equal.outer(column[some], column[all_])
    total[some[:, None] == all_[None, :]] = np.inf
    return np.asarray(total.min(axis=1), dtype=np.float64)


def is_number(series: pd.Series, numeric: Collection[str] | None) -> bool:
    """Whether a column is measured as a number."""
    if numeric is not None:
        return series.name in numeric
    if pd.api.types.is_bool_dtype(series.dtype):
        return False
    return pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_datetime64_any_dtype(series.dtype)


def _scaled(series: pd.Series) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Centred and robustly scaled numbers [R] with gaps at 0, and where the gaps are."""
    try:
        values = _as_floats(series)
    except (TypeError, ValueError) as error:
        message = f"feature column {series.name!r} is declared numeric and holds something that is no number"
        raise DataError(message) from error
    gaps = np.isnan(values)
    if np.isinf(values).any():
        message = f"feature column {series.name!r} holds an infinite number"
        raise DataError(message)
    present = values[~gaps]
    if not len(present) or present.min() == present.max():
        return np.zeros(len(values)), gaps
    low, middle, high = np.quantile(present, [0.25, 0.5, 0.75])
    scale = (high - low) / 1.349 or float(present.std())
    return np.where(gaps, 0.0, (values - middle) / scale), gaps


def _as_floats(series: pd.Series) -> Floats:
    """The column as float64, dates as days."""
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        days = (series - series.min()) / pd.Timedelta(days=1)
        return np.asarray(days.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
