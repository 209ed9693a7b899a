from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.subject.types import ALL_RECORDS, UNKNOWN, Table

PLAIN = {"numeric": [], "categorical": []}


def people(lender: Any, protected: dict[str, Any], **columns: list[object]) -> Table:
    n = len(next(iter(columns.values())))
    frame = pd.DataFrame({"id": range(n), "repaid": [i % 2 for i in range(n)], **columns})
    table: Table = lender.write(evaluation=frame).table(data=PLAIN, protected=protected)
    return table


def test_bins_take_their_lower_edge_and_everything_outside_is_unknown(lender: Any) -> None:
    rule = {"column": "age", "bins": [18, 25, 40, float("inf")], "unknown": [999]}
    table = people(lender, {"age": rule}, age=[17, 18, 24.9, 25, 40, 999, None, 90])
    grouping = table.groupings["age"]
    assert grouping.labels == ("18-24", "25-39", "40+")
    assert grouping.codes.tolist() == [UNKNOWN, 0, 0, 1, 2, UNKNOWN, UNKNOWN, 2]
    assert [c.count for c in table.checks if c.name == "unknown age"] == [3]


def test_groups_keep_the_policy_order_and_other_values_are_unknown(lender: Any) -> None:
    rule = {"column": "sex", "groups": ["male", "female"], "unknown": ["U"]}
    grouping = people(lender, {"sex": rule}, sex=["female", "U", "male", "divers", None, "female"]).groupings["sex"]
    assert grouping.labels == ("male", "female")
    assert grouping.codes.tolist() == [1, UNKNOWN, 0, UNKNOWN, UNKNOWN, 1]
    assert (grouping.reference, grouping.reference_stated) == ("female", False)


def test_without_groups_every_value_met_is_one(lender: Any) -> None:
    rule = {"column": "race", "unknown": [9]}
    grouping = people(lender, {"race": rule}, race=[2, 1, 9, 1, None] * 10).groupings["race"]
    assert grouping.labels == ("1", "2")
    assert grouping.codes.tolist() == [1, 0, UNKNOWN, 0, UNKNOWN] * 10


def test_values_that_no_policy_declares_and_few_persons_have_are_not_named(lender: Any) -> None:
    race = [2, 1] * 10 + [3, 4, 3, 9]
    grouping = people(lender, {"race": {"column": "race", "unknown": [9]}}, race=race).groupings["race"]
    assert grouping.labels == ("1", "2", "other values")
    assert grouping.codes.tolist() == [1, 0] * 10 + [2, 2, 2, UNKNOWN]
    declared = people(lender, {"race": {"column": "race", "groups": [1, 2, 3]}}, race=race).groupings["race"]
    assert declared.labels == ("1", "2", "3")


def test_numbers_of_the_policy_match_a_column_with_missing_cells(lender: Any) -> None:
    rule = {"column": "foreign", "groups": [0, 1], "reference": "0"}
    grouping = people(lender, {"foreign": rule}, foreign=[1.0, 0.0, None]).groupings["foreign"]
    assert grouping.labels == ("0", "1")
    assert grouping.codes.tolist() == [1, 0, UNKNOWN]
    assert grouping.reference_stated


@pytest.mark.parametrize(
    ("word", "reference", "across"),
    [("largest", "male", "male · 18-39"), ("best", "male", "male · 18-39"), ("overall", ALL_RECORDS, ALL_RECORDS)],
)
def test_a_reference_left_to_the_data(book: Any, word: str, reference: str, across: str) -> None:
    protected = {
        "sex": {"column": "sex", "groups": ["female", "male"], "reference": word},
        "age": {"column": "age", "bins": [18, 40, 62], "reference": "18-39"},
    }
    groupings = book.table(protected=protected, intersections=(("sex", "age"),)).groupings
    sex, both = groupings["sex"], groupings["sex x age"]
    # The best group is only known once there are decisions; until then the largest stands in.
    assert (sex.reference, sex.reference_stated, sex.chosen) == (reference, True, word)
    assert (both.reference, both.chosen) == (across, "" if word == "largest" else word)


def test_a_group_of_that_name_is_the_reference(lender: Any) -> None:
    rule = {"column": "tier", "groups": ["best", "overall"], "reference": "overall"}
    tier = people(lender, {"tier": rule}, tier=["best", "best", "overall"] * 10).groupings["tier"]
    assert (tier.reference, tier.chosen) == ("overall", "")


def test_intersections_cross_every_label_and_combine_references(book: Any) -> None:
    protected = {
        "sex": {"column": "sex", "groups": ["female", "male"], "reference": "male"},
        "age": {"column": "age", "bins": [18, 40, 62], "reference": "18-39"},
    }
    table = book.table(protected=protected, intersections=(("sex", "age"),))
    both, sex, age = (table.groupings[name] for name in ("sex x age", "sex", "age"))
    assert both.labels == ("female · 18-39", "female · 40-61", "male · 18-39", "male · 40-61")
    assert (both.reference, both.reference_stated, both.of) == ("male · 18-39", True, ("sex", "age"))
    known = both.codes != UNKNOWN
    assert (known == (age.codes != UNKNOWN)).all()
    for row in np.flatnonzero(known):
        assert both.labels[both.codes[row]] == f"{sex.labels[sex.codes[row]]} · {age.labels[age.codes[row]]}"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"column": "sex", "groups": ["Female", "male"]}, "has the group 'Female' of 'sex'; did you mean 'female'?"),
        ({"column": "sex", "groups": ["x", "y"]}, "in a group of 'sex'; the values are 'female', 'male'"),
        ({"column": "sex", "reference": "mal"}, "the reference 'mal' is no group of 'sex'; did you mean 'male'?"),
        ({"column": "sex", "bins": [0, 1, 2]}, "'male' is not a number"),
    ],
)  # fmt: skip
def test_a_grouping_that_cannot_be_meant_is_refused(lender: Any, rule: dict[str, Any], said: str) -> None:
    frame = pd.DataFrame({"id": [1, 2], "repaid": [1, 0], "sex": ["male", "female"]})
    found = lender.write(evaluation=frame).complaints(data=PLAIN, protected={"sex": rule})
    assert any(said in complaint for complaint in found)


def test_a_stated_group_that_nobody_belongs_to_stays_as_an_empty_group(lender: Any) -> None:
    rule = {"column": "race", "groups": ["asian", "black", "pacific"]}
    grouping = people(lender, {"race": rule}, race=["asian", "black"]).groupings["race"]
    assert grouping.labels == ("asian", "black", "pacific")
