"""Row filters: SQL WHERE expressions that are data, never code.

DuckDB parses the expression to a tree (`json_serialize_sql`; nothing is bound or run), `sqltree` checks every node
against its list and writes the SQL again, and only that is executed: over one explicitly registered table, in an
in-memory database without file access, extensions or Python replacement scans, its configuration locked.
NULL is neither true nor false: such rows are "unknown" and returned beside the mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from auditkit.errors import Complaint, DataError, PolicyError
from auditkit.policy.sqltree import Refused, Writer

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

LONGEST: Final = 2_000
LOCKED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
    "lock_configuration": "true",
}
_HEAD: Final = "SELECT * FROM t WHERE ("
# Control characters, and the marks that make a text read in another order than it is stored.
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Predicate:
    """A checked row filter."""

    expression: str
    """As its author wrote it."""
    columns: tuple[str, ...]
    """Columns named, in order of first use."""
    where: str = ""
    """`file:line:column` of the expression, for complaints."""
    name: str = "the row filter"
    """What it is, for complaints: `slice 'declined-women'`."""
    _sql: str = field(default="", repr=False)
    _parts: tuple[tuple[str, frozenset[str]], ...] = field(default=(), repr=False)
    _numbered: frozenset[str] = field(default=frozenset(), repr=False)

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """The columns named that a table with these columns lacks."""
        known = list(columns)
        return tuple(name for name in self.columns if _resolve(name, known) is None)

    def evaluate(self, frame: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each row [R]: whether the filter is TRUE, and whether it is NULL (unknown).

        Args:
            frame: [R] rows; column names match exactly, or else regardless of case if that is unambiguous.

        Raises:
            DataError: a column is missing, or its values cannot be compared in this way (text with a number).
        """
        import duckdb

        table = self._table(frame)
        kinds = {name: _kind(table, index) for index, name in enumerate(self.columns)}
        texts = [name for name in self.columns if name in self._numbered and kinds[name] == "text"]
        if texts:
            raise DataError(self._mismatch(table, texts))
        with _connect() as connection:
            connection.register("t", table)
            try:
                found = _run(connection, self._sql)
            except duckdb.Error:
                raise DataError(self._complaint(connection, table)) from None
        return found["m"].astype(bool), found["u"].astype(bool)

    def _table(self, frame: pd.DataFrame) -> pa.Table:
        """The columns needed as an Arrow table c0, c1, ...; missing values are null, whatever their form in pandas."""
        import pyarrow as pa

        known = [str(column) for column in frame.columns]
        arrays: dict[str, pa.Array] = {}
        for index, name in enumerate(self.columns):
            position = _resolve(name, known)
            if position is None:
                message = f"{self.name} names the column '{name}', which the data do not have"
                raise DataError(Complaint(message, where=self.where, hint=f"columns: {', '.join(known[:30])}"))
            try:
                array = pa.array(frame.iloc[:, position], from_pandas=True)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                message = f"{self.name} needs the column '{name}', which mixes kinds of values (text and numbers)"
                raise DataError(Complaint(message, where=self.where, hint="keep one kind per column")) from None
            arrays[f"c{index}"] = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        return pa.table(arrays)

    def _complaint(self, connection: duckdb.DuckDBPyConnection, table: pa.Table) -> Complaint:
        """Which columns stand in the innermost part that does not compute, and what they hold; no value is shown."""
        import duckdb

        names: Iterable[str] = self.columns
        for sql, columns in self._parts:
            try:
                _run(connection, sql, boolean=False)
            except duckdb.Error:
                names = [name for name in self.columns if name in columns]
                break
        return self._mismatch(table, names)

    def _mismatch(self, table: pa.Table, names: Iterable[str]) -> Complaint:
        kinds = [f"column '{name}' holds {_kind(table, self.columns.index(name))}" for name in names]
        hint = "compare text with 'text' in single quotes and numbers with numbers, or use CAST(column AS type)"
        return Complaint(f"{self.name} cannot be computed: {', '.join(kinds)}", where=self.where, hint=hint)


