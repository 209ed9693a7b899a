"""What single columns must hold: numbers, a label of two values, weights, ids, persons; every breach is a complaint.

`Stack` is the rows of all splits with the way back to each file's lines. Functions append to `complaints` and return
their best reading, so that one run over the files names everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint
from auditkit.policy.schema import Data, Label
from auditkit.stats.weighted import relative
from auditkit.subject.reading import DataFile
from auditkit.subject.types import Floats, Ints, Mask, Split
from auditkit.subject.values import closest, counted, levels, listing, means, texts

Locate = Callable[..., str]
"""Keys of the policy, outermost first -> `file:line:column` of that value, for complaints."""


@dataclass(frozen=True)
class Stack:
    """The rows of all splits, stacked in the order train, reserve, evaluation."""

    frame: pd.DataFrame
    """[R] rows, RangeIndex."""
    split: NDArray[np.str_]
    """[R]"""
    row: Ints
    """[R] 0-based row in the split's own file."""
    files: dict[Split, DataFile]

    def place(self, rows: Mask | Ints) -> str:
        """`train.csv, column` is the caller's; this is `train.csv, lines 3, 9 and 4 more` of the first file hit."""
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        split: Split = self.split[positions[0]].item()
        file, here = self.files[split], positions[self.split[positions] == split]
        return f"{file.name}, {file.place(self.row[here])}"

    def at(self, column: str, rows: Mask) -> str:
        """`train.csv, column 'income', lines 3, 9`: where the first file's offending rows stand."""
        name, place = self.place(rows).split(", ", 1)
        return f"{name}, column {column!r}, {place}"


def as_numbers(stack: Stack, column: str, complaints: list[Complaint]) -> Floats:
    """A column as float64 [R], NaN where missing; cells that are no finite number are one complaint."""
    cells = stack.frame[column]
    numbers = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    wrong = cells.notna().to_numpy() & ~np.isfinite(numbers)
    if wrong.any():
        first = cells.iloc[int(np.flatnonzero(wrong)[0])]
        count = int(wrong.sum())
        message = f"{first!r} is not a number" + (f" ({count:,} such cells)" if count > 1 else "")
        hint = "state the texts that mean missing under data.missing, or list the column as categorical"
        complaints.append(Complaint(message, stack.at(column, wrong), hint))
    return numbers


def read_label(stack: Stack, label: Label, locate: Locate, complaints: list[Complaint]) -> Floats:
    """1.0 where the label means favourable, 0.0 where it is the other of exactly two values [R]."""
    codes, names = levels(stack.frame[label.column])
    absent = codes < 0
    if absent.any():
        message = f"{counted(int(absent.sum()), 'record has', 'records have')} no label"
        hint = "audit the records whose label is known, and say so under data.sampling"
        complaints.append(Complaint(message, stack.at(label.column, absent), hint))
    favourable = np.array([means(name, label.favourable) for name in names], dtype=bool)
    where = locate("data", "label", "favourable")
    if len(names) and not favourable.any():
        near = closest(str(label.favourable), names)
        hint = f"did you mean {near!r}?" if near else f"the values are {listing(names)}"
        message = f"the label {label.column!r} is never {label.favourable!r}"
        complaints.append(Complaint(message, where, hint))
    elif len(names) != 2 and not absent.all():
        message = f"the label {label.column!r} has {counted(len(names), 'value', 'values')} ({listing(names)}), not two"
        hint = "every value but the favourable one must mean not favourable, and both must occur"
        complaints.append(Complaint(message, where, hint))
    return np.append(favourable, False)[codes].astype(np.float64)


def read_weights(stack: Stack, column: str, complaints: list[Complaint]) -> Floats:
    """Sample weights [R]: finite, not negative, none missing, not all zero in a split."""
    weights = as_numbers(stack, column, complaints)
    absent = stack.frame[column].isna().to_numpy()
    negative = weights < 0
    for wrong, what in ((absent, "missing"), (negative, "negative")):
        if wrong.any():
            message = f"{counted(int(wrong.sum()), 'weight is', 'weights are')} {what}"
            complaints.append(Complaint(message, stack.at(column, wrong), "weights are numbers of at least 0"))
    for split, file in stack.files.items():
        if not np.nansum(np.abs(weights[stack.split == split])):
            complaints.append(Complaint("every weight is 0", f"{file.name}, column {column!r}"))
    return relative(weights)


def read_ids(stack: Stack, column: str | None, complaints: list[Complaint]) -> NDArray[np.object_]:
    """Record ids as text [R], unique within each split; file row numbers (1-based) when no column is named."""
    if column is None:
        return np.array([str(row + 1) for row in stack.row], dtype=object)
    ids = present_texts(stack, column, "id", complaints)
    keys = pd.DataFrame({"split": stack.split, "id": ids})
    known = keys["id"].notna()
    repeated = (keys.duplicated(keep="first") & known).to_numpy()
    if repeated.any():
        first = ids[int(np.flatnonzero(repeated)[0])]
        count = int(repeated.sum())
        message = f"the id {first!r} occurs again" + (f" ({count:,} repeated ids)" if count > 1 else "")
        hint = "if one id is one person with several records, name the column under data.person instead"
        complaints.append(Complaint(message, stack.at(column, repeated), hint))
    return ids


def present_texts(stack: Stack, column: str, lacking: str, complaints: list[Complaint]) -> NDArray[np.object_]:
    """A column as texts [R] of which none may be missing."""
    found = texts(stack.frame[column])
    absent = np.array([text is None for text in found], dtype=bool)
    if absent.any():
        message = f"{counted(int(absent.sum()), 'record has', 'records have')} no {lacking}"
        complaints.append(Complaint(message, stack.at(column, absent)))
    return found


def read_persons(stack: Stack, data: Data, locate: Locate, complaints: list[Complaint]) -> NDArray[np.object_] | None:
    """Person ids as text [R]; a person in two splits is a complaint unless the policy allows it."""
    if data.person is None:
        return None
    persons = present_texts(stack, data.person, "person", complaints)
    if data.person_in_two_splits == "allow":
        return persons
    splits = pd.DataFrame({"person": persons, "split": stack.split}).dropna().drop_duplicates()
    both = splits["person"][splits["person"].duplicated()].unique()
    if len(both):
        message = f"{counted(len(both), 'person has', 'persons have')} records in two splits (the first: {both[0]!r})"
        hint = "keep a person's records in one split, or set person-in-two-splits: allow"
        complaints.append(Complaint(message, locate("data", "person"), hint))
    return persons


def check_numeric(stack: Stack, column: str, numbers: Floats, complaints: list[Complaint]) -> None:
    """A numeric feature needs at least one value among the training rows, or it cannot be standardised."""
    train = stack.split == "train"
    if train.any() and np.isnan(numbers[train]).all() and stack.frame[column][train].isna().all():
        name = stack.files["train"].name
        complaints.append(Complaint("no training row has a value", f"{name}, column {column!r}"))
