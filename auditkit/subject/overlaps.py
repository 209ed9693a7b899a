"""What is odd about the rows though nothing forbids it: rows met twice, ids and persons on both sides of a split.

Every oddity is a count in words, in a fixed order; zero counts are kept, because a reader should see that it was looked
for. Texts hold no further numbers, so that a small count can be suppressed by whoever prints it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.subject.types import Check, Split

EARLIER: tuple[tuple[Split, Split], ...] = (
    ("evaluation", "train"),
    ("reserve", "train"),
    ("evaluation", "reserve"),
)


def overlaps(
    *,
    split: NDArray[np.str_],
    ids: NDArray[np.object_] | None,
    persons: NDArray[np.object_] | None,
    features: pd.DataFrame,
    features_stated: bool,
) -> tuple[Check, ...]:
    """Count ids, persons and identical feature rows that occur in two splits, and repeated rows within a split.

    Args:
        split: [R] split of each row.
        ids: [R] ids as text; None when the policy names no id column (row numbers say nothing).
        persons: [R] persons as text, or None.
        features: [R, F] the columns compared; two missing cells count as equal.
        features_stated: whether the policy lists them; else they are all columns but keys, label and weight.
    """
    present = [name for name in ("train", "reserve", "evaluation") if (split == name).any()]
    rows = pd.util.hash_pandas_object(features, index=False).to_numpy() if features.shape[1] else None
    what = f"the same values in every {'feature' if features_stated else 'column'}"
    found: list[Check] = []
    for later, earlier in (pair for pair in EARLIER if set(pair) <= set(present)):
        other = "training" if earlier == "train" else earlier
        if ids is not None:
            count = _shared(ids, split, later, earlier)
            found.append(Check(f"ids, {later}/{earlier}", count, f"{later} records whose id occurs in {other}"))
        if persons is not None:
            count = _shared(persons, split, later, earlier)
            said = f"{later} records of a person who has records in {other}"
            found.append(Check(f"persons, {later}/{earlier}", count, said))
        if rows is not None:
            count = _shared(rows, split, later, earlier)
            text = f"{later} records with {what} as a record of {other}"
            found.append(Check(f"identical rows, {later}/{earlier}", count, text))
    if rows is not None:
        for name in present:
            count = int(pd.Series(rows[split == name]).duplicated().sum())
            text = f"{name} records with {what} as an earlier record of the same split"
            found.append(Check(f"repeated rows, {name}", count, text))
    return tuple(found)


def _shared(keys: NDArray[np.generic], split: NDArray[np.str_], later: str, earlier: str) -> int:
    """Rows of the later split whose key occurs in the earlier one."""
    return int(pd.Series(keys[split == later]).isin(pd.Series(keys[split == earlier])).sum())
