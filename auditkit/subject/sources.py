"""A split as the model's owner holds it: the frame itself, or what pandas reads from the file.

auditkit has a reading of its own for keys, labels, groups and filters (`reading`), which guesses nothing. A model that
auditkit did not train must not meet that reading: its owner trained it on frames, and `01` that pandas read as the
number 1 is 1 to it. So such a model is given the frame untouched, or the file as pandas reads it by default, changed
only by what the policy states:

    data.missing       further texts that are missing, beside those that pandas knows (`NA`, `None`, `null`, ...)
    data.categorical   a column of a text file is read as the text that stands there: `01` stays `01`
    data.numeric       a column that pandas reads as text is turned into numbers; one that holds numbers stays as it is

Parquet holds its own types, so that data.categorical changes nothing there. Each file is read alone: a column may be
whole numbers in one split and, for a missing cell, not in another, as it was to its owner.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pandas as pd

from auditkit.errors import Complaint, DataError
from auditkit.policy.schema import Data


@dataclass(frozen=True)
class Statements:
    """What changes pandas' own reading; empty changes nothing."""

    text: frozenset[str] = frozenset()
    """Columns of a text file that are read as the text that stands there."""
    numbers: frozenset[str] = frozenset()
    """Columns that are numbers where pandas reads text."""
    missing: tuple[str, ...] = ()
    """Further texts that are missing."""

    @classmethod
    def of(cls, data: Data) -> Statements:
        """What a policy states of its columns."""
        return cls(frozenset(data.categorical), frozenset(data.numeric), data.missing)


NOTHING_STATED = Statements()


@dataclass(frozen=True)
class Source:
    """Where a split's rows are from."""

    name: str
    frame: pd.DataFrame | None = None
    """The user's own frame; None for a file."""
    content: bytes = b""
    """Of a file, decompressed."""
    separator: str = ""
    """Of a text file; empty for Parquet."""

    def read(self, stated: Statements = NOTHING_STATED) -> pd.DataFrame:
        """The rows as their owner's code has them; a user's frame is returned itself, whatever is stated.

        Raises:
            DataError: pandas cannot read the file.
        """
        if self.frame is not None:
            return self.frame
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a column of mixed types is the owner's, and told by the decisions
                frame = self._text(stated) if self.separator else self._parquet(stated)
        except Exception as error:  # readers raise what they like: ValueError, KeyError, ArrowException, OSError
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            raise DataError(Complaint(f"pandas cannot read it for the model: {reason}", self.name)) from error
        for column in stated.numbers & set(frame.columns):
            frame[column] = _as_numbers(frame[column])
        return frame

    def _text(self, stated: Statements) -> pd.DataFrame:
        more: dict[str, Any] = {"na_values": list(stated.missing)} if stated.missing else {}
        if stated.text:
            more["dtype"] = dict.fromkeys(stated.text, str)
        frame: pd.DataFrame = pd.read_csv(BytesIO(self.content), sep=self.separator, **more)
        return frame

    def _parquet(self, stated: Statements) -> pd.DataFrame:
        frame = pd.read_parquet(BytesIO(self.content))
        for column in frame.columns if stated.missing else ():
            cells = frame[column]
            if pd.api.types.is_string_dtype(cells) or isinstance(cells.dtype, pd.CategoricalDtype):
                frame[column] = cells.mask(cells.isin(list(stated.missing)))
            elif pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
                absent = pd.to_numeric(pd.Series(list(stated.missing)), errors="coerce").dropna()
                hit = cells.isin(absent)
                frame[column] = cells.mask(hit) if hit.any() else cells
        return frame


Sources = Mapping[str, Source]


def _as_numbers(cells: pd.Series) -> pd.Series:
    """Text as numbers, where every cell is one; else as it is (the table's own complaint says which cell is none)."""
    if not (pd.api.types.is_string_dtype(cells) or cells.dtype == object):
        return cells
    try:
        numbers: pd.Series = pd.to_numeric(cells)
    except (TypeError, ValueError):
        return cells
    return numbers
