"""Columns of the training records as levels: the vocabulary in which the most influential records are described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError
from auditkit.subject.types import UNKNOWN, Floats, Grouping, Ints

_BINS = 4
_DISTINCT = 12
MISSING = "missing"


@dataclass(frozen=True)
class Levels:
    """One column of the training records as codes into level names."""

    column: str
    labels: tuple[str, ...]
    codes: Ints
    """[N]"""
    always: bool
    """Whether every level is reported, or only those whose share differs from the base."""


def describe(
    frame: pd.DataFrame,
    label: Floats,
    groupings: Mapping[str, Grouping],
    rows: Ints,
    *,
    compare: Sequence[str],
    features: Sequence[str],
) -> tuple[Levels, ...]:
    """Protected groups, the label, the columns to compare, then the model's other features, for the training rows.

    Args:
        frame: [R] all rows. label: [R]. groupings: membership of [R]. rows: [N] positions of the training rows.
        compare: columns whose levels are all reported. features: columns reported where they differ.

    Raises:
        DataError: a column to compare does not exist.
    """
    absent = [name for name in compare if name not in frame.columns]
    if absent:
        raise DataError([Complaint(f"influence.compare names {name!r}, which is no column") for name in absent])
    found = [_of_grouping(grouping, rows) for grouping in groupings.values()]
    found.append(Levels("label", ("not favourable", "favourable"), label[rows].astype(np.int64), always=True))
    taken = {name for grouping in groupings.values() for name in grouping.columns if not grouping.of}
    wanted = [*compare, *(f for f in features if f not in compare and f not in taken and f in frame.columns)]
    found += [_of_column(name, frame[name].iloc[rows], always=name in compare) for name in dict.fromkeys(wanted)]
    return tuple(found)


def _of_grouping(grouping: Grouping, rows: Ints) -> Levels:
    codes = grouping.codes[rows]
    labels = (*grouping.labels, "unknown")
    return Levels(grouping.name, labels, np.where(codes == UNKNOWN, len(labels) - 1, codes), always=True)


def _of_column(name: str, values: pd.Series[str], *, always: bool) -> Levels:
    """Quartile bins for a numeric column with many values, the values themselves otherwise."""
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and values.nunique() > _DISTINCT:
        return _binned(name, np.asarray(values, dtype=np.float64), always=always)
    codes, levels = pd.factorize(values, sort=True)
    labels = (*(f"{level:g}" if isinstance(level, float) else str(level) for level in levels), MISSING)
    return Levels(name, labels, np.where(codes < 0, len(levels), codes).astype(np.int64), always)


def _binned(name: str, values: Floats, *, always: bool) -> Levels:
    """Bins at the quartiles, rounded to three digits first, so that a label says exactly what its bin holds."""
    known = ~np.isnan(values)
    quartiles = np.quantile(values[known], np.arange(1, _BINS) / _BINS)
    edges = np.unique([float(f"{edge:.3g}") for edge in quartiles])
    codes = np.where(known, np.searchsorted(edges, values, side="left"), len(edges) + 1)
    shown = [f"{edge:,.10g}" for edge in edges]
    middle = [f"over {low} to {high}" for low, high in pairwise(shown)]
    labels = (f"up to {shown[0]}", *middle, f"over {shown[-1]}", MISSING)
    return Levels(name, labels, codes.astype(np.int64), always)
