"""One pass over frames or Parquet, also larger than memory: how many records have each combination of groups and cell.

DuckDB counts; everything after works on the combinations, whose number does not grow with the records. Where persons
have several records, persons of one kind (the same combinations, as often) are counted together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError
from auditkit.fairness.cells import CELLS, Cells
from auditkit.fairness.kinds import from_rows, too_many
from auditkit.fairness.metrics import DECISIONS, MISSING
from auditkit.fairness.tally_weights import SUMS, TallyWeights, by_person, by_record, whole
from auditkit.subject.decisions import DEFAULT_THRESHOLD, decisions_at, least_score, precision_of
from auditkit.subject.labels import answers_of, group_levels, group_texts, neither, numbers_of
from auditkit.subject.types import UNKNOWN, Floats, Grouping, Ints

Source = pd.DataFrame | Path | str
GroupNames = dict[str, tuple[str, ...]]
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
        try:
            return _counted(base, source, ColumnNames(groups, truth, decision, score, threshold, person, weight))
        except duckdb.Error as error:
            reason = str(error).strip().split("\n")[0][:200]
            raise DataError(
                Complaint(f"the records cannot be counted: {reason}", hint="check the types of the columns")
            ) from error


@dataclass(frozen=True)
class ColumnNames:
    """Which column holds what."""

    groups: Mapping[str, str]
    truth: str
    decision: str | None
    score: str | None
    threshold: float
    person: str | None
    weight: str | None

    def columns(self) -> list[str]:
        """All of them."""
        more = (self.decision, self.score, self.person, self.weight)
        return [*self.groups.values(), self.truth, *(column for column in more if column is not None)]


def _counted(base: duckdb.DuckDBPyConnection, source: Source, named: ColumnNames) -> Tally:
    if (named.decision is None) == (named.score is None):
        raise DataError("name the column of decisions, or that of scores, and not both")
    groups = list(named.groups)
    found = _read_frame(base, source, named) if isinstance(source, pd.DataFrame) else _read_files(base, source, named)
    parts, unit = ("", None) if named.weight is None else whole(base, "given", "weight")
    names = [f"g{at}" for at in range(len(groups))]
    who = "" if named.person is None else ", person"
    more = f"{who}, {parts}" if parts else who
    cell = f"coalesce(truth::TINYINT, {MISSING}) * {DECISIONS} + decision::TINYINT AS cell"
    base.execute(f"CREATE TEMP VIEW seen AS SELECT {', '.join([*names, cell])}{more} FROM given")
    undecided = _one(base, "SELECT count(*) FROM seen WHERE cell IS NULL")
    count = _by_record if named.person is None else _by_person
    return count(base, found, names, undecided, unit)


def _read_frame(base: duckdb.DuckDBPyConnection, frame: pd.DataFrame, named: ColumnNames) -> GroupNames:
    """The view `given` of a frame: codes of groups, truth and decision as 1, 0 or null, persons as texts, weights."""
    _require([str(column) for column in frame.columns], named.columns())
    labels = GroupNames()
    columns = dict[str, Any]()
    for at, (group, column) in enumerate(named.groups.items()):
        codes, labels[group] = group_levels(frame[column], column)
        columns[f"g{at}"] = pd.array(np.where(codes == UNKNOWN, 0, codes), dtype="Int64")
        columns[f"g{at}"][codes == UNKNOWN] = pd.NA
    columns["truth"] = _nullable(answers_of(frame[named.truth], named.truth))
    if named.decision is not None:
        columns["decision"] = _nullable(answers_of(frame[named.decision], named.decision))
    if named.score is not None:
        scores = numbers_of(frame[named.score], named.score)
        half = frame[named.score].dtype == np.float16  # told by the dtype alone, see `subject.decisions`
        decisions = decisions_at(scores, named.threshold, precision="float16" if half else precision_of(scores))
        columns["decision"] = _nullable(np.where(np.isnan(scores), np.nan, decisions))
    if named.person is not None:
        columns["person"] = pd.array(group_texts(frame[named.person], named.person), dtype="string")
    if named.weight is not None:
        columns["weight"] = _nullable(numbers_of(frame[named.weight], named.weight))
    base.register("given", pd.DataFrame(columns))
    return labels


def _precision(base: duckdb.DuckDBPyConnection, score: str) -> str:
    """The precision of a file's column of scores, as `subject.decisions.precision_of` has it for an array."""
    number = _known(score)
    single = f"bool_and({number} = TRY_CAST({number} AS FLOAT)::DOUBLE)"
    return "float32" if _one(base, f"SELECT coalesce({single}, false)::INTEGER FROM rows") else "float64"


def _nullable(values: Floats) -> Any:
    """Numbers with nulls where DuckDB would see NaN."""
    return pd.arrays.FloatingArray(np.where(np.isnan(values), 0.0, values), np.isnan(values))


