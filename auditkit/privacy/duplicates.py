"""Exact and near duplicates, within the training records and across splits.

Why: copies carry each other, so a copied record has a low self-influence and is no less exposed for it (Meeus
et al. 2025, arXiv 2506.20481); and copies across splits make every measured gap and attack look weaker than
it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from auditkit.privacy.disclosure import published_rate, small
from auditkit.privacy.distance import Distinct, distinct, median_nearest
from auditkit.result import Duplicates
from auditkit.subject.persons import support
from auditkit.subject.types import Ints, Mask

TRAIN: Final = "train"
POOL: Final = (TRAIN, "reserve")
"""Splits from which models are retrained."""
JUST_UNDER_ONE_CATEGORY: Final = 0.999
MOST_PAIRS: Final = 2_000_000
"""More near pairs than this are not listed: the columns are too coarse for the word to mean anything."""


@dataclass(frozen=True)
class Found:
    """The public counts and the restricted clusters."""

    public: Duplicates
    cluster: Ints
    """[N] number of the cluster of exact and near copies among training records; -1 for a record without a copy."""
    copied: Mask
    """[N] records with a copy among training or reserve records: models without the record may hold its copy."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of records, by distinct record, with the weights that turn them into pairs of rows."""

    in_train: int
    across: int
    train_rows: Mask
    """[N] training rows in a pair within the training records."""
    across_rows: Mapping[str, Mask]
    """Split -> rows in a pair with another split."""


