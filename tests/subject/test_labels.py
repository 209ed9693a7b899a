"""One name for a group, whatever holds the column: the function itself. The doors are held in tests/fairness."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from auditkit.errors import DataError
from auditkit.policy.bins import group_label
from auditkit.subject.labels import answers_of, group_levels, group_texts, numbers_of

NAN = float("nan")
WHOLE: dict[str, Callable[[list[Any]], object]] = {
    "list of ints": lambda v: v,
    "list of floats": lambda v: [float(x) for x in v],
    "list of texts": lambda v: [str(x) for x in v],
    "list of texts with a point": lambda v: [f"{x}.0" for x in v],
    "tuple": tuple,
    "decimals": lambda v: [Decimal(x) for x in v],
    "decimals with places": lambda v: [Decimal(f"{x}.00") for x in v],
    "bytes": lambda v: [str(x).encode() for x in v],
    "byte arrays": lambda v: [bytearray(str(x).encode()) for x in v],
    "mixed": lambda v: [x if at % 3 else (str(x) if at % 2 else float(x)) for at, x in enumerate(v)],
    "int64": np.array,
    "int8": lambda v: np.array(v, dtype=np.int8),
    "uint64": lambda v: np.array(v, dtype=np.uint64),
    "float32": lambda v: np.array(v, dtype=np.float32),
    "float16": lambda v: np.array(v, dtype=np.float16),
    "numpy text": lambda v: np.array([str(x) for x in v]),
    "numpy bytes": lambda v: np.array([str(x).encode() for x in v]),
    "numpy objects": lambda v: np.array(v, dtype=object),
    "numpy scalars": lambda v: [np.int32(x) for x in v],
    "series": lambda v: pd.Series(v, index=range(100, 100 + len(v))),
    "index": pd.Index,
    "nullable int": lambda v: pd.Series(v, dtype="Int64"),
    "nullable float": lambda v: pd.Series(v, dtype="Float64"),
    "string dtype": lambda v: pd.Series([str(x) for x in v], dtype="string"),
    "category of ints": pd.Categorical,
    "category of texts": lambda v: pd.Series([str(x) for x in v]).astype("category"),
    "arrow": lambda v: pd.Series(v, dtype="int64[pyarrow]"),
    "masked array": lambda v: np.ma.array(v, mask=[False] * len(v)),
    "generator of a range": lambda v: map(int, v),
}


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_whole_numbers_have_one_name_whatever_holds_them(kind: str) -> None:
    codes, labels = group_levels(WHOLE[kind]([10, 2, 1, 10, 2]))
    assert labels == ("1", "10", "2") and codes.tolist() == [1, 2, 0, 1, 2]


TRUTHS: dict[str, Callable[[list[bool | None]], object]] = {
    "list": lambda v: v,
    "numpy objects": lambda v: np.array(v, dtype=object),
    "texts": lambda v: [None if x is None else str(x) for x in v],
    "lower texts": lambda v: [None if x is None else str(x).lower() for x in v],
    "upper texts": lambda v: [None if x is None else str(x).upper() for x in v],
    "nullable": lambda v: pd.Series(v, dtype="boolean"),
    "category": pd.Categorical,
    "category of texts": lambda v: pd.Series([None if x is None else str(x) for x in v]).astype("category"),
    "numpy scalars": lambda v: [None if x is None else np.bool_(x) for x in v],
    "arrow": lambda v: pd.Series(v, dtype="bool[pyarrow]"),
    "text column of pandas": lambda v: pd.Series(v, dtype="boolean").astype(str),
}


@pytest.mark.parametrize("kind", sorted(TRUTHS))
def test_truth_values_have_one_name_and_are_no_numbers(kind: str) -> None:
    codes, labels = group_levels(TRUTHS[kind]([True, False, None, True]))
    assert labels == ("false", "true") and codes.tolist() == [1, 0, -1, 1]
    mixed = group_texts([True, 1, 1.0, "1", "true", False, 0])
    assert mixed.tolist() == ["true", "1", "1", "1", "true", "false", "0"]


MISSING: dict[str, object] = {
    "None": ["f", None, "m"],
    "NaN in a list": ["f", NAN, "m"],
    "pd.NA": ["f", pd.NA, "m"],
    "NaT": ["f", pd.NaT, "m"],
    "decimal NaN": ["f", Decimal("NaN"), "m"],
    "numpy NaN": ["f", np.float32("nan"), "m"],
    "numpy NaT": ["f", np.datetime64("NaT"), "m"],
    "blank": ["f", " ", "m"],
    "empty": ["f", "", "m"],
    "what numpy makes of a list": np.array(["f", NAN, "m"]),
    "what pandas makes of a text column": pd.Series(["f", NAN, "m"]).astype(str),
    "what pandas makes of a nullable column": pd.Series(["f", "<NA>", "m"]),
    "numpy objects": np.array(["f", None, "m"], dtype=object),
    "string dtype": pd.Series(["f", None, "m"], dtype="string"),
    "category": pd.Categorical(["f", None, "m"]),
    "masked": np.ma.array(np.array(["f", "x", "m"], dtype=object), mask=[0, 1, 0]),
}


@pytest.mark.parametrize("kind", sorted(MISSING))
def test_missing_is_unknown_and_no_group(kind: str) -> None:
    codes, labels = group_levels(MISSING[kind])
    assert labels == ("f", "m") and codes.tolist() == [0, -1, 1]


def test_the_text_none_and_codes_with_zeros_or_blanks_are_names() -> None:
    assert group_levels(["None", "01", " 1", "NA", "1"])[1] == (" 1", "01", "1", "NA", "None")


BINS: dict[str, object] = {
    "pd.cut": pd.cut([10, 40, 70], [0, 30, 60, 90]),
    "series of pd.cut": pd.Series(pd.cut([10, 40, 70], [0, 30, 60, 90])),
    "float edges": pd.cut([10.0, 40.0, 70.0], [0.0, 30.0, 60.0, 90.0]),
    "intervals": list(pd.IntervalIndex.from_breaks([0, 30, 60, 90])),
    "interval array": pd.arrays.IntervalArray.from_breaks([0, 30, 60, 90]),
    "texts": [str(x) for x in pd.cut([10, 40, 70], [0, 30, 60, 90])],
    "texts of float edges": [str(x) for x in pd.cut([10.0, 40.0, 70.0], [0.0, 30.0, 60.0, 90.0])],
    "objects": pd.Series(pd.cut([10, 40, 70], [0, 30, 60, 90])).astype(object),
}


@pytest.mark.parametrize("kind", sorted(BINS))
def test_bins_have_one_name(kind: str) -> None:
    codes, labels = group_levels(BINS[kind])
    assert labels == ("(0, 30]", "(30, 60]", "(60, 90]") and codes.tolist() == [0, 1, 2]


DAYS: dict[str, object] = {
    "dates": [date(2024, 1, 31), None],
    "times": [datetime(2024, 1, 31), None],
    "stamps": pd.to_datetime(["2024-01-31", None]),
    "seconds": pd.to_datetime(["2024-01-31", None]).astype("datetime64[s]"),
    "numpy": np.array(["2024-01-31", "NaT"], dtype="datetime64[D]"),
    "texts": ["2024-01-31", None],
    "category": pd.Categorical(pd.to_datetime(["2024-01-31", None])),
    "numpy scalars": [np.datetime64("2024-01-31"), None],
}


@pytest.mark.parametrize("kind", sorted(DAYS))
def test_days_have_one_name(kind: str) -> None:
    codes, labels = group_levels(DAYS[kind])
    assert labels == ("2024-01-31",) and codes.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("female", "not str"),
        (5, "not int"),
        ({"f": 1}, "not dict"),
        ({"f", "m"}, "not set"),
        (np.ones((3, 1)), r"shape \[M\], not \(3, 1\)"),
        (pd.DataFrame({"a": [1], "b": [2]}), r"not \(1, 2\)"),
        ([["f"], ["m"]], "a cell is a list.*measure_membership"),
        ([{"f": 1}], "a cell is a dict"),
        (np.array("f"), r"not \(\)"),
    ],
)
def test_what_is_no_column_is_refused_by_name(column: object, said: str) -> None:
    with pytest.raises(DataError, match=rf"sex must (hold|be).*{said}"):
        group_levels(column, "sex")


ANSWERS: dict[str, object] = {
    "ints": [1, 0, None],
    "floats": np.array([1.0, 0.0, NAN]),
    "truth values": [True, False, None],
    "nullable truth values": pd.Series([True, False, None], dtype="boolean"),
    "nullable ints": pd.Series([1, 0, None], dtype="Int8"),
    "decimals": [Decimal(1), Decimal("0.0"), Decimal("NaN")],
    "texts of numbers": ["1", "0.0", ""],
    "numpy texts": np.array(["1", "0", "nan"]),
    "category": pd.Categorical([1, 0, None]),
    "objects": np.array([1, False, pd.NA], dtype=object),
}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_answers_are_read_from_every_kind_of_column(kind: str) -> None:
    read = answers_of(ANSWERS[kind], "decision")
    assert read[:2].tolist() == [1.0, 0.0] and math.isnan(read[2])


@pytest.mark.parametrize(
    ("column", "first"),
    [
        (["yes", "no", "yes"], "3 values.*'yes'"),
        (["True", "False", None], "2 values.*'True'"),
        ([1, 2, 0], "1 values.*the first is 2"),
        ([1, 0.5, 0], "1 values.*0.5"),
        ([1, -1, 1], "1 values.*-1"),
        (pd.Categorical(["good", "bad"]), "2 values.*'good'"),
        (pd.to_datetime(["2024-01-01"]), "1 values.*Timestamp"),
        ([1, math.inf], "1 values.*inf"),
        (np.array(["a", "1"]), "1 values.*'a'"),
        ([1 + 1j], "1 values"),
    ],
)
def test_other_answers_are_refused_with_the_first_of_them(column: object, first: str) -> None:
    with pytest.raises(DataError, match=rf"{first}.*write 1 for favourable"):
        answers_of(column, "decision")


def test_numbers_are_numbers() -> None:
    assert numbers_of([1, "2.5", Decimal("3"), True], "weights").tolist() == [1.0, 2.5, 3.0, 1.0]
    with pytest.raises(DataError, match="weights are needed as numbers, and 2 values are none; the first is 'much'"):
        numbers_of(["much", 1, "01"], "weights")


def test_declared_groups_bear_the_same_names_as_those_of_columns() -> None:
    values: list[Any] = [1, 1.0, "1", "1.0", True, "True", "01", 0.5, "0.50", "(0.0, 30.0]", "x", 10**20, "1e+05", -0.0]
    told: NDArray[np.object_] = group_texts(values)
    assert told.tolist() == [group_label(value) for value in values]
