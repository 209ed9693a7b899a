"""Ids of persons as integers: a record without a person is a person of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.subject.types import Floats, Ints, Mask, Split

__all__ = ["codes_by_split", "person_codes", "support"]


def person_codes(persons: NDArray[np.object_] | Floats | Ints | None, rows: int = 0) -> Ints:
    """[M] codes from 0, in the order in which persons are met; records without a person get codes of their own.

    Args:
        persons: [M] ids, None or NaN where the person is unknown; None: every record is a person of its own.
        rows: M, read only where persons are None.
    """
    if persons is None:
        return np.arange(rows, dtype=np.int64)
    found, known = pd.factorize(persons)
    codes = found.astype(np.int64)
    alone = codes < 0
    codes[alone] = len(known) + np.arange(int(alone.sum()))
    return codes


def codes_by_split(persons: Mapping[Split, NDArray[np.object_]] | None) -> dict[str, Ints]:
    """Split -> [its rows] codes in one numbering over all splits; empty where no person is known."""
    if not persons:
        return {}
    codes = person_codes(np.concatenate([np.asarray(ids, dtype=object) for ids in persons.values()]))
    ends = np.cumsum([len(ids) for ids in persons.values()])[:-1]
    return {str(name): part for name, part in zip(persons, np.split(codes, ends), strict=True)}


def support(rows: Mask, persons: NDArray[np.object_] | Ints | None) -> int:
    """Persons among the rows; rows where no person is known."""
    return int(rows.sum()) if persons is None else len(pd.unique(persons[rows]))
