"""One pass over frames or Parquet, also larger than memory: how many records have each combination of groups and cell.

DuckDB counts; everything after works on the combinations, whose number does not grow with the records. Where persons
have several records, persons of one kind (the same combinations, as often) are counted together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from auditkit.errors import DataError
from auditkit.fairness.cells import CELLS, Cells
from auditkit.fairness.kinds import from_rows, too_many
from auditkit.fairness.metrics import DECISIONS, MISSING
from auditkit.fairness.tally_weights import SUMS, TallyWeights, by_person, by_record, whole
from auditkit.subject.decisions import DEFAULT_THRESHOLD, least_score
from auditkit.subject.types import UNKNOWN, Grouping, Ints

Source = pd.DataFrame | Path | str
MEMORY = "2GB"
"""What DuckDB may hold; beyond, it goes to disk."""


@dataclass(frozen=True)
class Tally:
    """Counts by combination; S combinations, T kinds of person, R rows (kind, combination, how often)."""

    labels: Mapping[str, tuple[str, ...]]
    """Groups of each attribute, sorted."""
    codes: Mapping[str, Ints]
    """[S] group of each combination; UNKNOWN where the column is null."""
    cell: Ints
    """[S] truth * 2 + decision."""
    kind: Ints
    """[R]"""
    slot: Ints
    """[R] the combination."""
    times: Ints
    """[R] how often one person of the kind has the combination."""
    persons: Ints
    """[T]"""
    repeats: bool
    undecided: int
    """Records without a decision; in no combination."""
    weights: TallyWeights | None = None

    def cells(self, grouping: Grouping) -> Cells:
        """The counts of one grouping, whose codes are [S]."""
        groups = len(grouping.labels)
        width = (groups + 1) * CELLS
        place = np.where(grouping.codes == UNKNOWN, groups, grouping.codes) * CELLS + self.cell
        weighted = None if self.weights is None else self.weights.weighted(place, groups=groups)
        if not self.repeats:
            # One record per person: the kinds are the cells themselves.
            own = np.bincount(place[self.slot], weights=self.persons[self.kind], minlength=width).astype(np.int64)
            kinds, counts = np.eye(width, dtype=np.int64)[own > 0], own[own > 0]
        elif too_many(len(self.persons), groups=groups):
            many = from_rows(self.kind, place[self.slot], self.times, self.persons, groups=groups)
            nothing = np.zeros((0, groups + 1, CELLS), dtype=np.int64)
            return Cells(nothing, self.persons, repeats=True, weighted=weighted, many=many)
        else:
            whole = np.zeros((len(self.persons), width), dtype=np.int64)
            np.add.at(whole, (self.kind, place[self.slot]), self.times)
            kinds, where = np.unique(whole, axis=0, return_inverse=True)
            counts = np.bincount(where.ravel(), weights=self.persons, minlength=len(kinds)).astype(np.int64)
        return Cells(kinds.reshape(-1, groups + 1, CELLS), counts, self.repeats, weighted)


def tally(
    source: Source,
    *,
    groups: Mapping[str, str],
    truth: str,
    decision: str | None = None,
    score: str | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    person: str | None = None,
    weight: str | None = None,
) -> Tally:
    """Count a table in one pass.

    Args:
        source: a frame, or the path (or glob) of Parquet files.
        groups: attribute -> column; null is unknown membership.
        truth, decision: columns of 1 (favourable), 0 or null. score, threshold: in place of a decision; a score of at
            least the threshold, in its own precision, is favourable.
        person: column of person ids; a null is a person of its own.
        weight: column of sample weights.

    Raises:
        DataError: a column is missing, a label or decision is neither 0, 1 nor null, or a weight is none.
    """
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 2}) as base:
        name = _open(base, source)
        wanted = [*groups.values(), truth, *(c for c in (decision, score, person, weight) if c is not None)]
        _require(base, name, wanted)
        _check(base, name, [column for column in (truth, decision) if column is not None])
        least = threshold if score is None else least_score(threshold, _precision(base, name, score, source))
        decided = _decided(decision, score, least)
        label = f"coalesce({_known(truth)}::TINYINT, {MISSING})"
        cell = f"{label} * {DECISIONS} + {decided}"
        keys = [f"{_q(column)}::VARCHAR AS g{at}" for at, column in enumerate(groups.values())]
        who = "" if person is None else f", {_q(person)} AS person"
        parts, unit = ("", None) if weight is None else whole(base, name, _known(weight))
        more = f"{who}, {parts}" if parts else who
        base.execute(f"CREATE TEMP VIEW seen AS SELECT {', '.join([*keys, f'{cell} AS cell'])}{more} FROM {name}")
        undecided = _one(base, "SELECT count(*) FROM seen WHERE cell IS NULL")
        names = [f"g{at}" for at in range(len(groups))]
        if person is None:
            return _by_record(base, list(groups), names, undecided, unit)
        return _by_person(base, list(groups), names, undecided, unit)


def _by_record(
    base: duckdb.DuckDBPyConnection, groups: list[str], names: list[str], undecided: int, unit: float | None
) -> Tally:
    keys = ", ".join([*names, "cell"])
    sums = "" if unit is None else f", {SUMS}"
    query = f"SELECT {keys}, count(*) AS n{sums} FROM seen WHERE cell IS NOT NULL GROUP BY ALL ORDER BY ALL"
    found = base.execute(query).df()
    labels, codes = _groups(found, groups, names)
    each = np.arange(len(found), dtype=np.int64)
    return Tally(
        labels, codes, found["cell"].to_numpy(dtype=np.int64), kind=each, slot=each, times=np.ones_like(each),
        persons=found["n"].to_numpy(dtype=np.int64), repeats=False, undecided=undecided,
        weights=None if unit is None else by_record(found, unit),
    )  # fmt: skip


def _by_person(
    base: duckdb.DuckDBPyConnection, groups: list[str], names: list[str], undecided: int, unit: float | None
) -> Tally:
    """Two steps: combinations get numbers, and persons with the same numbers as often are one kind."""
    keys = ", ".join([*names, "cell"])
    base.execute(
        f"CREATE TEMP TABLE slots AS SELECT *, row_number() OVER (ORDER BY {keys}) - 1 AS slot "
        f"FROM (SELECT DISTINCT {keys} FROM seen WHERE cell IS NOT NULL)"
    )
    same = " AND ".join(f"seen.{key} IS NOT DISTINCT FROM slots.{key}" for key in [*names, "cell"])
    own = "CASE WHEN person IS NULL THEN 'r' || row_number() OVER () ELSE 'p' || person::VARCHAR END"
    numbered = f"FROM seen JOIN slots ON {same}"
    found = base.execute(
        f"WITH rows AS (SELECT {own} AS who, slot {numbered}), "
        "kinds AS (SELECT list(slot ORDER BY slot) AS kind FROM rows GROUP BY who) "
        "SELECT kind, count(*) AS persons FROM kinds GROUP BY kind ORDER BY kind"
    ).df()
    slots = base.execute("SELECT * FROM slots ORDER BY slot").df()
    labels, codes = _groups(slots, groups, names)
    lists = [np.asarray(kind, dtype=np.int64) for kind in found["kind"]]
    lengths = np.array([len(kind) for kind in lists], dtype=np.int64)
    kind = np.repeat(np.arange(len(lists)), lengths)
    slot = np.concatenate(lists) if lists else np.zeros(0, dtype=np.int64)
    return Tally(
        labels, codes, slots["cell"].to_numpy(dtype=np.int64), kind=kind, slot=slot, times=np.ones_like(slot),
        persons=found["persons"].to_numpy(dtype=np.int64), repeats=bool((lengths > 1).any()), undecided=undecided,
        weights=None if unit is None else by_person(base, f"SELECT {own} AS who, slot, q {numbered}", unit),
    )  # fmt: skip


def _groups(
    found: pd.DataFrame, groups: list[str], names: list[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, Ints]]:
    labels, codes = {}, {}
    for group, name in zip(groups, names, strict=True):
        code, values = pd.factorize(found[name], sort=True)
        labels[group], codes[group] = tuple(str(value) for value in values), code.astype(np.int64)
    return labels, codes


def _open(base: duckdb.DuckDBPyConnection, source: Source) -> str:
    if isinstance(source, pd.DataFrame):
        base.register("given", source)
        return "given"
    try:
        base.execute("CREATE TEMP VIEW given AS SELECT * FROM read_parquet($path)".replace("$path", _text(str(source))))
    except duckdb.Error as error:
        raise DataError(f"{source} cannot be read as Parquet: {error}") from error
    return "given"


def _require(base: duckdb.DuckDBPyConnection, name: str, columns: list[str]) -> None:
    there = {row[0] for row in base.execute(f"DESCRIBE {name}").fetchall()}
    missing = [column for column in columns if column not in there]
    if missing:
        raise DataError(f"no column {', '.join(missing)}; there are {', '.join(sorted(there))}")


def _check(base: duckdb.DuckDBPyConnection, name: str, columns: list[str]) -> None:
    for column in columns:
        wrong = f"{_known(column)} NOT IN (0, 1)"
        count = _one(base, f"SELECT count(*) FROM {name} WHERE {wrong}")
        if count:
            raise DataError(f"{count:,} values of {column} are neither 1 (favourable), 0 nor missing")


def _decided(decision: str | None, score: str | None, least: float) -> str:
    if (decision is None) == (score is None):
        raise DataError("name the column of decisions, or that of scores, and not both")
    if decision is not None:
        return f"{_known(decision)}::TINYINT"
    return f"({_known(str(score))} >= {least!r})::TINYINT"


def _precision(base: duckdb.DuckDBPyConnection, name: str, score: str, source: Source) -> str:
    """The precision of a column of scores, as `subject.decisions.precision_of` has it for an array."""
    dtype = source[score].dtype if isinstance(source, pd.DataFrame) else None
    if dtype == np.float16:
        return "float16"
    number = _known(score)
    single = f"bool_and({number} = TRY_CAST({number} AS FLOAT)::DOUBLE)"
    return "float32" if _one(base, f"SELECT coalesce({single}, false)::INTEGER FROM {name}") else "float64"


def _known(column: str) -> str:
    """The column as a number; null where it is missing, which in a frame may be written as NaN."""
    number = f"{_q(column)}::DOUBLE"
    return f"(CASE WHEN isnan({number}) THEN NULL ELSE {number} END)"


def _one(base: duckdb.DuckDBPyConnection, query: str) -> int:
    row = base.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def _q(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
