"""Sums of sample weights by combination of groups and cell, for `tally`; exact whatever order the rows come in.

DuckDB adds in parallel, and sums of floats would differ in their last bits from run to run. So every weight is taken
as a whole number of 2^-48 of the largest, and the sums are of whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd

from auditkit.errors import DataError
from auditkit.fairness.weights import Weighted, joined
from auditkit.stats.weighted import LARGEST
from auditkit.subject.types import Floats, Ints

_PARTS = 2.0**48
SUMS = "sum(q::HUGEINT) AS w, sum(q::HUGEINT * q::HUGEINT) AS ww"
"""What a query that groups `seen` selects beside its counts."""


@dataclass(frozen=True)
class TallyWeights:
    """By combination [S]: sums of weights and of their squares; and by pair [K] of combinations, over persons."""

    sums: Floats
    squares: Floats
    pairs: tuple[Ints, Ints, Floats]
    """[K] one combination, [K] another, [K] sum over persons of the product of their weights in the two."""

    def weighted(self, place: Ints, *, groups: int) -> Weighted:
        """The sums of a grouping; place [S] is group * 6 + cell of each combination."""
        return joined(place, self.sums, self.squares, self.pairs, groups=groups)


def whole(base: duckdb.DuckDBPyConnection, table: str, number: str) -> tuple[str, float]:
    """The weights as whole numbers, `q` of the view `seen`, and what one of them stands for.

    Args:
        number: the column as SQL that gives a number, null where it is missing.

    Raises:
        DataError: a weight is missing, infinite or negative, or all are 0.
    """
    wrong = f"{number} IS NULL OR {number} < 0 OR isinf({number})"
    found = base.execute(f"SELECT count(*) FILTER ({wrong}), max({number}) FROM {table}").fetchone()
    count, largest = (0, None) if found is None else found
    if count:
        raise DataError(f"{count:,} weights are missing, infinite or negative; weights are numbers of at least 0")
    if not largest:
        raise DataError("every weight is 0")
    # Only ratios of weights matter: beyond what can be squared, the largest counts as 1.
    unit = float(largest) if 1 / LARGEST < largest < LARGEST else 1.0
    return f"round({number} / {float(largest)!r} * {_PARTS!r})::BIGINT AS q", unit / _PARTS


def by_record(found: pd.DataFrame, unit: float) -> TallyWeights:
    """From the frame of a query with SUMS, one row a combination."""
    sums, squares = (found[name].to_numpy(dtype=np.float64) for name in ("w", "ww"))
    at = np.arange(len(found), dtype=np.int64)
    return TallyWeights(sums * unit, squares * unit**2, (at, at, squares * unit**2))


def by_person(base: duckdb.DuckDBPyConnection, rows: str, unit: float) -> TallyWeights:
    """From a query `rows` that gives who, slot and q of every record."""
    each = base.execute(f"WITH rows AS ({rows}) SELECT slot, {SUMS} FROM rows GROUP BY slot ORDER BY slot").df()
    both = base.execute(
        f"WITH rows AS MATERIALIZED ({rows}), own AS MATERIALIZED "
        "(SELECT who, slot, sum(q)::HUGEINT AS t FROM rows GROUP BY who, slot) "
        "SELECT a.slot AS one, b.slot AS other, sum(a.t * b.t) AS ww FROM own a JOIN own b USING (who) "
        "GROUP BY ALL ORDER BY ALL"
    ).df()
    sums, squares = (each[name].to_numpy(dtype=np.float64) for name in ("w", "ww"))
    pairs = both["ww"].to_numpy(dtype=np.float64) * unit**2
    places = tuple(both[name].to_numpy(dtype=np.int64) for name in ("one", "other"))
    return TallyWeights(sums * unit, squares * unit**2, (places[0], places[1], pairs))