def parse(expression: str, *, where: str = "", name: str = "the row filter") -> Predicate:
    """Check a SQL WHERE expression and make it ready to run.

    Args:
        expression: for example `sex = 'female' AND repaid = 1 AND decision = 0`.
        where: `file:line:column` of the expression, for complaints.
        name: what it is, for complaints.

    Raises:
        PolicyError: it is not an expression, or holds anything that is not on the list; names the construct and its
            place in the expression.
    """
    statement = f"{_HEAD}{expression})"
    try:
        if len(expression) > LONGEST:
            raise Refused(f"{len(expression)} characters, more than {LONGEST}", {}, verb="has ", hint="")
        _refuse_disguise(expression)
        tree = _parse_tree(statement)
        writer = Writer()
        sql = writer.write(tree)
        if not writer.columns:
            raise Refused("no column", {}, verb="names ", hint="name the columns that decide")
    except Refused as refused:
        message = f"{name} {refused.problem}{_place(statement, refused)}"
        raise PolicyError(Complaint(message, where=where, hint=refused.hint)) from None
    except RecursionError:
        raise PolicyError(Complaint(f"{name} is nested too deeply", where=where)) from None
    columns, written, numbered = tuple(writer.columns), tuple(writer.written), frozenset(writer.numbered)
    return Predicate(expression, columns, where, name, sql, written, numbered)


def _refuse_disguise(expression: str) -> None:
    """Refuse what would make the text read otherwise than it parses: comments, `;`, brackets closed before opened."""
    import duckdb

    if not expression.strip():
        raise Refused("empty", {}, verb="is ", hint="write an expression such as sex = 'female'")
    if _INVISIBLE.search(expression):
        raise Refused("an invisible control character", {}, hint="remove it")
    raw = expression.encode()
    depth = 0
    for start, kind in duckdb.tokenize(expression):
        place = {"query_location": start + len(_HEAD), "query_location_length": 1}
        sign = raw[start : start + 1]
        if kind == duckdb.token_type.comment:
            raise Refused("a comment", place)
        if kind == duckdb.token_type.operator and sign == b";":
            raise Refused("more than one statement", place)
        depth += (kind == duckdb.token_type.operator) * ((sign == b"(") - (sign == b")"))
        if depth < 0:
            raise Refused("a closing bracket without its opening one", place)


def _parse_tree(statement: str) -> Mapping[str, Any]:
    """The WHERE clause's tree; everything else of the statement has to be what `SELECT * FROM t WHERE (c)` gives."""
    answer = _serialised(statement)
    if answer["error"]:
        problem = str(answer.get("error_message", "cannot be parsed"))
        place = {"query_location": answer.get("position", 0), "query_location_length": 1}
        raise Refused(f"a SQL expression ({problem})", place, verb="is not ", hint="")
    clause = _take_clause(answer)
    plain = _serialised(f"{_HEAD}c)")
    _take_clause(plain)
    if answer != plain or not isinstance(clause, dict):
        raise Refused("more than one expression", {})
    return clause


def _serialised(statement: str) -> dict[str, Any]:
    row = _parser().cursor().execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    answer: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    return answer


def _take_clause(answer: dict[str, Any]) -> Any:
    statement = answer["statements"][0]
    statement.pop("named_param_map", None)  # parameters are refused where they stand in the tree
    return statement["node"].pop("where_clause", None)


@lru_cache(maxsize=1)
def _parser() -> duckdb.DuckDBPyConnection:
    return _connect()


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:", config=dict(LOCKED))


def _run(connection: duckdb.DuckDBPyConnection, sql: str, *, boolean: bool = True) -> dict[str, Any]:
    value = f"CAST({sql} AS BOOLEAN)" if boolean else sql
    mask = "coalesce(v, false)" if boolean else "v IS NOT NULL"
    return connection.execute(f"SELECT {mask} AS m, v IS NULL AS u FROM (SELECT {value} AS v FROM t)").fetchnumpy()


def _resolve(name: str, known: list[str]) -> int | None:
    if name in known:
        return known.index(name)
    folded = [index for index, other in enumerate(known) if other.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def _kind(table: pa.Table, index: int) -> str:
    import pyarrow.types as kinds

    held = table.schema.field(f"c{index}").type
    if kinds.is_string(held) or kinds.is_large_string(held):
        return "text"
    return "numbers" if kinds.is_integer(held) or kinds.is_floating(held) else f"values of the type {held}"


def _place(statement: str, refused: Refused) -> str:
    """Where in the author's expression a construct stands; DuckDB counts bytes from the statement's start."""
    raw = statement.encode()
    if not len(_HEAD) <= refused.start < len(raw) - 1 or not refused.length:
        return ""
    before = raw[len(_HEAD) : refused.start].decode(errors="replace")
    piece = raw[refused.start : min(refused.start + refused.length, len(raw) - 1)].decode(errors="replace")
    return f" at character {len(before) + 1} (`{piece if len(piece) <= 40 else piece[:39] + '…'}`)"
