"""What is kept in memory of all scores: sums, the records at both ends, and counts by which quantiles are read.

Columns are the S slices, then self-influence. Quantiles come from counts of values by their first 16 bits as a
bfloat16, a grid that is finer than 0.8 % of the value everywhere: no value is drawn, none is lost, the order of records
plays no part, and counts of several processes add up. Memory: 512 KiB a column, whatever the number of records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditkit.pieces import Arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BINS = 2**16
_SIGN = 2**15
_LARGEST = float(np.finfo(np.float32).max)
NOBODY = -1


@dataclass(frozen=True)
class Tally:
    """Running summaries of K columns; the arrays are changed in place."""

    sums: Floats
    """[2, K] sums of the values and of their squares."""
    bins: Ints
    """[K, 65536] counts, in the order of the values."""
    values: Floats
    """[2, K, top] the largest values, and the largest of the negated values, in descending order; -inf where unused."""
    records: Ints
    """[2, K, top] positions of their records; of equal values the earlier record comes first."""

    @staticmethod
    def empty(columns: int, top: int) -> Tally:
        """Nothing counted yet."""
        ends = (2, columns, top)
        return Tally(
            np.zeros((2, columns)),
            np.zeros((columns, _BINS), dtype=np.int64),
            np.full(ends, -np.inf),
            np.full(ends, NOBODY, dtype=np.int64),
        )

    @staticmethod
    def of(arrays: Arrays) -> Tally:
        """The inverse of `arrays`."""
        found = Tally.empty(arrays["sums"].shape[1], arrays["values"].shape[2])
        found.merge(arrays)
        return found

    def add(self, start: int, values: Floats) -> None:
        """Count the scores [B, K] of consecutive records; batches come in the order of their records."""
        self.sums[0] += values.sum(0)
        self.sums[1] += np.square(values).sum(0)
        places = _bin(values)
        for k in range(values.shape[1]):
            self.bins[k] += np.bincount(places[:, k], minlength=_BINS)
            for end, column in enumerate((values[:, k], -values[:, k])):
                # Strictly above: of equal values the earlier record is the one that stays.
                inside = np.flatnonzero(column > self.values[end, k, -1])
                if len(inside):
                    self._keep(end, k, column[inside], inside + start)

    def merge(self, other: Arrays) -> None:
        """Add what another tally counted."""
        self.sums[:] += other["sums"]
        self.bins[other["bin columns"], other["bin places"]] += other["bin counts"]
        self.take(other["values"], other["records"])

    def take(self, values: Floats, records: Ints) -> None:
        """Consider the ends [2, K, top] that another tally kept."""
        for end, k in np.ndindex(*self.values.shape[:2]):
            used = records[end, k] != NOBODY
            self._keep(end, k, values[end, k][used], records[end, k][used])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, bit by bit; of the counts only those that are not 0."""
        columns, places = np.nonzero(self.bins)
        counts = self.bins[columns, places]
        return {
            "sums": self.sums.copy(),
            "bin columns": columns,
            "bin places": places,
            "bin counts": counts,
            "values": self.values.copy(),
            "records": self.records.copy(),
        }

    def end(self, end: int, column: int) -> Iterator[tuple[int, float]]:
        """(position, value) of the records kept whose value is above 0 (`end` 0) or below (1), furthest first."""
        sign = (1.0, -1.0)[end]
        for position, value in zip(self.records[end, column], self.values[end, column], strict=True):
            if position != NOBODY and value > 0:
                yield int(position), sign * float(value)

    def quantile(self, column: int, share: float) -> float:
        """The value below or at which this share of the records lies, within 0.4 % of itself."""
        counts = self.bins[column].cumsum()
        rank = max(1, int(np.ceil(share * counts[-1])))
        place = int(np.searchsorted(counts, rank))
        return _middle(place)

    def _keep(self, end: int, column: int, values: Floats, records: Ints) -> None:
        every = np.concatenate([self.values[end, column], values])
        who = np.concatenate([self.records[end, column], records])
        # Unused places are -inf and sort behind every value.
        order = np.lexsort((who, -every))[: self.values.shape[2]]
        self.values[end, column], self.records[end, column] = every[order], who[order]


def _bin(values: Floats) -> Ints:
    """First 16 bits of each value as a float32, laid out so that their order is that of the values."""
    single = np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
    high = (single.view(np.uint32) >> 16).astype(np.int64)
    return np.where(high >= _SIGN, 2 * _SIGN - 1 - high, high + _SIGN)


def _middle(place: int) -> float:
    """The middle of the values that fall into a bin; 0 for the bins next to 0."""
    high = place - _SIGN if place >= _SIGN else 2 * _SIGN - 1 - place
    if high in (0, _SIGN):
        return 0.0
    return float(np.array([(high << 16) + _SIGN], dtype=np.uint32).view(np.float32)[0])
