"""Whether the reserve holds training records: by id, by person, or by rows that are equal or nearly so.

A reserve stands for records of the same population that the model never saw. If it holds training records, members are
compared with members: every attack then measures less than there is, and a copy of the training file gives an AUC of
0.5 for a model that remembers everything.

Honest data repeat rows too, so equal rows are no proof by themselves. What a random division of all rows would give is
known exactly (`stats.mixing`): groups of equal rows fall on both sides by chance. Looked at are, without a look at who
is in which file,

* groups of rows equal in every compared column and the label (numbers to STEP of the column's spread);
* the same with one column left out, each in turn, so that a renamed id or a jittered column hides nothing;
* groups of rows equal when numbers are rounded to each of COARSE of their spread;
* pairs of rows that are each other's nearest, nearer than each of NEAR times the median distance to the second nearest.

A p-value above LEVEL over the number of looks is no finding. So a random division is refused in fewer than one audit in
1,000 (the bound is some ten times the exact p-value), and a handful of copies among many rows goes unseen. Wrong where
both files were cleared of repeated rows each on its own, or records were divided by turns along a sorted column: there
equal or near rows are parted by design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, DataError
from auditkit.policy.schema import Policy
from auditkit.stats.mixing import parted_p_value
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Ints, Mask, Table

Texts: TypeAlias = NDArray[np.object_]
Hashes: TypeAlias = NDArray[np.uint64]

LEVEL: Final = 1e-3
STEP: Final = 1e-5
"""Numbers that differ by less than this share of their column's spread count as equal."""
COARSE: Final = (1e-3, 0.03, 0.1)
NEAR: Final = (1e-4, 1e-2, 0.1, 0.3)
MOST_COLUMNS: Final = 200
"""Columns of which each is left out in turn."""
MOST_LEVELS: Final = 30
"""Levels of a text column that are told apart in distances."""
MOST_WORK: Final = 1e10
"""Products computed for nearest rows; beyond it a random part of all rows looks for its nearest."""
NEARLY: Final = 0.9
FEWEST: Final = 20
"""Rows on a side below which nothing is looked at but ids."""
HINT: Final = "a reserve holds records that the model never saw; take the training records out of it, or name none"


@dataclass(frozen=True)
class Overlap:
    """Reserve rows that a look found among the training rows, and how many of each file are so."""

    count: int
    """Reserve rows with an equal or near training row."""
    usual: float
    """Share of the training rows with such a row among the other training rows."""
    how: str
    p_value: float
    """Of the look, not corrected for the number of looks."""


@dataclass(frozen=True)
class _Look:
    groups: Ints
    """[R] group of each row; rows of one group count as equal."""
    how: str


def require_strangers(policy: Policy, table: Table, features: Sequence[str], locate: Callable[..., str]) -> None:
    """The reserve holds no training record.

    Args:
        policy: names the columns. table: both splits; nothing is looked at where one is absent.
        features: the columns that the model reads, where that is known; else those of the policy, else all but keys.
        locate: keys of the policy -> where they stand.

    Raises:
        DataError: it does, by record id, by person, or by more equal rows than a random division gives; all at once.
    """
    train, reserve = table.rows("train"), table.rows("reserve")
    if not len(train) or not len(reserve):
        return
    files = [PurePath(str(getattr(policy.data, split))).name for split in ("reserve", "train")]
    where, size = locate("data", "reserve"), len(reserve)
    complaints: list[Complaint] = []
    keys = {"id": table.ids if policy.data.id is not None else None, "person": table.persons}
    for name, values in keys.items():
        shared = 0 if values is None else _shared(values[reserve], values[train])
        if shared:
            said = f"{shared:,} of the {size:,} records of {files[0]} bear the {name} of a record of {files[1]}"
            more = "; ids that count a file's rows are no ids" if name == "id" else ""
            complaints.append(Complaint(said, where, HINT + more))
    found = None if complaints else find_overlap(table, _compared(policy, table, features))
    if found is not None:
        said = (
            f"{found.count:,} of the {size:,} records of {files[0]} ({found.count / size:.1%}) have a record of "
            f"{files[1]} {found.how}; of the training records {found.usual:.1%} have one among the others, and records "
            "divided at random would share fewer"
        )
        complaints.append(Complaint(said, where, HINT))
    if complaints:
        raise DataError(complaints)


