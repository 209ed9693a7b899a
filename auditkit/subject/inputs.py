"""What a model is given of the table's rows: the views that it came with, or auditkit's own reading of the table.

A view is one split's frame as the model's owner holds it (`sources`). Views are never stacked to be asked about:
stacked, whole numbers turn into decimals and categories into texts. Only a refit on rows of several splits stacks them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import ModelError
from auditkit.subject.types import Ints, Split, Subject, Table

BATCH: Final = 8192
"""Rows in one question, so that a large table does not become one large tensor."""
Answers: TypeAlias = NDArray[np.floating[Any]]
Question: TypeAlias = Callable[[pd.DataFrame, Ints], Answers]
"""(frame [B], its rows in the table [B]) -> answers [B]."""
Views: TypeAlias = Mapping[Split, pd.DataFrame]
SPLITS: Final[tuple[Split, ...]] = ("train", "reserve", "evaluation")


def inputs(subject: Subject, table: Table, rows: Ints) -> pd.DataFrame:
    """The frame of some rows of the table, in their order, as the subject is given it.

    Args:
        subject: what is to read them. table: the data. rows: positions in the table; of several splits for a refit.
    """
    return view_of(subject.views, table, rows)


def view_of(views: Views, table: Table, rows: Ints) -> pd.DataFrame:
    """As `inputs`, for views that are no subject's yet; without views, auditkit's own reading."""
    if not views:
        return table.frame.iloc[rows]
    parts = _by_split(table, rows)
    frames = [views[split].iloc[own] for split, _, own in parts]
    if len(frames) == 1:
        return frames[0]
    order = np.argsort(np.concatenate([at for _, at, _ in parts]), kind="stable") if parts else rows
    return _stacked(frames or list(views.values())[:1]).iloc[order]


def ask(question: Question, subject: Subject, table: Table, rows: Ints, what: str) -> Answers:
    """The answers [R] about some rows, in their own precision; rows of several splits are asked about split by split.

    Args:
        question: put to at most `BATCH` rows at once, or to all of a split's at once where the subject wants that.
        subject, table, rows: as for `inputs`. what: the answer in words, for the complaint.

    Raises:
        ModelError: an answer has the wrong shape.
    """
    found, places = [np.zeros(0, dtype=np.float16)], [np.zeros(0, dtype=np.int64)]
    whole = np.arange(len(rows))
    for at in [at for _, at, _ in _by_split(table, rows)] if subject.views else [whole]:
        step = max(1, len(at)) if subject.whole_split else BATCH
        for start in range(0, len(at), step):
            part = at[start : start + step]
            answer = np.asarray(question(inputs(subject, table, rows[part]), rows[part]))
            if answer.shape != (len(part),):
                message = f"the model gave a {what} of shape {answer.shape} for {len(part):,} records"
                raise ModelError(f"{message}; one each is needed")
            found.append(answer)
            places.append(part)
    return np.concatenate(found)[np.argsort(np.concatenate(places), kind="stable")]


def _by_split(table: Table, rows: Ints) -> list[tuple[Split, Ints, Ints]]:
    """(split, positions among the rows, rows in the split's own frame) for each split met, in the table's order."""
    splits = table.split[rows]
    found: list[tuple[Split, Ints, Ints]] = []
    for split in SPLITS:
        at = np.flatnonzero(splits == split)
        if len(at):
            found.append((split, at, rows[at] - int(np.argmax(table.split == split))))
    return found


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Frames under each other with the columns that all have; the first one's types wherever they hold every value."""
    first = frames[0]
    shared = [column for column in first.columns if all(column in frame.columns for frame in frames)]
    columns = {column: _column([frame[column] for frame in frames]) for column in shared}
    return pd.DataFrame(columns, columns=shared)


def _column(parts: list[pd.Series]) -> pd.Series:
    dtype = parts[0].dtype
    if isinstance(dtype, pd.CategoricalDtype) and all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
        known = list(dict.fromkeys(value for part in parts for value in part.cat.categories))
        whole = pd.CategoricalDtype(known, ordered=dtype.ordered)
        return pd.concat([part.astype(whole) for part in parts], ignore_index=True)
    stacked: pd.Series = pd.concat(parts, ignore_index=True)
    if stacked.dtype == dtype:
        return stacked
    try:
        back = stacked.astype(dtype)
    except (TypeError, ValueError, OverflowError):
        return stacked
    same = (back == stacked) | (back.isna() & stacked.isna())
    return back if bool(same.fillna(False).all()) else stacked
