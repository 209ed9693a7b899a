"""What a streamed attribution says: where the scores lie, and their summaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from torch import Tensor

from auditkit.errors import DataError
from auditkit.influence.streaming.sheets import RECORD
from auditkit.influence.streaming.tally import Tally
from auditkit.result import Quality

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Extreme:
    """One record at an end of a column."""

    record: int
    """Position in the training table, counted from 0 over all files."""
    change: float
    identifier: Any = None
    """Its value in the column named as identifier; None where none was named."""


@dataclass(frozen=True)
class Column:
    """Summary of the scores of all N records in one column."""

    name: str
    unit: str
    total: float
    """Sum over records; no prediction for removing them all."""
    mean: float
    deviation: float
    """Standard deviation over records (divisor N)."""
    quantiles: Mapping[float, float]
    """Share -> value at or below which that share of the records lies, within 0.4 % of the value."""
    raising: tuple[Extreme, ...]
    """Records whose removal raises the measure most, furthest first; exact."""
    lowering: tuple[Extreme, ...]
    """Records whose removal lowers it most, furthest first; exact."""


@dataclass(frozen=True)
class TableAttribution:
    """What `attribute_table` returns; the scores themselves lie in `shards`."""

    shards: tuple[Path, ...]
    """Parquet files in the order of the records: `record`, the identifier if one was named, `self_influence`, then one
    column per slice; units are in the metadata of the columns."""
    records: int
    """N."""
    slices: tuple[Column, ...]
    """[S] predicted change of each slice's measure; positive: removing the record raises it."""
    self_influence: Column
    """Predicted change of the record's own loss."""
    values: Tensor
    """[S] each slice's measure under the audited model."""
    quality: tuple[Quality, ...]
    """What the run says of itself, figure by figure."""

    def scores(self, column: str, start: int = 0, stop: int | None = None) -> Any:
        """[stop − start] one column of the scores as a numpy array, read from the shards that hold these positions.

        Raises:
            DataError: there is no such column.
        """
        import numpy as np

        stop, found = self.records if stop is None else stop, []
        for shard in self.shards:
            with pq.ParquetFile(shard) as file:
                if column not in file.schema_arrow.names:
                    raise DataError(f"the score shards have no column {column!r}; there are {file.schema_arrow.names}")
                for batch in file.iter_batches(columns=[RECORD, column], use_threads=False):
                    at = batch.column(RECORD).to_numpy()
                    found.append(batch.column(column).to_numpy(zero_copy_only=False)[(at >= start) & (at < stop)])
        return np.concatenate(found)

    def summary(self) -> dict[str, Any]:
        """Everything but the scores, ready for JSON; shards by name."""
        return {
            "records": self.records,
            "shards": [path.name for path in self.shards],
            "slices": [_plain(column) for column in self.slices],
            "self influence": _plain(self.self_influence),
            "values": [float(value) for value in self.values],
            "quality": [figure.model_dump() for figure in self.quality],
        }


def columns_of(
    tally: Tally,
    n: int,
    named: Iterable[tuple[str, str]],
    identify: Callable[[list[int]], Mapping[int, Any]],
) -> tuple[Column, ...]:
    """The summaries of all columns.

    Args:
        tally: of all N records. named: (name, unit) of each column. identify: positions -> their identifiers.
    """
    known = identify([int(position) for position in tally.records.reshape(-1) if position >= 0])
    found = []
    for k, (name, unit) in enumerate(named):
        raising, lowering = (
            tuple(Extreme(position, value, known.get(position)) for position, value in tally.end(end, k))
            for end in (0, 1)
        )
        total, squares = (float(value) for value in tally.sums[:, k])
        deviation = max(squares / n - (total / n) ** 2, 0.0) ** 0.5
        quantiles = {share: tally.quantile(k, share) for share in SHARES}
        found.append(Column(name, unit, total, total / n, deviation, quantiles, raising, lowering))
    return tuple(found)


def _plain(column: Column) -> dict[str, Any]:
    said = asdict(column)
    said["quantiles"] = {f"{share:g}": value for share, value in column.quantiles.items()}
    for end in ("raising", "lowering"):
        for extreme in said[end]:
            if not isinstance(extreme["identifier"], (str, int, float, bool, type(None))):
                extreme["identifier"] = str(extreme["identifier"])
    return said