def find_overlap(table: Table, columns: Sequence[str]) -> Overlap | None:
    """What was found, or None where no look finds more than a random division would give.

    Of the looks that find something, the first that finds nearly as many rows as any.

    Args:
        table: its training and reserve rows are read. columns: the columns compared; the label is compared besides.
    """
    rows = np.concatenate([table.rows("train"), table.rows("reserve")])
    member: Mask = np.asarray(table.split[rows] == "train")
    if min(int(member.sum()), int((~member).sum())) < FEWEST or not columns:
        return None
    frame = table.frame.iloc[rows][list(columns)]
    persons = None if table.persons is None else person_codes(table.persons[rows])
    looks = list(_looks(frame, table.label[rows]))
    found = [overlap for look in looks if (overlap := _judged(look, member, persons)).p_value <= LEVEL / len(looks)]
    most = max((overlap.count for overlap in found), default=0)
    return next((overlap for overlap in found if overlap.count >= NEARLY * most), None)


def _judged(look: _Look, member: Mask, persons: Ints | None) -> Overlap:
    """How the look's groups fall on the two files; a person's equal rows count once, for they are not independent."""
    units = pd.DataFrame({"group": look.groups, "member": member})
    units["person"] = np.arange(len(member)) if persons is None else persons
    once = units.drop_duplicates()
    width = int(look.groups.max()) + 1
    first = np.bincount(once["group"][once["member"]], minlength=width)
    second = np.bincount(once["group"][~once["member"]], minlength=width)
    in_train = np.bincount(look.groups[member], minlength=width)
    count = int((in_train[look.groups[~member]] > 0).sum())
    usual = float((in_train[look.groups[member]] > 1).mean())
    return Overlap(count, usual, look.how, parted_p_value(first, second))


def _looks(frame: pd.DataFrame, label: Floats) -> Iterator[_Look]:
    """Every grouping of the rows; none of them knows in which file a row is."""
    values = {str(name): _canonical(frame[name]) for name in frame.columns}
    hashes = {name: _hashed(column, STEP) for name, column in values.items()} | {"the label": _hashed(label, STEP)}
    # Sums of hashes, modulo 2^64, so that one column is taken out by a subtraction.
    total: Hashes = np.asarray(np.sum(list(hashes.values()), axis=0, dtype=np.uint64))
    yield _Look(_codes(total), "with the same values in every column")
    if len(hashes) > 2:
        for name in list(hashes)[-MOST_COLUMNS:]:
            yield _Look(_codes(np.asarray(total - hashes[name])), f"with the same values in every column but {name}")
    for step in COARSE:
        rounded = [_hashed(column, step) for column in (*values.values(), label)]
        how = f"with the same values in every column, numbers rounded to {step:g} of their spread"
        yield _Look(_codes(np.asarray(np.sum(rounded, axis=0, dtype=np.uint64))), how)
    yield from _near(_codes(total), _spread_out([*values.values(), label]))


def _shared(keys: Texts, others: Texts) -> int:
    return int((pd.Series(keys).isin(pd.Series(others).dropna()) & pd.notna(pd.Series(keys))).sum())


def _compared(policy: Policy, table: Table, features: Sequence[str]) -> list[str]:
    """The columns by which rows are compared."""
    data = policy.data
    keys = {data.id, data.person, data.label.column, data.weight}
    stated = [*features] or [*data.numeric, *data.categorical] or [c for c in table.frame.columns if c not in keys]
    return [column for column in dict.fromkeys(stated) if column in table.frame.columns and column not in keys]


