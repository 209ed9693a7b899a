"""Rows as numbers: what a tabular model reads, fitted on the training rows and frozen.

A numeric column becomes (x - mean) / sd of its known training values (sd with divisor N; 1 for a constant column), a
missing cell 0, and a second column that is 1 where the cell is missing if any training cell is. A categorical column
becomes one column per training level (sorted by text), one for missing and one for unseen; or, with embeddings, the
index of that column. Columns keep the policy's order: all numeric ones, then all categorical ones.

float64 throughout: these models are small, and exact influence needs the digits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from auditkit.errors import ModelError
from auditkit.subject.types import Check, Floats, Ints
from auditkit.subject.values import levels, listing

EXTRA_LEVELS = ("missing", "unseen")


@dataclass(frozen=True)
class NumericColumn:
    """How one numeric column is standardised."""

    name: str
    mean: float
    scale: float
    indicator: bool
    """Whether a missing indicator follows the value."""


@dataclass(frozen=True)
class CategoricalColumn:
    """The levels of one categorical column; index len(levels) is missing, len(levels) + 1 is unseen."""

    name: str
    levels: tuple[str, ...]

    @property
    def width(self) -> int:
        """Levels with the two extra ones."""
        return len(self.levels) + len(EXTRA_LEVELS)


@dataclass(frozen=True)
class Encoding:
    """A fitted encoding; equal encodings encode equal frames to equal bits."""

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The frame columns read."""
        return (*(column.name for column in self.numeric), *(column.name for column in self.categorical))

    @property
    def numeric_width(self) -> int:
        """Encoded columns of the numeric part."""
        return sum(2 if column.indicator else 1 for column in self.numeric)

    @property
    def width(self) -> int:
        """Encoded columns with categories one-hot."""
        return self.numeric_width + sum(column.width for column in self.categorical)

    def names(self) -> tuple[str, ...]:
        """A name for every one-hot encoded column, in order."""
        found = []
        for numeric in self.numeric:
            found += [numeric.name] + ([f"{numeric.name} missing"] if numeric.indicator else [])
        for categorical in self.categorical:
            found += [f"{categorical.name} = {level}" for level in categorical.levels]
            found += [f"{categorical.name} {extra}" for extra in EXTRA_LEVELS]
        return tuple(found)

    def numbers(self, frame: pd.DataFrame) -> Floats:
        """The numeric part [B, numeric_width]."""
        found = np.zeros((len(frame), self.numeric_width))
        place = 0
        for column in self.numeric:
            values = frame[column.name].to_numpy(dtype=np.float64, na_value=np.nan)
            absent = np.isnan(values)
            found[:, place] = np.where(absent, 0.0, (values - column.mean) / column.scale)
            if column.indicator:
                found[:, place + 1] = absent
            place += 2 if column.indicator else 1
        return found

    def indices(self, frame: pd.DataFrame) -> Ints:
        """The level of every categorical column [B, C]."""
        found = np.zeros((len(frame), len(self.categorical)), dtype=np.int64)
        for place, column in enumerate(self.categorical):
            codes, names = levels(frame[column.name])
            known = {level: index for index, level in enumerate(column.levels)}
            absent, unseen = len(column.levels), len(column.levels) + 1
            found[:, place] = np.array([*(known.get(name, unseen) for name in names), absent], dtype=np.int64)[codes]
        return found

    def one_hot(self, frame: pd.DataFrame) -> Floats:
        """Everything as numbers [B, width]."""
        indices = self.indices(frame)
        parts = [self.numbers(frame)]
        parts += [np.eye(column.width)[indices[:, place]] for place, column in enumerate(self.categorical)]
        return np.concatenate(parts, axis=1)

    def checks(self, frame: pd.DataFrame, where: str) -> tuple[Check, ...]:
        """Rows of `frame` that hold what the training rows never held, by column; only columns that have any.

        Args:
            frame: rows the encoding was not fitted on.
            where: what these rows are, in words (`evaluation`, `reserve`).
        """
        found = []
        for column in self.numeric:
            count = int(frame[column.name].isna().sum())
            if count and not column.indicator:
                text = f"{where} records lack {column.name}, which no training record does; read as the mean"
                found.append(Check(f"missing {column.name}, {where}", count, text))
        indices = self.indices(frame)
        for place, categorical in enumerate(self.categorical):
            count = int((indices[:, place] == categorical.width - 1).sum())
            if count:
                text = f"{where} records have a value of {categorical.name} that no training record has"
                found.append(Check(f"unseen {categorical.name}, {where}", count, text))
        return tuple(found)

    def require(self, frame: pd.DataFrame) -> None:
        """Refuse a frame without the columns read, or with text where the model was trained on numbers.

        Raises:
            ModelError: columns are lacking or not numeric.
        """
        lacking = [name for name in self.columns if name not in frame.columns]
        if lacking:
            raise ModelError(f"the model reads columns that the data do not have: {listing(lacking)}")
        texts = [c.name for c in self.numeric if not pd.api.types.is_numeric_dtype(frame[c.name])]
        if texts:
            raise ModelError(f"the model was trained on numbers where the data hold text: {listing(texts)}")

    def to_json(self) -> dict[str, Any]:
        """Plain data; floats survive JSON bit for bit (shortest repr)."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Encoding:
        """The inverse of `to_json`; TypeError or KeyError where the data are no encoding."""
        return cls(
            numeric=tuple(NumericColumn(**column) for column in data["numeric"]),
            categorical=tuple(
                CategoricalColumn(name=column["name"], levels=tuple(column["levels"])) for column in data["categorical"]
            ),
        )


def fit_encoding(frame: pd.DataFrame, *, numeric: tuple[str, ...], categorical: tuple[str, ...]) -> Encoding:
    """Fit on training rows only.

    Args:
        frame: training rows [N].
        numeric: columns that hold numbers (float64, NaN missing).
        categorical: columns read as text levels.

    Raises:
        ModelError: no feature is named, or a numeric column has no known value among these rows.
    """
    if not numeric and not categorical:
        raise ModelError("no features: list the columns the model reads under data.numeric and data.categorical")
    return Encoding(
        numeric=tuple(_fit_numeric(name, frame[name]) for name in numeric),
        categorical=tuple(CategoricalColumn(name, levels(frame[name])[1]) for name in categorical),
    )


def _fit_numeric(name: str, column: pd.Series) -> NumericColumn:
    """Mean and standard deviation of the known values."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[~np.isnan(values)]
    if not len(known):
        raise ModelError(f"no training record has a value of {name!r}; it cannot be standardised")
    indicator = bool(len(known) < len(values))
    if known.min() == known.max():
        # Taken as it is: the rounding error of its mean, divided by that of its spread, would become a feature.
        return NumericColumn(name, float(known[0]), 1.0, indicator)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(known.mean()), float(known.std())
    if not np.isfinite([mean, spread]).all():
        raise ModelError(f"the values of {name!r} are too large to be standardised: their spread is not finite")
    return NumericColumn(name, mean, spread, indicator)