def find(
    features: Mapping[str, pd.DataFrame],
    *,
    numeric: Collection[str] | None,
    persons: Mapping[str, Ints],
    share: float,
    minimum: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> Found | None:
    """Count pairs of exact and near copies.

    Args:
        features: split -> feature columns; None is the answer without training rows or columns.
        numeric: columns measured as numbers; None: by type.
        persons: split -> person codes in one numbering over splits; empty when no persons are known.
        share: threshold as a share of the median nearest-neighbour distance.
        minimum: minimum cell: a count is withheld when it, or the persons behind it, number 1 to minimum - 1.
        generator: samples the records for that median when there are many.
        level: coverage of the interval of the share of records with a copy.

    Near copies agree in every category and every gap and lie within share x median of each other in the
    numbers, the median taken over distinct training records (so that exact copies do not shrink it). The
    threshold is held just under one category; a copy in which one category was changed is therefore not
    found, and in data without numbers no near copy exists. Pairs within one person are counted too. Time: a
    k-d tree over distinct records.

    Raises:
        DataError: as `distance.distinct`.
    """
    if TRAIN not in features or features[TRAIN].empty:
        return None
    table = distinct(features, numeric)
    typical = median_nearest(table, TRAIN, generator)
    links = _near_links(table, min(share * (typical or 0.0), JUST_UNDER_ONE_CATEGORY))
    exact = _count(_exact(table), persons, minimum)
    near = (None, None) if links is None else _count(_near(table, links), persons, minimum)
    notes = _notes(table, links)
    if None in exact or (links is not None and None in near):
        notes.append(f"A count that tells of fewer than {minimum} pairs or persons is withheld.")
    copied = _copied(table, links if links is not None else np.empty((0, 2), dtype=np.int64))
    public = Duplicates(
        copied=published_rate(copied, persons.get(TRAIN), level=level, minimum=minimum),
        exact_in_train=exact[0],
        exact_across=exact[1],
        near_in_train=near[0],
        near_across=near[1],
        rule=_rule(share, len(features)),
        notes=tuple(notes),
    )
    clusters = _clusters(table, links if links is not None else np.empty((0, 2), dtype=np.int64))
    return Found(public, clusters, copied)


def _count(pairs: Pairs, persons: Mapping[str, Ints], minimum: int) -> tuple[int | None, int | None]:
    """Pairs within train and across splits, each withheld when it or the persons in it are too few."""
    train = support(pairs.train_rows, persons.get(TRAIN))
    across = sum(support(rows, persons.get(name)) for name, rows in pairs.across_rows.items())
    return _shown(pairs.in_train, train, minimum), _shown(pairs.across, across, minimum)


def _exact(table: Distinct) -> Pairs:
    """Pairs of identical rows: c(c-1)/2 within train, products of counts across splits."""
    train = table.counts[TRAIN]
    across = sum(float(table.counts[one] @ table.counts[other]) for one, other in combinations(table.counts, 2))
    everywhere = sum((counts > 0).astype(np.int64) for counts in table.counts.values())
    return Pairs(
        in_train=round(float(train @ (train - 1)) / 2),
        across=round(across),
        train_rows=train[table.of_row[TRAIN]] > 1,
        across_rows={name: np.asarray(everywhere)[at] > 1 for name, at in table.of_row.items()},
    )


def _near_links(table: Distinct, threshold: float) -> NDArray[np.int64] | None:
    """Pairs [P, 2] of distinct records within the threshold; None when there are too many to list.

    Codes stand beside the numbers as coordinates: two codes differ by at least 1, which is above any
    threshold used.
    """
    if threshold <= 0 or not table.numbers.shape[1]:
        return np.empty((0, 2), dtype=np.int64)
    tree = cKDTree(np.hstack([table.numbers, table.codes.astype(np.float64)]))
    found = (int(tree.count_neighbors(tree, threshold)) - len(table.numbers)) // 2
    if found > MOST_PAIRS:
        return None
    return np.asarray(tree.query_pairs(threshold, output_type="ndarray"), dtype=np.int64).reshape(-1, 2)


def _near(table: Distinct, links: NDArray[np.int64]) -> Pairs:
    """Pairs of rows behind the links, within train and across splits."""
    one, other = links[:, 0], links[:, 1]
    train = table.counts[TRAIN]
    across = 0.0
    touched = {name: np.zeros(len(counts), dtype=np.bool_) for name, counts in table.counts.items()}
    for a, b in combinations(table.counts, 2):
        for left, right in ((one, other), (other, one)):
            weight = table.counts[a][left] * table.counts[b][right]
            across += float(weight.sum())
            touched[a][left[weight > 0]] = True
            touched[b][right[weight > 0]] = True
    both = (train[one] > 0) & (train[other] > 0)
    inside = np.zeros(len(train), dtype=np.bool_)
    inside[links[both].ravel()] = True
    return Pairs(
        in_train=round(float((train[one] * train[other]).sum())),
        across=round(across),
        train_rows=inside[table.of_row[TRAIN]],
        across_rows={name: touched[name][at] for name, at in table.of_row.items()},
    )


def _clusters(table: Distinct, links: NDArray[np.int64]) -> Ints:
    """Connected components of exact and near copies among training rows [N]; -1 for singles."""
    train = table.counts[TRAIN]
    kept = links[(train[links] > 0).all(axis=1)]
    graph = coo_array((np.ones(len(kept)), (kept[:, 0], kept[:, 1])), shape=(len(train), len(train)))
    label = connected_components(graph, directed=False)[1][table.of_row[TRAIN]]
    _, inverse, sizes = np.unique(label, return_inverse=True, return_counts=True)
    copied = sizes[inverse] > 1
    result = np.full(len(label), -1, dtype=np.int64)
    result[copied] = np.unique(inverse[copied], return_inverse=True)[1]
    return result


def _copied(table: Distinct, links: NDArray[np.int64]) -> Mask:
    """Training rows [N] with an exact or near copy among other training rows or the reserve."""
    pool = sum(counts for name, counts in table.counts.items() if name in POOL)
    near = np.zeros(len(table.counts[TRAIN]), dtype=np.bool_)
    for one, other in ((links[:, 0], links[:, 1]), (links[:, 1], links[:, 0])):
        near[one[np.asarray(pool)[other] > 0]] = True
    found: Mask = ((np.asarray(pool) > 1) | near)[table.of_row[TRAIN]]
    return found


def _shown(pairs: int, persons: int, minimum: int) -> int | None:
    """A count of pairs, or None when it or the persons (else records) in them number 1 to minimum - 1."""
    return None if small(pairs, minimum) or small(persons, minimum) else pairs


def _notes(table: Distinct, links: NDArray[np.int64] | None) -> list[str]:
    """What a reader must know beside the counts."""
    notes = ["A copy in which a category or a gap was changed is not found."]
    if not table.numbers.shape[1]:
        notes.append("No numeric feature: only exact copies can be told from other records.")
    if links is None:
        notes.append(f"Near copies are not counted: more than {MOST_PAIRS:,} pairs lie within the distance.")
    return notes


def _rule(share: float, splits: int) -> str:
    """The rule in words, with its figures."""
    where = "training records, and pairs across the splits" if splits > 1 else "training records"
    return (
        f"Pairs of {where} with the same feature values (exact), or that agree in every category and gap and whose "
        f"numbers, scaled by their interquartile range, lie within {share!r} times the median distance of a training "
        "record to its nearest neighbour (near; exact pairs not counted again)."
    )
