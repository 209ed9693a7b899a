"""What the model would answer if one value of a record were another: what an attacker asks who guesses that value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError
from auditkit.subject.inputs import Answers, ask, inputs
from auditkit.subject.types import UNKNOWN, Floats, Grouping, Ints, Subject, Table

MOST_LEVELS: Final = 10
"""Levels of a text column, or values of a number, that are told apart; the rest are left out, numbers are cut."""
BINS: Final = 4


@dataclass(frozen=True)
class Guessed:
    """One attribute whose value is guessed: the true level of every record, and the losses under each level.

    Rows [P = N + K]: training records, then the reserve.
    """

    name: str
    labels: tuple[str, ...]
    """[V] levels."""
    codes: Ints
    """[P] index into labels; UNKNOWN (-1) where it is not known or is none of them."""
    column: str = ""
    """The column of the model's features that holds it; empty where it is not among them."""
    losses: Floats | None = None
    """[V, P] loss of each record with the column set to a typical value of each level, nats; None without a column."""


def guessed(subject: Subject, table: Table, columns: Sequence[str]) -> tuple[Guessed, ...]:
    """Every plain protected attribute, then every column named, with the losses under each level.

    Args:
        subject: the audited model. table: rows and membership.
        columns: further columns whose value is guessed (`privacy.infer`).

    Raises:
        DataError: a column is not among the data, or is the label.
    """
    lacking = [name for name in columns if name not in table.frame.columns]
    if lacking:
        raise DataError([Complaint(f"the data have no column {name!r}", "privacy.infer") for name in lacking])
    rows = np.concatenate([table.rows("train"), table.rows("reserve")])
    if not len(table.rows("reserve")) or subject.loss is None:
        return ()
    plain = [grouping for grouping in table.groupings.values() if not grouping.of]
    known = {grouping.name for grouping in plain}
    named = [_levels(name, table) for name in dict.fromkeys(columns) if name not in known]
    return tuple(_asked(subject, table, rows, grouping) for grouping in [*plain, *named])


def _levels(name: str, table: Table) -> Grouping:
    """A column as groups: its most frequent levels in the reserve, or quarters of its numbers there."""
    values, reserve = table.frame[name], table.rows("reserve")
    held = values.iloc[reserve].dropna()
    if _is_number(values) and held.nunique() > MOST_LEVELS:
        edges = np.unique(np.quantile(held.to_numpy(dtype=np.float64), np.linspace(0, 1, BINS + 1)[1:-1]))
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        codes = np.where(np.isnan(numbers), UNKNOWN, np.searchsorted(edges, numbers, side="left"))
        labels = tuple(f"part {k + 1} of {len(edges) + 1}, by size" for k in range(len(edges) + 1))
    else:
        counts = held.astype(str).value_counts()
        labels = tuple(sorted(counts.index, key=lambda level: (-int(counts[level]), level))[:MOST_LEVELS])
        codes = pd.Index(labels).get_indexer(pd.Index(values.astype(str).where(values.notna())))
    return Grouping(name, labels, codes.astype(np.int64), labels[0] if labels else "", False, (name,))


def _asked(subject: Subject, table: Table, rows: Ints, grouping: Grouping) -> Guessed:
    codes = grouping.codes[rows]
    columns = [name for name in grouping.columns if name in subject.features]
    if len(columns) != 1 or len(grouping.columns) != 1:
        return Guessed(grouping.name, grouping.labels, codes)
    (column,) = columns
    reserve = table.rows("reserve")
    losses = np.full((len(grouping.labels), len(rows)), np.nan)
    for level in range(len(grouping.labels)):
        held = inputs(subject, table, reserve[grouping.codes[reserve] == level])[column].dropna()
        if len(held):
            losses[level] = _losses(subject, table, rows, column, _typical(held), dtype=held.dtype)
    return Guessed(grouping.name, grouping.labels, codes, column, losses)


def _typical(held: pd.Series) -> object:
    """The most frequent text, or the number in the middle that some record has."""
    if _is_number(held):
        return held.sort_values().iloc[(len(held) - 1) // 2]
    counts = held.value_counts()
    return min(counts.index[counts == counts.max()], key=str)


def _is_number(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values))


def _losses(subject: Subject, table: Table, rows: Ints, column: str, value: object, *, dtype: Any) -> Floats:
    """Loss [P] of the records with the column set to the value."""
    assert subject.loss is not None  # noqa: S101 - `guessed` has answered for a model without losses
    question = subject.loss

    def changed(frame: pd.DataFrame, at: Ints) -> Answers:
        frame = frame.assign(**{column: pd.Series([value] * len(frame), index=frame.index, dtype=dtype)})
        return np.asarray(question(frame, table.label[at]))

    return ask(changed, subject, table, rows, "loss").astype(np.float64)