def _canonical(column: pd.Series) -> Floats | Texts:
    """[R] numbers, NaN where missing, if every value is one or reads as one; else texts, None where missing.

    So that a copy whose numbers became text, whole numbers fractions, or truth values 0 and 1 is still a copy.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.asarray((column - column.min()) / pd.Timedelta(days=1), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = column.astype("object").where(column.notna(), None)
    plain = texts.map(lambda value: None if value is None else str(value).strip().casefold())
    plain = plain.replace({"true": "1", "false": "0"})
    numbers = pd.to_numeric(plain, errors="coerce").to_numpy(dtype=np.float64)
    return numbers if bool((np.isfinite(numbers) | plain.isna()).all()) else plain.to_numpy(dtype=object)


def _hashed(column: Floats | Texts, step: float) -> Hashes:
    """[R] a hash of each value; numbers by steps of this share of the column's spread."""
    if column.dtype == np.float64:
        numbers = np.asarray(column, dtype=np.float64)
        spread = _spread(numbers)
        # Adding 0.0 makes -0.0 and 0.0 one value.
        return pd.util.hash_array((np.round(numbers / (step * spread)) if spread > 0 else numbers) + 0.0)
    return pd.util.hash_array(np.array(["" if value is None else f"t{value}" for value in column], dtype=object))


def _codes(keys: Hashes) -> Ints:
    return pd.factorize(keys)[0].astype(np.int64)


def _spread(column: Floats) -> float:
    """Interquartile range / 1.349, or the standard deviation where that is 0; of the numbers that are there."""
    there = column[np.isfinite(column)]
    if not len(there):
        return 0.0
    low, high = np.quantile(there, [0.25, 0.75])
    return float(high - low) / 1.349 or float(there.std())


def _spread_out(columns: list[Floats | Texts]) -> Floats:
    """[R, D] coordinates: numbers in their spread, gaps and levels as 0 and 1 so that two levels lie 1 apart."""
    found: list[Floats] = []
    for column in columns:
        if column.dtype == np.float64:
            gaps, spread = ~np.isfinite(column), _spread(np.asarray(column, dtype=np.float64))
            there = column[~gaps]
            centre = float(np.median(there)) if len(there) else 0.0
            found.append(np.where(gaps, 0.0, (np.where(gaps, centre, column) - centre) / (spread or 1.0)))
            if gaps.any():
                found.append(gaps / np.sqrt(2.0))
            continue
        levels = pd.Series(column).value_counts().index[:MOST_LEVELS]
        found += [(column == level) / np.sqrt(2.0) for level in levels]
    return np.column_stack(found)


def _near(same: Ints, points: Floats) -> Iterator[_Look]:
    """Groups of equal rows joined in pairs that are each other's nearest, at each of NEAR.

    Args:
        same: [R] group of equal rows; one row of each stands for it. points: [R, D] coordinates.
    """
    first = np.unique(same, return_index=True)[1]
    points = points[first]
    if len(points) < 3:
        return
    asks = _asking(len(points), points.shape[1])
    nearest, distance, second = _nearest(points, asks)
    back = _nearest(points, nearest)[0]
    mutual = back == asks
    # To the second nearest: where every row has a copy, the nearest is the copy.
    typical = float(np.median(second))
    for share in NEAR:
        pairs = mutual & (distance <= share * typical)
        joined = np.arange(len(points))
        low, high = np.minimum(asks, nearest)[pairs], np.maximum(asks, nearest)[pairs]
        joined[high] = low
        how = f"nearer than {share:g} of the usual distance between neighbours"
        yield _Look(_codes(joined[same].astype(np.uint64)), how)


def _asking(rows: int, width: int) -> Ints:
    """Rows that look for their nearest: all, or evenly spread random ones where all would be too much work."""
    most = max(int(MOST_WORK / (2.0 * rows * (width + 10))), FEWEST)
    if most >= rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def _nearest(points: Floats, asks: Ints) -> tuple[Ints, Floats, Floats]:
    """Nearest other row of each asking row, how far it is, and how far the second nearest is."""
    squares = np.square(points).sum(axis=1)
    found = np.empty((2, len(asks)), dtype=np.int64)
    step = max(1, 4_000_000 // len(points))
    for start in range(0, len(asks), step):
        some = asks[start : start + step]
        away = squares[None, :] - 2.0 * (points[some] @ points.T)
        own = np.arange(len(some))
        away[own, some] = np.inf
        for place in found:
            place[start : start + step] = away.argmin(axis=1)
            away[own, place[start : start + step]] = np.inf
    first, second = (np.asarray(np.sqrt(np.square(points[at] - points[asks]).sum(axis=1))) for at in found)
    return found[0], first, second
