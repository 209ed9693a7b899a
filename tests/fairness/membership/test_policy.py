"""The policy's section: what it refuses, how columns are read, and which words of a reference mean what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import DataError, PolicyError
from auditkit.policy.load import from_mapping
from auditkit.policy.schema import Policy
from auditkit.subject.memberships import public_texts, read_memberships

BASE: dict[str, Any] = {
    "auditkit": 1,
    "name": "Memberships",
    "data": {"evaluation": "d.csv", "label": {"column": "y", "favourable": 1, "means": "outcome"}},
    "model": {"adapter": "predictions", "decision": "d"},
    "protected": {"sex": {"column": "sex"}},
    "rules": [],
}


def policy(**memberships: Any) -> Policy:
    return from_mapping(BASE | {"memberships": memberships})


def read(frame: pd.DataFrame, **rule: Any) -> Any:
    found = read_memberships(policy(traits=rule).memberships, frame, locate=lambda *keys: ".".join(keys))
    return found["traits"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"column": "t", "groups": ["a", "b"], "columns": {"a": "x", "b": "y"}}, "states column and columns"),
        ({"reference": "a"}, "none of column, columns and probabilities"),
        ({"column": "t", "groups": ["a"]}, "declares 1 group"),
        ({"column": "t"}, "declares 0 groups"),
        ({"column": "t", "groups": ["a", "a"]}, "declares a group twice"),
        ({"column": "t", "groups": ["a|b", "c"]}, "holds the separator"),
        ({"columns": {"a": "x", "b": "y"}, "reference": "z"}, "is none of its groups"),
        ({"columns": {"a": "x", "b": "y"}, "groups": ["a"]}, "read with 'column' alone"),
        ({"columns": {"a": "x", "b": "y"}, "sign": "yes"}, "unknown key 'sign'"),
    ],
)
def test_what_does_not_fit_is_refused(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        policy(traits=rule)


def test_a_rule_may_not_judge_a_weighted_estimate_by_itself() -> None:
    rule = {"id": "R", "measure": "fairness.tpr", "on": "race", "op": ">=", "threshold": 0.1, "severity": "low",
            "because": "Test", "proof": "point"}  # fmt: skip
    stated = BASE | {"rules": [rule], "memberships": {"race": {"probabilities": {"a": "x", "b": "y"}}}}
    with pytest.raises(PolicyError, match="known by probability alone"):
        from_mapping(stated)
    assert from_mapping(stated | {"rules": [rule | {"proof": "interval"}]}).rules[0].on == "race"


def test_a_name_is_taken_once() -> None:
    with pytest.raises(PolicyError, match="a protected attribute and a membership"):
        policy(sex={"columns": {"a": "x", "b": "y"}})


def test_one_column_of_labels() -> None:
    frame = pd.DataFrame({"t": ["a|b", " b ", "c", "a|c", None, "ab"]})
    one = read(frame, column="t", groups=["a", "b"])
    np.testing.assert_array_equal(one.share, [[1, 1], [0, 1], [0, 0], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(one.known, [True, True, False, True, False, False])
    assert one.undeclared == 1  # the fourth record holds a label that nobody declared
    assert public_texts(policy(traits={"column": "t", "groups": ["a", "b"]}).memberships, frame) == {"a|b", " b "}
    other = read(pd.DataFrame({"t": ["1;2", "2"]}), column="t", groups=["1", "2"], separator=";")
    np.testing.assert_array_equal(other.share, [[1, 1], [0, 1]])


def test_yes_no_columns() -> None:
    frame = pd.DataFrame({"x": ["yes", "no", "?", "yes"], "y": [1, 0, 1, np.nan]})
    one = read(frame, columns={"a": "x", "b": "y"})
    np.testing.assert_array_equal(one.known, [True, True, False, False])
    np.testing.assert_array_equal(one.share, [[1, 1], [0, 0], [0, 0], [0, 0]])
    words = read(frame, columns={"a": "x", "b": "y"}, yes=["yes", 1], no=["no", "?", 0])
    np.testing.assert_array_equal(words.known, [True, True, True, False])


def test_probabilities() -> None:
    frame = pd.DataFrame({"x": [0.2, np.nan, 1.0], "y": [0.7, 0.4, 0.0]})
    one = read(frame, probabilities={"a": "x", "b": "y"}, reference="largest")
    np.testing.assert_array_equal(one.known, [True, False, True])
    np.testing.assert_array_equal(one.share, [[0.2, 0.7], [0, 0], [1, 0]])
    assert (one.reference, one.reference_stated) == ("a", False)
    for wrong, words in ((frame.assign(y=0.9), "more than 1"), (frame.assign(x="much"), "no number")):
        with pytest.raises(DataError, match=words):
            read(wrong, probabilities={"a": "x", "b": "y"})


def test_a_group_that_is_called_like_a_word_is_meant_before_it() -> None:
    frame = pd.DataFrame({"x": [1, 0, 0], "y": [0, 1, 1]})
    assert read(frame, columns={"others": "x", "b": "y"}, reference="others").reference == "others"
    assert read(frame, columns={"largest": "x", "b": "y"}, reference="largest").reference == "largest"
    assert not read(frame, columns={"a": "x", "b": "y"}, reference="others").reference
    assert read(frame, columns={"a": "x", "b": "y"}).reference == "b"
