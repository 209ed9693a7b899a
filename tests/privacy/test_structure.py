"""Structural checks against counts made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.privacy.structure import checks
from auditkit.result import StructuralCheck
from auditkit.subject.types import Grouping

N = 300


def found(**given: Any) -> dict[str, StructuralCheck]:
    codes = np.arange(N) % 2
    settings: dict[str, Any] = {
        "labels": (np.arange(N) % 3 == 0).astype(float), "decisions": None, "features": None, "numeric": None,
        "groupings": {"sex": Grouping("sex", ("f", "m"), codes, "m", True)}, "persons": None, "size": (None, None),
        "level": 0.95, "minimum": 10,
    }  # fmt: skip
    settings |= given
    labels, decisions, features = (settings.pop(name) for name in ("labels", "decisions", "features"))
    part = checks(labels, decisions, features, **settings)
    assert part is not None
    return {check.name: check for check in part.checks}


def test_without_training_records_there_is_nothing_to_check() -> None:
    for labels in (None, np.array([]), np.ones(9)):
        assert checks(labels, None, None, numeric=None, groupings={}, persons=None, size=(None, None), level=0.95,
                      minimum=10) is None  # fmt: skip


def test_records_per_person_are_shares_and_the_largest_is_a_band() -> None:
    persons = np.concatenate([np.repeat(np.arange(20), 8), 100 + np.arange(140)])
    rows = found(persons=persons)
    assert rows["Records per person, on average"].estimate.value == 300 / 160
    assert rows["Persons with at least 2 records"].estimate.events == 20
    assert "Persons with at least 11 records" not in rows
    largest = rows["Largest number of records of one person"].estimate
    assert (largest.value, largest.low, largest.high) == (None, 6.0, 10.0)
    # From 6 on it is the same twenty: nobody is set apart.
    assert rows["Persons with at least 6 records"].estimate.events == 20


def test_an_average_that_tells_of_a_few_persons_with_several_records_is_withheld() -> None:
    few = found(persons=np.concatenate([np.repeat(np.arange(4), 2), 100 + np.arange(292)]))
    assert few["Records per person, on average"].estimate.value is None
    assert few["Persons with at least 2 records"].estimate.value is None


def test_a_few_persons_with_many_records_are_not_set_apart() -> None:
    persons = np.concatenate([np.repeat(np.arange(3), 8), np.repeat(10 + np.arange(30), 2), 100 + np.arange(216)])
    rows = found(persons=persons)
    assert rows["Persons with at least 2 records"].estimate.events == 33
    few = rows["Persons with at least 6 records"].estimate
    assert few.value is None and few.events is None and few.high is not None


def test_a_group_and_a_level_with_one_label_are_counted_and_warn_and_small_ones_are_not() -> None:
    codes = np.where(np.arange(N) < 60, 0, np.where(np.arange(N) < 64, 1, 2))
    labels = np.where(np.arange(N) < 64, 1.0, (np.arange(N) % 3 == 0).astype(float))
    frame = pd.DataFrame({"c": np.where(np.arange(N) < 60, "x", "y"), "number": np.arange(N)})
    grouping = Grouping("g", ("a", "b", "c"), codes, "c", True)
    rows = found(labels=labels, groupings={"g": grouping}, features=frame)
    groups = rows["Of the protected groups and intersections, those with one label only"]
    assert (groups.estimate.value, groups.of[:2], groups.warns) == (1.0, "2 ", True)
    levels = rows["Of the levels of categorical features, those with one label only"]
    assert (levels.estimate.value, levels.of[:2], levels.warns) == (1.0, "2 ", True)
    small = rows["Groups and intersections below the minimum cell"]
    assert (small.estimate.value, small.of[:2], small.warns) == (1.0, "3 ", True)


def test_decisions_are_checked_where_there_are_any() -> None:
    name = "Of the protected groups and intersections, those with one decision only"
    assert name not in found()
    assert found(decisions=np.ones(N))[name].estimate.value == 2.0


def test_classes_of_all_protected_attributes_together_are_measured_by_persons() -> None:
    one, two = np.arange(N) % 2, np.where(np.arange(N) < 24, 0, 1)
    groupings = {name: Grouping(name, ("x", "y"), codes, "x", True) for name, codes in (("one", one), ("two", two))}
    labels = np.where((one == 0) & (two == 0), 1.0, (np.arange(N) % 3 == 0).astype(float))
    rows = found(labels=labels, groupings=groupings)
    assert rows["Records in classes of fewer than 10 persons"].estimate.events == 0
    one_label = rows["Records in classes with one label only"]
    assert (one_label.estimate.events, one_label.warns) == (12, True)
    persons = np.where(np.arange(N) < 24, np.arange(N) % 2, 100 + np.arange(N))
    small = found(labels=labels, groupings=groupings, persons=persons)["Records in classes of fewer than 10 persons"]
    assert small.estimate.value is None and small.warns  # two persons' records: a band


def test_records_stand_beside_parameters_and_effective_degrees_of_freedom() -> None:
    leverage = np.full(N, 0.1)
    rows = found(size=(600, leverage))
    per, effective = (rows[f"Training records per {name}"] for name in ("parameter", "effective degree of freedom"))
    assert per.estimate.value == 0.5 and per.warns and "could keep every record" in per.meaning
    assert effective.estimate.value == pytest.approx(10.0) and "30 effective" in effective.meaning
    assert not any("Training records" in name for name in found())


def test_a_rare_label_is_a_band() -> None:
    rare = found(labels=(np.arange(N) < 4).astype(float))["Records of the rarer label"]
    assert rare.estimate.value is None and rare.estimate.high is not None and rare.warns
    usual = found()["Records of the rarer label"]
    assert usual.estimate.events == 100 and not usual.warns
