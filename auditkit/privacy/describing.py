"""Features and labels of members and non-members as numbers, for attacks that know the records' features."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import pandas as pd

from auditkit.privacy.attacks.quantile import FEWEST
from auditkit.privacy.membership import Described
from auditkit.subject.types import Floats, Ints, Mask, Split

MOST_LEVELS: Final = 250
"""Levels of a text column that are told apart; the rest count as missing."""
NO_FEATURES: Final = "the columns that the model reads are not known, or records have no label"
FEW: Final = "the half of the reserve to fit on holds fewer than {least} records"


def describe(
    features: Mapping[Split, pd.DataFrame],
    labels: tuple[Floats | None, Floats | None],
    *,
    numeric: Collection[str] | None,
    setting: Mask,
    persons: Ints | None,
) -> tuple[Described | None, str]:
    """Members and non-members as numbers, or None and why not.

    Args:
        features: feature columns by split; `train` and `reserve` are read.
        labels: [N] and [K] of the two.
        numeric: columns that hold numbers; None: by column type.
        setting: [K] non-members that may be fitted on. persons: [K] codes, or None.
    """
    frames = [features.get("train"), features.get("reserve")]
    if any(frame is None for frame in frames) or any(label is None for label in labels):
        return None, NO_FEATURES
    label = np.concatenate([part for part in labels if part is not None])
    if not np.isfinite(label).all():
        return None, NO_FEATURES
    if int(setting.sum()) < FEWEST:
        return None, FEW.format(least=FEWEST)
    columns, levels = numbers(pd.concat([frame for frame in frames if frame is not None]), numeric)
    return Described(
        columns=np.column_stack([columns, label]), levels=np.append(levels, False), setting=setting, persons=persons
    ), ""


def numbers(frame: pd.DataFrame, numeric: Collection[str] | None) -> tuple[Floats, Mask]:
    """Columns [P, F] as numbers, NaN where missing, and which of them [F] hold codes of text levels.

    Codes go by frequency, ties by the level's text; levels beyond MOST_LEVELS are missing. A column that is stated as
    numeric is read as numbers, and one whose type is boolean or not a number as text.
    """
    columns, levels = [], []
    for name in frame.columns:
        values = frame[name]
        stated = name in numeric if numeric is not None else pd.api.types.is_numeric_dtype(values)
        is_number = stated and not pd.api.types.is_bool_dtype(values)
        columns.append(values.to_numpy(dtype=np.float64, na_value=np.nan) if is_number else _codes(values))
        levels.append(not is_number)
    return np.column_stack(columns), np.array(levels, dtype=np.bool_)


def _codes(values: pd.Series) -> Floats:
    text = values.astype(str).where(values.notna())
    counts = text.value_counts()
    ranked = sorted(counts.index, key=lambda level: (-int(counts[level]), level))[:MOST_LEVELS]
    places: Floats = np.asarray(pd.Index(ranked).get_indexer(text), dtype=np.float64)
    return np.where(places < 0, np.nan, places)
