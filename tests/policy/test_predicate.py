from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import DataError, PolicyError
from auditkit.policy.predicate import LOCKED, LONGEST, parse

FRAME = pd.DataFrame(
    {
        "a": [1, 2, 3, 4],
        "b": [1.0, np.nan, 3.0, 0.0],
        "s": ["x", "yy", None, "é'x"],
        "k": pd.Categorical(["u", "v", None, "u"]),
        "Amt Due": [1, 2, 3, 4],
        "d": ["2020-01-01", "2021-05-05", None, "2022-02-02"],
        "flag": [True, False, True, False],
        "mixed": pd.Series([1, "a", None, 2.0], dtype=object),
        "secret": ["p", "q", "r", "s"],
    }
)


def rows(expression: str) -> tuple[list[int], list[int]]:
    mask, unknown = parse(expression).evaluate(FRAME)
    assert mask.dtype == unknown.dtype == np.bool_ and mask.shape == unknown.shape == (len(FRAME),)
    assert not (mask & unknown).any()
    return np.flatnonzero(mask).tolist(), np.flatnonzero(unknown).tolist()


def refusal(expression: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(expression, where="p.yaml:3:5", name="slice 'x'")
    (complaint,) = caught.value.complaints
    assert complaint.where == "p.yaml:3:5" and complaint.message.startswith("slice 'x' ")
    return complaint.message.removeprefix("slice 'x' ")


@pytest.mark.parametrize(
    ("expression", "true", "unknown"),
    [
        ("a = 1", [0], []),
        ("a IN (1, 2) AND b IS NOT NULL", [0], []),
        ("a NOT IN (1, 2)", [2, 3], []),
        ("a BETWEEN 2 AND 3", [1, 2], []),
        ("a NOT BETWEEN 2 AND 3", [0, 3], []),
        ("b > 0", [0, 2], [1]),
        ("b > 0 OR a = 2", [0, 1, 2], []),
        ("NOT b > 0", [3], [1]),
        ("b IS NULL", [1], []),
        ("a IS DISTINCT FROM b", [1, 3], []),
        ("s = 'é''x'", [3], [2]),
        ("s LIKE '%x'", [0, 3], [2]),
        ("s NOT LIKE 'x%' ESCAPE '!'", [1, 3], [2]),
        ("s ILIKE 'X'", [0], [2]),
        ("upper(s) = 'YY' AND length(s) = 2", [1], [2]),
        ("k = 'u'", [0, 3], [2]),
        ("k = 'not a level'", [], [2]),
        ('"Amt Due" > 2', [2, 3], []),
        ("S = 'x'", [0], [2]),
        ("-a < -2", [2, 3], []),
        ("a - -2 = 3", [0], []),
        ("a // 2 = 1 AND a % 2 = 0", [1], []),
        ("a * 2 + 1 >= 7 / 1", [2, 3], []),
        ("CAST(d AS DATE) >= DATE '2021-01-01'", [1, 3], [2]),
        ("year(CAST(d AS DATE)) = 2021", [1], [2]),
        ("extract(month FROM CAST(d AS DATE)) = 5", [1], [2]),
        ("TRY_CAST(s AS INTEGER) IS NULL", [0, 1, 2, 3], []),
        ("coalesce(b, 9) = 9", [1], []),
        ("flag", [0, 2], []),
        ("flag IS NOT TRUE", [1, 3], []),
        ("flag = 1", [0, 2], []),
        ("round(b / 3, 2) = 0.33", [0], [1]),
        ("a = 1 OR s = '; DROP TABLE t --'", [0], [2]),
        ("NULL = a", [], [0, 1, 2, 3]),
        ("a = 3e0 OR a = .5 OR a = 4.", [2, 3], []),
        ("((((a = 1))))", [0], []),
    ],
)
def test_what_is_true_and_what_is_unknown(expression: str, true: list[int], unknown: list[int]) -> None:
    assert rows(expression) == (true, unknown)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("a IN (SELECT 1)", "holds a subquery at character 6 (`(SELECT 1)`)"),
        ("EXISTS (SELECT 1)", "holds a subquery at character 1 (`EXISTS (SELECT 1)`)"),
        ("s = 'é' AND a = (SELECT 1)", "holds a subquery at character 17 (`(SELECT 1)`)"),
        ("a = ANY([1])", "holds a subquery at character 1"),
        ("sum(a) > 1", "holds the function sum at character 1 (`sum(a)`)"),
        ("count(*) > 1", "holds the function count_star at character 1"),
        ("sum(a) OVER () > 1", "holds a window function at character 1"),
        ("a = ?", "holds a parameter at character 5 (`?`)"),
        ("a = $1", "holds a parameter at character 5 (`$1`)"),
        ("*", "holds a star (*) at character 1"),
        ("COLUMNS(*) = 1", "holds a star (*)"),
        ("t.a = 1", "holds a qualified name at character 1 (`t.a`)"),
        ("a[1] = 1", "holds an element of a list"),
        ("a IN b", "holds IN without a list in parentheses"),
        ("a IN ([1])", "holds the function list_value"),
        ("(a, b) = (1, 2)", "holds the function row"),
        ("{'x': a} = 1", "holds a named argument of the function struct_pack"),
        ("list_filter([a], x -> x > 1)", "holds the function list_filter"),
        ("CASE WHEN a = 1 THEN true END", "holds CASE"),
        ("a COLLATE NOCASE = 'x'", "holds COLLATE"),
        ("abs(a) FILTER (WHERE a = 1) = 1", "holds FILTER in abs"),
        ("abs(DISTINCT a) = 1", "holds DISTINCT in abs"),
        ("main.abs(a) = 1", "holds a qualified function name in abs"),
        ("s ~ 'x'", "holds the function regexp_matches"),
        ("s SIMILAR TO 'x'", "holds the function regexp_full_match"),
        ("s GLOB 'x'", "holds the operator ~~~"),
        ("a & 1 = 1", "holds the operator &"),
        ("a ^ 2 = 1", "holds the operator ^"),
        ("#1 = 1", "holds a column by its position"),
        ("a = DEFAULT", "holds DEFAULT"),
        ("INTERVAL 1 DAY = a", "holds the function to_days"),
        ("CAST(a AS DECIMAL(3, 1)) = 1", "holds CAST to DECIMAL"),
        ("a::JSON = 1", "holds CAST to JSON"),
        ("extract(epoch FROM d) = 1", "holds a part of a date other than year, quarter, month or day"),
        ("x'41' = s", "holds a literal of the kind HEX"),
        ("a = 1 -- AND b = 2", "holds a comment at character 7"),
        ("a = 1 /* AND b = 2 */", "holds a comment at character 7"),
        ("a = 1; DROP TABLE t", "holds more than one statement at character 6"),
        ("a = 1); DROP TABLE t; --", "holds a closing bracket without its opening one at character 6"),
        ("1 = 1) UNION (SELECT 1", "holds a closing bracket without its opening one at character 6"),
        ("a = 1) OR (a = 2", "holds a closing bracket without its opening one at character 6"),
        ("a = 1) LIMIT (2", "holds a closing bracket without its opening one at character 6"),
        ("(a = 1", "is not a SQL expression"),
        ("a = 1 LIMIT 2", 'is not a SQL expression (syntax error at or near "LIMIT") at character 7'),
        ("a = 1 AS q", "is not a SQL expression"),
        ("SELECT 1", "holds a subquery"),
        ("a = 'x", "is not a SQL expression"),
        ("", "is empty"),
        (" \n ", "is empty"),
        ("1 = 1", "names no column"),
        ("a = 1 AND s = 'x\u202e'", "holds an invisible control character"),
        ("a = '\x00'", "holds an invisible control character"),
        ("- " * 80 + "a = 1", "holds an expression nested deeper than 60"),
        ("a = 1 OR " * 300 + "a = 1", f"has 2705 characters, more than {LONGEST}"),
    ],
)
def test_everything_else_is_refused_by_name_and_place(expression: str, problem: str) -> None:
    assert refusal(expression).startswith(problem)


