"""Columns that go along with a protected attribute are told from those that do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from auditkit.fairness.proxies import proxies
from auditkit.result import Proxies
from auditkit.subject.types import Grouping


def measured(frame: pd.DataFrame, codes: np.ndarray, labels: str = "fm", **more: object) -> Proxies:
    grouping = Grouping("sex", tuple(labels), codes, labels[0], reference_stated=True)
    given = {"columns": {}, "persons": None, "level": 0.95, "minimum_group": 30, **more}
    found, restricted = proxies(frame, {"sex": grouping}, numeric=None, generator=np.random.default_rng(0), **given)  # type: ignore[arg-type]
    assert set(np.unique(restricted["proxy_fold"])) <= {-1, 0, 1}
    return found


def value(found: Proxies, column: str) -> float:
    (estimate,) = [row.auc for row in found.rows if row.column == column]
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.value


def test_known_normals_give_the_auc_of_their_law() -> None:
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 2, 4000)
    frame = pd.DataFrame({"height": generator.normal(1.0 * codes), "noise": generator.normal(size=4000)})
    found = measured(frame, codes)
    assert value(found, "height") == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.03)
    assert value(found, "noise") == pytest.approx(0.5, abs=0.03)
    assert value(found, "") == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.04)


def test_columns_that_tell_only_together() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.integers(0, 2, 3000), generator.integers(0, 2, 3000)
    frame = pd.DataFrame({"one": one.astype(str), "other": other.astype(str)})
    found = measured(frame, one ^ other)
    assert value(found, "one") < 0.56
    assert value(found, "other") < 0.56
    assert value(found, "") > 0.99


def test_where_nothing_goes_along_the_interval_holds_a_half() -> None:
    held = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        codes = generator.integers(0, 3, 600)
        frame = pd.DataFrame({"branch": generator.choice(list("abcd"), 600)})
        grouping = Grouping("group", tuple("xyz"), codes, "x", reference_stated=True)
        found, _ = proxies(
            frame, {"group": grouping}, numeric=None, columns={}, persons=None, level=0.95, minimum_group=30,
            generator=generator,
        )  # fmt: skip
        row = found.rows[0].auc
        held += row.low is not None and row.high is not None and row.low <= 0.5 <= row.high
    assert held >= stats.binom.ppf(0.001, 100, 0.95)


def test_ten_copies_of_a_person_are_one_record() -> None:
    generator = np.random.default_rng(3)
    codes, persons = np.repeat(generator.integers(0, 2, 200), 10), np.repeat(np.arange(200), 10)
    frame = pd.DataFrame({"number": np.repeat(generator.normal(size=200), 10)})
    by_person = measured(frame, codes, persons=persons)
    assert [row.auc.n for row in by_person.rows] == [200, 200]
    assert value(by_person, "number") < 0.65
    assert value(measured(frame, codes), "") > 0.95, "by rows the copies tell each other's group"


def test_the_attributes_own_column_is_not_asked_and_small_groups_are_left_out() -> None:
    generator = np.random.default_rng(4)
    codes = np.where(np.arange(500) < 20, 2, generator.integers(0, 2, 500))
    frame = pd.DataFrame({"sex": codes.astype(str), "number": generator.normal(size=500)})
    found = measured(frame, codes, labels="fmx", columns={"sex": ("sex",)})
    assert {row.column for row in found.rows} == {"number", ""}
    assert {row.auc.n for row in found.rows} == {480}
    alone = measured(frame, np.zeros(500, dtype=np.int64), labels="f")
    assert all("fewer than two groups" in row.auc.withheld for row in alone.rows)
