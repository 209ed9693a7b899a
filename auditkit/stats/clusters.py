"""Variances that respect persons: a statistic as a mean of its records' influence values, summed person by person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def variance(values: Floats, *, persons: Ints) -> float:
    """Sum over persons of (sum of the person's values)², times persons / (persons - 1).

    The linearisation (sandwich) estimator: `values` [N] are influence values that add up to 0 and are scaled so that
    the statistic moves by values[i] when record i is counted twice. With one record a person it is the ordinary
    variance of a mean. Too small below about 20 persons.

    Args:
        values: [N]. persons: [N] codes from 0.
    """
    sums = np.bincount(persons, weights=values)
    count = np.unique(persons).size
    return float((sums**2).sum() * count / max(count - 1, 1))


def covariance(values: Floats, *, persons: Ints, bins: Ints, count: int) -> Floats:
    """[K, K] covariance of the sums of `values` [N] over K bins, persons being drawn, their number fixed."""
    table = np.zeros((int(persons.max(initial=-1)) + 1, count))
    np.add.at(table, (persons, bins), values)
    table = table[np.unique(persons)]
    centred = table - table.mean(axis=0)
    return np.asarray(centred.T @ centred, dtype=np.float64)
