from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import ModelError
from auditkit.subject.encode import Encoding, fit_encoding

LEVEL = st.one_of(st.none(), st.sampled_from(["a", "b", "ç", "01", "1", ""]))
NUMBER = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
ROWS = st.lists(st.tuples(NUMBER, LEVEL), min_size=1, max_size=30)


def frame(rows: list[tuple[float | None, str | None]]) -> pd.DataFrame:
    numbers, levels = zip(*rows, strict=True)
    return pd.DataFrame({"x": np.array(numbers, dtype=float), "c": np.array(levels, dtype=object)})


@given(train=ROWS.filter(lambda rows: any(x is not None for x, _ in rows)), other=ROWS)
def test_any_frame_encodes_to_finite_numbers_with_one_level_per_column(
    train: list[tuple[float | None, str | None]], other: list[tuple[float | None, str | None]]
) -> None:
    encoding = fit_encoding(frame(train), numeric=("x",), categorical=("c",))
    for rows in (train, other):
        encoded = encoding.one_hot(frame(rows))
        assert encoded.shape == (len(rows), encoding.width) == (len(rows), len(encoding.names()))
        assert np.isfinite(encoded).all()
        levels = encoded[:, encoding.numeric_width :]
        assert (levels.sum(axis=1) == 1).all()
        assert (levels.argmax(axis=1) == encoding.indices(frame(rows))[:, 0]).all()
    known = {level for _, level in train}
    names = encoding.categorical[0].levels
    for (x, level), index in zip(other, encoding.indices(frame(other))[:, 0], strict=True):
        expected = len(names) if level is None else names.index(level) if level in known else len(names) + 1
        assert index == expected
        assert x is not None or encoding.numbers(frame([(x, level)]))[0, 0] == 0.0


@given(train=ROWS.filter(lambda rows: any(x is not None for x, _ in rows)))
def test_json_gives_the_same_encoding_back_to_the_bit(train: list[tuple[float | None, str | None]]) -> None:
    encoding = fit_encoding(frame(train), numeric=("x",), categorical=("c",))
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@given(train=ROWS.filter(lambda rows: any(x is not None for x, _ in rows)), data=st.data())
def test_the_order_of_training_rows_does_not_change_the_levels(
    train: list[tuple[float | None, str | None]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(train))
    one = fit_encoding(frame(train), numeric=("x",), categorical=("c",))
    other = fit_encoding(frame(list(shuffled)), numeric=("x",), categorical=("c",))
    assert one.categorical == other.categorical
    assert one.names() == other.names()


def test_standardising_uses_the_known_training_values_only() -> None:
    encoding = fit_encoding(frame([(1.0, "a"), (3.0, "a"), (None, "a")]), numeric=("x",), categorical=("c",))
    numbers = encoding.numbers(frame([(5.0, "a"), (None, "a")]))
    assert numbers.tolist() == [[3.0, 0.0], [0.0, 1.0]]


def test_a_constant_column_encodes_to_zero_and_gets_no_indicator() -> None:
    encoding = fit_encoding(frame([(0.1, "a")] * 3), numeric=("x",), categorical=())
    assert encoding.numbers(frame([(0.1, "a")] * 2)).tolist() == [[0.0], [0.0]]
    assert encoding.numeric_width == 1


def test_what_training_never_held_is_counted_by_column() -> None:
    encoding = fit_encoding(frame([(1.0, "a"), (2.0, "b")]), numeric=("x",), categorical=("c",))
    checks = encoding.checks(frame([(None, "z"), (1.0, None), (1.0, "y"), (2.0, "a")]), "evaluation")
    assert [(check.name, check.count) for check in checks] == [
        ("missing x, evaluation", 1),
        ("unseen c, evaluation", 2),
    ]


def test_integer_levels_are_their_texts() -> None:
    encoding = fit_encoding(pd.DataFrame({"c": [1, 2, 10]}), numeric=(), categorical=("c",))
    assert encoding.categorical[0].levels == ("1", "10", "2")
    assert encoding.indices(pd.DataFrame({"c": [2.0, np.nan, 1.0]}))[:, 0].tolist() == [2, 3, 0]


def test_a_frame_that_does_not_fit_is_refused() -> None:
    encoding = fit_encoding(frame([(1.0, "a")]), numeric=("x",), categorical=("c",))
    with pytest.raises(ModelError, match="columns that the data do not have: 'c'"):
        encoding.require(pd.DataFrame({"x": [1.0]}))
    with pytest.raises(ModelError, match="numbers where the data hold text: 'x'"):
        encoding.require(pd.DataFrame({"x": ["one"], "c": ["a"]}))
    with pytest.raises(ModelError, match="no training record has a value of 'x'"):
        fit_encoding(frame([(None, "a")]), numeric=("x",), categorical=())


def test_numbers_whose_spread_is_not_finite_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match="values of 'x' are too large"):
        fit_encoding(pd.DataFrame({"x": [1e300, -1e300, 2.0]}), numeric=("x",), categorical=())