def _read_files(base: duckdb.DuckDBPyConnection, path: Path | str, named: ColumnNames) -> GroupNames:
    """The same view of Parquet files; only the distinct values of the group columns are read into memory."""
    try:
        base.execute(f"CREATE TEMP VIEW rows AS SELECT * FROM read_parquet({_text(str(path))})")
        types = {row[0]: str(row[1]) for row in base.execute("DESCRIBE rows").fetchall()}
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    _require(list(types), named.columns())
    _check(base, [column for column in (named.truth, named.decision) if column is not None])
    labels, selected, joins = {}, [], []
    for at, (group, column) in enumerate(named.groups.items()):
        labels[group] = _encode(base, at, column)
        selected.append(f"c{at}.code AS g{at}")
        joins.append(
            f"LEFT JOIN v{at} ON {_q(column)} IS NOT DISTINCT FROM v{at}.v LEFT JOIN c{at} ON v{at}.k = c{at}.k"
        )
    selected.append(f"{_known(named.truth)} AS truth")
    if named.decision is not None:
        selected.append(f"{_known(named.decision)} AS decision")
    if named.score is not None:
        least = least_score(named.threshold, _precision(base, named.score))
        selected.append(f"({_known(named.score)} >= {least!r})::TINYINT AS decision")
    if named.person is not None:
        number = types[named.person] in ("FLOAT", "DOUBLE")
        own = f"{_q(named.person)}::VARCHAR"
        selected.append(
            (f"CASE WHEN isnan({_q(named.person)}) THEN NULL ELSE {own} END" if number else own) + " AS person"
        )
    if named.weight is not None:
        selected.append(f"{_known(named.weight)} AS weight")
    base.execute(f"CREATE TEMP VIEW given AS SELECT {', '.join(selected)} FROM rows {' '.join(joins)}")
    return labels


def _encode(base: duckdb.DuckDBPyConnection, at: int, column: str) -> tuple[str, ...]:
    """Labels of a column's values; tables v (value, k) and c (k, code) lead from one to the other."""
    base.execute(
        f"CREATE TEMP TABLE v{at} AS SELECT v, row_number() OVER () - 1 AS k "
        f"FROM (SELECT DISTINCT {_q(column)} AS v FROM rows)"
    )
    values = base.execute(f"SELECT v, k FROM v{at} ORDER BY k").df()
    codes, labels = group_levels(values["v"], column)
    known = codes != UNKNOWN
    base.register(f"c{at}", pd.DataFrame({"k": values["k"][known], "code": codes[known]}))
    return labels


def _by_record(
    base: duckdb.DuckDBPyConnection, known: GroupNames, names: list[str], undecided: int, unit: float | None
) -> Tally:
    keys = ", ".join([*names, "cell"])
    sums = "" if unit is None else f", {SUMS}"
    query = f"SELECT {keys}, count(*) AS n{sums} FROM seen WHERE cell IS NOT NULL GROUP BY ALL ORDER BY ALL"
    found = base.execute(query).df()
    labels, codes = _groups(found, known, names)
    each = np.arange(len(found), dtype=np.int64)
    return Tally(
        labels, codes, found["cell"].to_numpy(dtype=np.int64), kind=each, slot=each, times=np.ones_like(each),
        persons=found["n"].to_numpy(dtype=np.int64), repeats=False, undecided=undecided,
        weights=None if unit is None else by_record(found, unit),
    )  # fmt: skip


def _by_person(
    base: duckdb.DuckDBPyConnection, known: GroupNames, names: list[str], undecided: int, unit: float | None
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
    labels, codes = _groups(slots, known, names)
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
    found: pd.DataFrame, known: GroupNames, names: list[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, Ints]]:
    """Labels and codes of the groups that have a decided record."""
    labels, codes = {}, {}
    for (group, told), name in zip(known.items(), names, strict=True):
        code, values = pd.factorize(found[name], sort=True)
        labels[group], codes[group] = tuple(told[int(value)] for value in values), code.astype(np.int64)
    return labels, codes


def _require(there: list[str], columns: list[str]) -> None:
    missing = [column for column in columns if column not in there]
    if missing:
        raise DataError(f"no column {', '.join(missing)}; there are {', '.join(sorted(there))}")


def _check(base: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
    for column in columns:
        number = f"TRY_CAST({_q(column)} AS DOUBLE)"
        wrong = f"{_q(column)} IS NOT NULL AND ({number} IS NULL OR NOT isnan({number}) AND {number} NOT IN (0, 1))"
        row = base.execute(f"SELECT count(*), first({_q(column)}) FROM rows WHERE {wrong}").fetchone()
        if row is not None and row[0]:
            raise DataError(neither(int(row[0]), column, row[1]))


def _known(column: str) -> str:
    """The column as a number; null where it is missing, which may be written as NaN."""
    number = f"{_q(column)}::DOUBLE"
    return f"(CASE WHEN isnan({number}) THEN NULL ELSE {number} END)"


def _one(base: duckdb.DuckDBPyConnection, query: str) -> int:
    row = base.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def _q(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