@pytest.mark.parametrize(
    "expression",
    [
        "read_csv('{file}') = 'x'",
        "a IN (SELECT 1 FROM read_csv('{file}'))",
        "a IN (FROM '{file}')",
        "EXISTS (SELECT * FROM FRAME)",
        "read_text('{file}') LIKE '%'",
        "getenv('HOME') = 'x'",
        "getvariable('x') = a",
        "current_setting('home_directory') = s",
        "pg_backend_pid() = a",
        "pg_catalog.current_schema() = s",
        "nextval('q') = a",
        "query_table('t') = a",
        "query('SELECT 1') = a",
        "glob('/*') = s",
        "COPY t TO '{file}'",
        "ATTACH '{file}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET threads = 2",
        "CALL pragma_version()",
        "random() > a",
        "now() > a",
        "version() = s",
        "current_user() = s",
    ],
)
def test_nothing_outside_the_record_can_be_reached(expression: str, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("id\n1\n", encoding="utf-8")
    refusal(expression.format(file=file))
    assert file.read_text(encoding="utf-8") == "id\n1\n"


@pytest.mark.parametrize("name", ["current_date", "current_user", "rowid", "c0", "nope"])
def test_a_name_is_a_column_of_the_data_or_nothing(name: str) -> None:
    predicate = parse(f"{name} = 1 AND a = 1", where="p.yaml:3:5", name="slice 'x'")
    with pytest.raises(DataError) as caught:
        predicate.evaluate(FRAME)
    line = str(caught.value.complaints[0])
    assert line.startswith(
        f"p.yaml:3:5: slice 'x' names the column '{name}', which the data do not have; columns: a, b"
    )
    assert predicate.missing(FRAME.columns) == (name,)


def test_the_engine_itself_is_locked(tmp_path: Path) -> None:
    """The second wall: even if the list let something pass, the engine has neither files nor Python variables."""
    visible = FRAME
    with duckdb.connect(":memory:", config=dict(LOCKED)) as connection:
        for statement in (
            f"SELECT * FROM read_csv('{tmp_path}/x.csv')",
            f"COPY (SELECT 1) TO '{tmp_path}/x.csv'",
            f"ATTACH '{tmp_path}/x.db'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            "SELECT * FROM visible",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert len(visible) == 4 and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("expression", "column"),
    [("s = 1", "'s' holds text"), ("b = 'abc'", "'b' holds numbers"), ("s", "'s' holds text"),
     ("year(d) = 2020", "'d' holds text"), ("a = 1 AND secret = 2", "'secret' holds text")],
)  # fmt: skip
def test_values_that_cannot_be_compared_are_named_and_not_shown(expression: str, column: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(expression, where="p.yaml:3:5", name="slice 'x'").evaluate(FRAME)
    line = str(caught.value.complaints[0])
    assert line.startswith(f"p.yaml:3:5: slice 'x' cannot be computed: column {column}; compare text with")


def test_a_column_of_mixed_kinds_is_refused() -> None:
    with pytest.raises(DataError, match="'mixed', which mixes kinds of values"):
        parse("mixed = 1").evaluate(FRAME)


def test_only_named_columns_matter_and_case_is_settled_exactly_first() -> None:
    frame = pd.DataFrame({"A": [1, 2], "a": [2, 1], "B": [1, 1]})
    assert parse("A = 1").evaluate(frame)[0].tolist() == [True, False]
    assert parse("a = 1 AND b = 1").evaluate(frame)[0].tolist() == [False, True]
    assert parse("a = 1 AND b = 1").columns == ("a", "b")
    both = pd.DataFrame({"Ab": [1], "aB": [1]})
    assert parse("ab = 1").missing(both.columns) == ("ab",)


def test_no_rows_and_many_rows_keep_their_order() -> None:
    empty_mask, empty_unknown = parse("a = 1").evaluate(FRAME.iloc[:0])
    assert len(empty_mask) == len(empty_unknown) == 0
    values = np.random.default_rng(3).integers(0, 5, 100_000)
    mask, _ = parse("v >= 3").evaluate(pd.DataFrame({"v": values}))
    np.testing.assert_array_equal(mask, values >= 3)


ATOMS = st.sampled_from(
    ["a = 1", "b > 0.5", "s LIKE '%x%'", "k IN ('u', 'w')", "a BETWEEN 1 AND 2", "b IS NULL", "s IS DISTINCT FROM 'x'",
     "a + b * 2 - 1 < 3", "-b <= -1", "coalesce(b, a) = 2", "length(s) = 2", "a % 2 = 0", "flag", "s NOT ILIKE 'Y%'",
     "a NOT IN (1, 4)", "NULL", "nullif(a, 2) > 1", "greatest(a, b) >= 3", "(a = 1) = flag", "CAST(a AS VARCHAR) = '3'"]
)  # fmt: skip
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map("".join),
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"NOT {part}"),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS)
def test_what_is_executed_means_what_was_written(expression: str) -> None:
    """The rewritten SQL against DuckDB's own reading of the text, over the same rows."""
    written = f"({expression}) AND a > 0 OR a IS NULL"
    table = FRAME[["a", "b", "s", "k", "flag"]]
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.register("t", table)
        found = connection.execute(f"SELECT CAST(({written}) AS BOOLEAN) AS v FROM t").fetchall()
    mask, unknown = parse(written).evaluate(FRAME)
    assert [None if u else bool(m) for m, u in zip(mask, unknown, strict=True)] == [value for (value,) in found]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1 ='\"()<>,;-/*?$.[]{}|&+:\\\n", max_size=30))
def test_any_text_is_a_filter_or_a_policy_error(text: str) -> None:
    try:
        predicate = parse(text)
    except PolicyError:
        return
    assert predicate.columns


@pytest.mark.parametrize(
    "expression", ["code = 5", "5 <> code", "code IN (4, 5)", "code BETWEEN 5 AND 6", "NOT code = 0.1"]
)
def test_text_is_not_compared_with_a_number_because_sql_would_round_it(expression: str) -> None:
    with pytest.raises(DataError, match="column 'code' holds text"):
        parse(expression).evaluate(pd.DataFrame({"code": ["5.4", "05"]}))
