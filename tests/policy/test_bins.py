from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.policy.bins import UNKNOWN, assign_bins, bin_labels, group_label


@pytest.mark.parametrize(
    ("edges", "labels"),
    [
        ([18, 25, 40, 62, math.inf], ("18-24", "25-39", "40-61", "62+")),
        ([-math.inf, 18, 19, math.inf], ("under 18", "18", "19+")),
        ([0.0, 0.5, 1.0], ("0.0 to <0.5", "0.5 to <1.0")),
        ([-math.inf, 0.5, math.inf], ("under 0.5", "0.5 and over")),
        ([-10, 0, 10], ("-10.0 to <0.0", "0.0 to <10.0")),
        ([-math.inf, math.inf], ("any",)),
    ],
)
def test_labels(edges: list[float], labels: tuple[str, ...]) -> None:
    assert bin_labels(edges) == labels


def test_lower_edge_in_upper_edge_out_and_everything_else_unknown() -> None:
    values = np.array([17.9, 18, 24, 24.5, 25, 61.99, 62, 120, np.nan, np.inf, -np.inf])
    assert assign_bins(values, [18, 25, 40, 62]).tolist() == [-1, 0, 0, 0, 1, 2, -1, -1, -1, -1, -1]
    assert assign_bins(values, [18, 25, 40, 62, math.inf]).tolist() == [-1, 0, 0, 0, 1, 2, 3, 3, -1, -1, -1]


@given(
    edges=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6, unique=True).map(sorted),
    value=st.floats(allow_nan=True, allow_infinity=True),
)
def test_every_value_falls_in_the_one_bin_that_contains_it(edges: list[float], value: float) -> None:
    code = int(assign_bins(np.array([value]), edges)[0])
    inside = [i for i in range(len(edges) - 1) if math.isfinite(value) and edges[i] <= value < edges[i + 1]]
    assert [code] == (inside or [UNKNOWN])


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=8, unique=True).map(sorted))
def test_there_is_one_distinct_label_per_bin(edges: list[float]) -> None:
    labels = bin_labels(edges)
    assert len(labels) == len(edges) - 1
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("value", "label"), [("Female", "Female"), (1, "1"), (1.0, "1"), (1.5, "1.5"), (True, "true"), (False, "false")]
)
def test_group_labels(value: bool | int | float | str, label: str) -> None:
    assert group_label(value) == label
