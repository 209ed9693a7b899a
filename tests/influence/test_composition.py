from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import DataError
from auditkit.influence.columns import Levels, describe
from auditkit.influence.composition import OTHER, compose
from auditkit.subject.types import UNKNOWN, Floats, Grouping


def levels(codes: list[int] | np.ndarray, names: tuple[str, ...], *, always: bool = True) -> Levels:
    return Levels("branch", names, np.asarray(codes, dtype=np.int64), always)


def share_of(rows: list, name: str) -> float | None:  # type: ignore[type-arg]
    return next((row.share.value for row in rows if row.level == name), None)


def test_shares_are_counted_beside_the_base_with_wilson_limits() -> None:
    n = 2000
    codes = np.zeros(n, dtype=np.int64)
    codes[:400] = 1
    effects = np.linspace(1, -1, n)  # the largest effects lie in the first rows, all of level 1
    found = {
        (c.direction, c.top_share): c
        for c in compose(effects, [levels(codes, ("south", "north"))], persons=None, minimum=10, level=0.95)
    }
    assert found["raises", 0.05].n == 100 and found["raises", 0.01].n == 20
    # Everybody at the top is in the north; that nobody is in the south must not be told apart from a few.
    (row,) = found["raises", 0.05].rows
    assert (row.level, row.share.value, row.share.high, row.lift) == ("north", None, 1.0, None)
    assert (
        row.share.low is not None and 0.8 < row.share.low < 0.91 and "all of them but at most 9" in row.share.withheld
    )
    effects[3] = effects[7] = -0.5
    again = compose(
        effects,
        [levels(np.where(np.isin(np.arange(n), (95, 96)), 0, codes), ("south", "north"))],
        persons=None,
        minimum=10,
        level=0.95,
    )
    (other,) = next(c for c in again if (c.direction, c.top_share) == ("raises", 0.05)).rows
    assert other.share == row.share
    effects = np.linspace(1, -1, n)
    effects[350:450] += 5
    (composition,) = (
        c
        for c in compose(effects, [levels(codes, ("south", "north"))], persons=None, minimum=10, level=0.95)
        if (c.direction, c.top_share) == ("raises", 0.05)
    )
    rows = {row.level: row for row in composition.rows}
    assert rows["north"].share.value == 0.5 and rows["north"].base_share == 0.2 and rows["north"].lift == 2.5
    assert rows["north"].share.n == 100 and rows["north"].share.method.startswith("Wilson")
    assert rows["north"].share.low == pytest.approx(0.4038, abs=1e-4)


def test_a_top_never_holds_records_that_go_the_other_way() -> None:
    effects = np.full(1000, -1.0)
    effects[:12] = 1.0
    found = compose(effects, [], persons=None, minimum=10, level=0.95)
    assert {(c.direction, c.top_share): c.n for c in found} == {
        ("raises", 0.01): 10, ("raises", 0.05): 12, ("lowers", 0.01): 10, ("lowers", 0.05): 50,
    }  # fmt: skip


def test_persons_and_not_rows_are_counted_against_the_minimum() -> None:
    effects = np.linspace(1, -1, 1000)
    persons = np.arange(1000) // 5
    found = compose(effects, [], persons=persons, minimum=10, level=0.95)
    assert {c.top_share for c in found} == {0.05}  # 10 rows of the top 1 % are two persons


@given(seed=st.integers(0, 10_000), minimum=st.integers(2, 12), count=st.integers(2, 6))
def test_no_published_count_or_difference_tells_of_few(seed: int, minimum: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    n = 1200
    codes = rng.choice(count, size=n, p=rng.dirichlet(np.ones(count)))
    effects: Floats = rng.normal(size=n) + rng.normal(size=count)[codes]
    column = levels(codes, tuple(f"level {i}" for i in range(count)))
    for composition in compose(effects, [column], persons=None, minimum=minimum, level=0.95):
        told = [row for row in composition.rows if row.share.value is not None]
        assert len(told) != 1 and len(composition.rows) - len(told) <= 1
        assert all(row.share.events is not None and row.share.events >= minimum for row in told)
        if told:
            assert sum(row.share.events or 0 for row in told) == composition.n
        for row in told:
            if row.level != OTHER:
                beyond = round(row.base_share * n) - (row.share.events or 0)
                assert composition.top_share < 0.05 or beyond == 0 or beyond >= minimum


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    income = rng.normal(50, 10, 100)
    income[:4] = np.nan
    branch = np.array(["A", "B", None, "C"] * 25, dtype=object)
    return pd.DataFrame({"income": income, "branch": branch, "flag": [True, False] * 50, "few": [1.0, 2, 3, 4] * 25})


def test_columns_become_levels_with_missing_and_quartiles() -> None:
    codes = np.arange(100) % 3 - 1
    sex = Grouping("sex", ("f", "m"), codes.astype(np.int64), "m", True, columns=("sex",))
    label = np.ones(100)
    rows = np.arange(10, 90)
    found = {
        c.column: c
        for c in describe(frame(), label, {"sex": sex}, rows, compare=("branch",), features=("income", "few", "flag"))
    }
    assert list(found) == ["sex", "label", "branch", "income", "few", "flag"]
    assert found["sex"].labels == ("f", "m", "unknown")
    assert ((found["sex"].codes == 2) == (codes[rows] == UNKNOWN)).all()
    assert found["branch"].labels == ("A", "B", "C", "missing") and found["branch"].always
    assert (found["branch"].codes == 3).sum() == 20
    assert len(found["income"].labels) == 5 and not found["income"].always
    # Quartiles of 80 records, but for one record that rounding the edges to three digits moves.
    assert np.bincount(found["income"].codes, minlength=5).tolist() == [20, 20, 19, 21, 0]
    assert found["few"].labels == ("1", "2", "3", "4", "missing") and found["flag"].labels == (
        "False",
        "True",
        "missing",
    )


def test_an_unknown_column_to_compare_is_a_data_error() -> None:
    with pytest.raises(DataError, match="'brunch'"):
        describe(frame(), np.ones(100), {}, np.arange(100), compare=("brunch",), features=())


def test_only_features_that_differ_are_reported() -> None:
    n = 2000
    effects = np.linspace(1, -1, n)
    same = Levels("same", ("a", "b"), np.arange(n, dtype=np.int64) % 2, False)
    other = Levels(
        "other",
        ("a", "b"),
        np.where(np.arange(n) < 60, np.arange(n) % 6 == 0, np.arange(n) % 3 != 0).astype(np.int64),
        False,
    )
    (top,) = (
        c
        for c in compose(effects, [same, other], persons=None, minimum=5, level=0.95)
        if (c.direction, c.top_share) == ("raises", 0.05)
    )
    assert {row.column for row in top.rows} == {"other"}
    assert share_of(list(top.rows), "a") is not None


def test_a_bin_holds_exactly_what_its_label_says() -> None:
    income = np.random.default_rng(5).lognormal(10, 1, 400)
    frame = pd.DataFrame({"income": income})
    found = describe(frame, np.ones(400), {}, np.arange(400), compare=(), features=("income",))
    (levels,) = [c for c in found if c.column == "income"]
    first = float(levels.labels[0].removeprefix("up to ").replace(",", ""))
    last = float(levels.labels[3].removeprefix("over ").replace(",", ""))
    assert "e+" not in "".join(levels.labels)
    assert ((levels.codes == 0) == (income <= first)).all()
    assert ((levels.codes == 3) == (income > last)).all()
