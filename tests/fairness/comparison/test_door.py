"""Models compared in a notebook: what goes in, what comes out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from auditkit import fairness
from auditkit.errors import DataError


@pytest.fixture
def given() -> dict[str, Any]:
    rng = np.random.default_rng(8)
    n = 3000
    truth = rng.integers(0, 2, n)
    wrong = [rng.random(n) < share for share in (0.2, 0.3, 0.35)]
    return {
        "truth": truth,
        "decisions": {name: np.where(w, 1 - truth, truth) for name, w in zip("abc", wrong, strict=True)},
        "groups": {"sex": rng.choice(["f", "m", "m"], n), "old": rng.random(n) < 0.5},
    }


def test_every_other_model_is_compared_with_the_first(given: dict[str, Any]) -> None:
    part = fairness.compare(**given, intersections=[["sex", "old"]])
    assert [model.name for model in part.models] == ["b", "c"]
    table = fairness.comparison_table(part)
    assert set(table["on"]) == {"", "sex", "old", "sex x old"}
    right = table[(table["measure"] == "fairness.accuracy") & (table["on"] == "") & (table["model"] == "b")].iloc[0]
    shares = [(given["decisions"][name] == given["truth"]).mean() for name in "ab"]
    assert [right["before"], right["after"]] == pytest.approx(shares)
    assert right["high"] < 0
    assert set(table.loc[table["reference"] != "", "reference"]) >= {"m"}


def test_groups_are_compared_with_all_records_where_asked(given: dict[str, Any]) -> None:
    table = fairness.comparison_table(fairness.compare(**given, reference={"sex": "overall"}))
    gaps = table[(table["measure"] == "fairness.tpr_difference") & (table["on"] == "sex") & (table["model"] == "b")]
    assert set(gaps["group"]) == {"f", "m"}
    assert set(gaps["reference"]) == {"all records"}
    truth, groups = given["truth"], given["groups"]["sex"]

    def apart(name: str, group: str) -> float:
        hits = given["decisions"][name][truth == 1]
        return float(hits[groups[truth == 1] == group].mean() - hits.mean())

    for row in gaps.itertuples():
        assert row.change == pytest.approx(apart("b", row.group) - apart("a", row.group))
        assert row.low < row.change < row.high


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decisions": {"a": [1, 0]}}, "two models are needed"),
        ({"truth": [1, 0]}, "do not fit 2 labels"),
        ({"reference": {"sex": "x"}}, "is no group of 'sex'"),
        ({"reference": {"gender": "m"}}, "no attribute gender"),
        ({"intersections": [["sex", "age"]]}, "no attribute age"),
        ({"persons": [1, 2]}, "2 persons do not fit"),
        ({"weights": ["much"]}, "needed as numbers"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        fairness.compare(**{**given, **change})
