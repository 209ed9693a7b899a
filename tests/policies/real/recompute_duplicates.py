"""Pairs of exact and near copies by sorting and by neighbours within equal categories.

The median distance to the nearest neighbour, which the audit may take over a sample of records, is taken over all of
them here, and is then claimed up to the error of that sample.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors, radius_neighbors_graph

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, NEAR_DUPLICATE, Floats, Ints, World
from tests.policies.real.recompute_rates import banded

PAIRS_FOR_MEDIAN = 20_000_000
WITHHELD = Says(MINIMUM_CELL)
ERRORS = 4.5


def expected_duplicates(world: World) -> dict[str, Any]:
    """Pairs of exact and of near copies, counts below the minimum cell withheld."""
    frame = pd.concat([world.frames[split][world.features] for split in world.frames], ignore_index=True)
    of_split = np.repeat(list(world.frames), [len(part) for part in world.frames.values()])
    numbers, codes = _coordinates(world, frame)
    key = pd.DataFrame(np.column_stack([numbers, codes])).groupby(list(range(numbers.shape[1] + codes.shape[1])))
    record = key.ngroup().to_numpy()
    first = np.unique(record, return_index=True)[1]
    counts = {split: np.bincount(record[of_split == split], minlength=len(first)) for split in world.frames}
    exact_pairs, near_pairs, copied = _exact_pairs(counts), [], []
    twins = np.sum([c for split, c in counts.items() if split != "evaluation"], axis=0)
    for threshold in _thresholds(numbers[first], codes[first], counts["train"]):
        near_pairs.append(_near_pairs(numbers[first], codes[first], counts, threshold))
        near = _beside(numbers[first], codes[first], twins, threshold)
        copied.append(((twins > 1) | near)[record[of_split == "train"]])
    return {
        "copied": _share(copied),
        "exact_in_train": exact_pairs[0], "exact_across": exact_pairs[1], "rule": Says(NEAR_DUPLICATE),
        "near_in_train": _between(near_pairs, 0), "near_across": _between(near_pairs, 1), "notes": WITHHELD,
    }  # fmt: skip


def _coordinates(world: World, frame: pd.DataFrame) -> tuple[Floats, Ints]:
    """Numbers over their interquartile range / 1.349 (gaps 0), and codes of categories and of gaps."""
    numbers, codes = [], []
    for column in world.features:
        cells = frame[column]
        if column in world.numeric or (not world.numeric and pd.api.types.is_numeric_dtype(cells)):
            low, middle, high = np.nanquantile(cells, [0.25, 0.5, 0.75])
            scale = (high - low) / 1.349 or float(np.nanstd(cells))
            numbers.append(np.nan_to_num((cells.to_numpy(dtype=float) - middle) / scale))
            codes.append(cells.isna().to_numpy(dtype=int))
        else:
            codes.append(pd.factorize(cells.astype(object))[0])
    return np.column_stack(numbers), np.column_stack(codes)


def _thresholds(numbers: Floats, codes: Ints, in_train: Ints) -> list[float]:
    """The distance below which records are near copies; its two ends where the audit sampled the median."""
    there = in_train > 0
    onehot = [codes[there][:, [k]] == np.unique(codes[there][:, k]) for k in range(codes.shape[1])]
    # Two levels of a category lie 1 apart when each is a corner at 1/sqrt(2).
    space = np.column_stack([numbers[there], *(part / math.sqrt(2) for part in onehot)])
    nearest = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(space).kneighbors(space)[0][:, 1]
    sample = min(len(space), max(200, PAIRS_FOR_MEDIAN // len(space)))
    if sample == len(space):
        return [min(NEAR_DUPLICATE * float(np.median(nearest)), 0.999)]
    off = ERRORS * 0.5 / math.sqrt(sample)
    return [min(NEAR_DUPLICATE * float(q), 0.999) for q in np.quantile(nearest, [0.5 - off, 0.5 + off])]


def _exact_pairs(counts: dict[str, Ints]) -> tuple[int | None, int | None]:
    train = counts["train"]
    met = np.sum([c > 0 for c in counts.values()], axis=0) > 1
    rows_across = sum(int(c[met].sum()) for c in counts.values())
    across = sum(int(a @ b) for a, b in combinations(counts.values(), 2))
    within = int((train * (train - 1)).sum() // 2)
    return _count(within, int(train[train > 1].sum())), _count(across, rows_across)


def _near_pairs(numbers: Floats, codes: Ints, counts: dict[str, Ints], threshold: float) -> list[int | None]:
    """Pairs of rows behind every pair of distinct records that agree in all codes and lie within the threshold."""
    within = across = 0
    rows_within, touched = set[int](), {split: set[int]() for split in counts}
    groups = pd.DataFrame(codes).groupby(list(range(codes.shape[1]))).indices.values()
    for members in groups if threshold > 0 else ():
        if len(members) < 2:
            continue
        links = radius_neighbors_graph(numbers[members], threshold, mode="connectivity").tocoo()
        for a, b in ((members[i], members[j]) for i, j in zip(links.row, links.col, strict=True) if i < j):
            pairs = int(counts["train"][a] * counts["train"][b])
            within += pairs
            rows_within |= {a, b} if pairs else set()
            for one, other in combinations(counts, 2):
                for left, right in ((a, b), (b, a)):
                    crossing = int(counts[one][left] * counts[other][right])
                    across += crossing
                    touched[one] |= {left} if crossing else set()
                    touched[other] |= {right} if crossing else set()
    rows_across = sum(int(counts[split][list(met)].sum()) for split, met in touched.items() if met)
    return [_count(within, int(counts["train"][list(rows_within)].sum()) if rows_within else 0),
            _count(across, rows_across)]  # fmt: skip


def _beside(numbers: Floats, codes: Ints, twins: Ints, threshold: float) -> Any:
    """Distinct records with another one, of training or reserve, in the same categories and within the threshold."""
    found = np.zeros(len(twins), dtype=bool)
    for members in pd.DataFrame(codes).groupby(list(range(codes.shape[1]))).indices.values() if threshold > 0 else ():
        if len(members) > 1:
            links = radius_neighbors_graph(numbers[members], threshold, mode="connectivity").tocoo()
            for i, j in zip(members[links.row], members[links.col], strict=True):
                found[i] |= i != j and twins[j] > 0
    return found


def _share(copied: list[Any]) -> dict[str, Any]:
    """The share of training rows with a copy; between two where the audit sampled the distance."""
    ends = [banded(rows, LEVEL, MINIMUM_CELL) for rows in copied]
    one, other = ends[0], ends[-1]
    if one["value"] is None:
        return one | {"withheld": WITHHELD}
    between = {
        name: Near(float(one[name]), float(other[name])) for name in ("value", "low", "high", "events")
        if one[name] != other[name]
    }  # fmt: skip
    return one | between


def _count(pairs: int, rows: int) -> int | None:
    """A count, withheld when it or the rows in its pairs number 1 to 9."""
    return None if any(0 < number < MINIMUM_CELL for number in (pairs, rows)) else pairs


def _between(found: list[list[int | None]], which: int) -> int | Near | None:
    counts = [pair[which] for pair in found]
    if None in counts or len(set(counts)) == 1:
        return counts[0]
    return Near(float(counts[0]), float(counts[-1]))
