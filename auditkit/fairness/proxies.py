"""How well the columns that the model reads tell who belongs to which protected group: each alone, and all together.

A model that never sees an attribute can act on it through columns that go along with it. Measured here is only that
going along, on the evaluation records; whether and how the model uses it the group statistics and influence say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OrdinalEncoder

from auditkit.result import Estimate, Proxies, Proxy
from auditkit.stats.roc import auc
from auditkit.subject.types import Floats, Grouping, Ints, Mask

BINS: Final = 10
TREES: Final = 60
FOLDS: Final = 2
MOST: Final = 50_000
"""Records used at most, drawn at random: an AUC of so many is known to about 0.003."""
MOST_LEVELS: Final = 200
"""Levels that the trees are given of one column; the rarer ones are put together."""


def proxies(
    frame: pd.DataFrame,
    groupings: Mapping[str, Grouping],
    *,
    numeric: Collection[str] | None,
    columns: Mapping[str, tuple[str, ...]],
    persons: Ints | None,
    level: float,
    minimum_group: int,
    generator: np.random.Generator,
) -> tuple[Proxies, dict[str, NDArray[Any]]]:
    """AUC with which each column, and all together, tell the groups of each protected attribute.

    For each group: the AUC of its predicted share against all other known records, by predictions for records of one
    half that were fitted on the other half. Printed is their mean, weighted by the groups' sizes; 0.5 tells nothing, 1
    tells every record. One column predicts by the share of the group among records of its level (numeric: tenth of its
    range by rank) in the other half; all together by gradient-boosted trees.

    Args:
        frame: [M] what the model reads, raw. groupings: protected attributes, codes [M]; intersections are left out.
        numeric: columns measured as numbers; None: by type. columns: attribute -> its own columns, not asked of it.
        persons: [M] codes or None; one record of each person, drawn at random, is used. level: of the intervals.
        minimum_group: records that a group needs to be told. generator: draws records and halves.

    Returns:
        The part, and restricted arrays: `proxy_fold` [M], 0 or 1, -1 for records that are not used.

    Intervals average the groups' limits by DeLong, which is exact for two groups and wide for more; they know nothing
    of the chance in fitting. A low AUC is no clearance: another learner may tell more.
    """
    fold = _folds(len(frame), persons, generator)
    measured = {
        str(name): pd.api.types.is_numeric_dtype(frame[name]) if numeric is None else name in numeric for name in frame
    }
    rows: list[Proxy] = []
    for name, grouping in groupings.items():
        own = set(columns.get(name, ()))
        asked = [str(column) for column in frame if column not in own]
        if grouping.of or not asked:
            continue
        known = (fold >= 0) & _told(grouping, fold, minimum_group)
        codes = grouping.codes
        if len(np.unique(codes[known])) < 2:
            few = Estimate(value=None, level=level, withheld="fewer than two groups are large enough in either half")
            rows += [Proxy(on=name, column=column, auc=few) for column in (*asked, "")]
            continue
        for column in asked:
            shares = _by_level(_levels(frame[column], fold, measured=measured[column]), codes, known, fold)
            rows.append(_row(name, column, shares, codes, known, level=level))
        together = _by_trees(frame[asked], [measured[column] for column in asked], codes, known, fold)
        rows.append(_row(name, "", together, codes, known, level=level))
    if rows:
        part = Proxies(status="assessed", minimum_group=minimum_group, rows=tuple(rows))
    else:
        part = Proxies(status="not-applicable", reason="the model's columns, or a protected attribute, are not known")
    return part, {"proxy_fold": fold}


def _folds(rows: int, persons: Ints | None, generator: np.random.Generator) -> Ints:
    """[M] half of each record; -1 for all but one record of each person, and beyond MOST."""
    order = generator.permutation(rows)
    if persons is not None:
        first = np.unique(persons[order], return_index=True)[1]
        order = order[np.sort(first)]
    order = order[:MOST]
    fold = np.full(rows, -1, dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold


def _told(grouping: Grouping, fold: Ints, minimum: int) -> Mask:
    """[M] records of groups that are large enough in either half."""
    told = np.zeros(len(fold), dtype=np.bool_)
    for code in range(len(grouping.labels)):
        inside = grouping.codes == code
        if min(int((inside & (fold == half)).sum()) for half in range(FOLDS)) >= minimum:
            told |= inside
    return told


def _levels(values: pd.Series[Any], fold: Ints, *, measured: bool) -> Ints:
    """[M] level of each record; numbers by tenths of their rank, edges from all records used; missing is a level."""
    if not measured:
        return pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    known = np.isfinite(numbers)
    if not (known & (fold >= 0)).any():
        return np.zeros(len(numbers), dtype=np.int64)
    edges = np.unique(np.quantile(numbers[known & (fold >= 0)], np.arange(1, BINS) / BINS))
    return np.where(known, np.searchsorted(edges, numbers, side="right"), BINS + 1).astype(np.int64)


def _by_level(levels: Ints, codes: Ints, known: Mask, fold: Ints) -> Floats:
    """[M, G] share of each group among the other half's records of the same level; their overall share where none."""
    groups = int(codes.max()) + 1
    out = np.zeros((len(levels), groups))
    for half in range(FOLDS):
        fit, ask = known & (fold != half), known & (fold == half)
        table = np.zeros((int(levels.max()) + 1, groups))
        np.add.at(table, (levels[fit], codes[fit]), 1.0)
        overall = table.sum(axis=0) / max(1.0, float(table.sum()))
        # One record's weight of the overall shares, so that a level met once does not claim certainty.
        shares = (table + overall) / (table.sum(axis=1, keepdims=True) + 1)
        out[ask] = shares[levels[ask]]
    return out


def _by_trees(frame: pd.DataFrame, measured: list[bool], codes: Ints, known: Mask, fold: Ints) -> Floats:
    """[M, G] predicted shares of trees fitted on the other half."""
    at, parts = np.flatnonzero(known), []
    for column, is_number in zip(frame, measured, strict=True):
        values = frame[column].iloc[at]
        if is_number:
            parts.append(pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)[:, None])
        else:
            encoder = OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST_LEVELS
            )
            told = values.astype(str).astype(object).where(values.notna(), np.nan)
            parts.append(encoder.fit_transform(told.to_frame()))
    x = np.hstack(parts)
    out = np.zeros((len(codes), int(codes.max()) + 1))
    for half in range(FOLDS):
        asked = fold[at] == half
        model = HistGradientBoostingClassifier(
            max_iter=TREES, categorical_features=~np.array(measured), early_stopping=False, random_state=0
        )
        model.fit(x[~asked], codes[at[~asked]])
        out[np.ix_(at[asked], model.classes_)] = model.predict_proba(x[asked])
    return out


def _row(name: str, column: str, shares: Floats, codes: Ints, known: Mask, *, level: float) -> Proxy:
    found = []
    for code in np.unique(codes[known]):
        inside = known & (codes == code)
        ends = auc(positives=shares[inside, code], negatives=shares[known & ~inside, code], level=level)
        found.append((int(inside.sum()), ends))
    n = sum(size for size, _ in found)

    def mean(side: str) -> float:
        return sum(size * float(getattr(ends, side)) for size, ends in found) / n

    method = "mean over the groups of AUC and of DeLong limits, on records of the half not fitted on"
    estimate = Estimate(value=mean("value"), low=mean("low"), high=mean("high"), level=level, n=n, method=method)
    return Proxy(on=name, column=column, auc=estimate)
