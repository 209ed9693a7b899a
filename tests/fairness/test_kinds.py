"""Hundreds of groups with repeated persons: the sparse table counts as the full one, in memory that stays small."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from auditkit.fairness import kinds, measure, measure_table
from auditkit.fairness.cells import Cells, count
from auditkit.fairness.metrics import METRICS
from auditkit.policy.schema import FairnessSettings
from auditkit.result import FairnessPart

SETTINGS = FairnessSettings(replicates=1000)
ROWS = 2500


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    person = generator.integers(0, 1500, ROWS)
    codes = np.where(generator.random(ROWS) < 0.1, generator.integers(-1, 3, ROWS), person % 3)
    bent = generator.random(1500)[person]
    return pd.DataFrame({
        "person": person, "code": codes, "region": pd.Series(codes).map({0: "a", 1: "b", 2: "c"}),
        "repaid": generator.integers(0, 2, ROWS).astype(float),
        "granted": (generator.random(ROWS) < bent).astype(float), "w": generator.lognormal(0, 0.4, ROWS),
    })  # fmt: skip


def counted(people: pd.DataFrame, *, weights: bool) -> Cells:
    cell = (people["repaid"] * 2 + people["granted"]).to_numpy(dtype=np.int64)
    return count(
        codes=people["code"].to_numpy(), groups=3, cell=cell, persons=people["person"].to_numpy().astype(object),
        weights=people["w"].to_numpy() if weights else None,
    )  # fmt: skip


@pytest.mark.parametrize("weights", [False, True])
def test_the_sparse_table_counts_as_the_full_one(
    people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, weights: bool
) -> None:
    full = counted(people, weights=weights)
    monkeypatch.setattr(kinds, "MOST", 0)
    few = counted(people, weights=weights)
    assert full.many is None
    assert few.many is not None
    for name in ("records", "persons", "group_records", "group_persons", "mass"):
        np.testing.assert_array_equal(getattr(few, name), getattr(full, name))
    for metric in METRICS.values():
        one, other = full.sample(metric), few.sample(metric)
        for part in ("events", "trials"):
            np.testing.assert_array_equal(
                one.counts @ getattr(one, part) ** 2, other.counts @ getattr(other, part) ** 2
            )
        for group in range(3):
            assert few.persons_outside(metric, group) == full.persons_outside(metric, group)
        for groups in (np.array([0]), np.array([0, 2])):
            assert few.several(metric, groups) == full.several(metric, groups)
        if weights:
            np.testing.assert_allclose(few.effective(metric), full.effective(metric))


def compared(one: FairnessPart, other: FairnessPart) -> None:
    assert one.groups == other.groups
    for a, b in zip(one.measurements, other.measurements, strict=True):
        assert (a.measure, a.on, a.group, a.estimate.n) == (b.measure, b.on, b.group, b.estimate.n)
        x, y = a.estimate, b.estimate
        assert x.withheld == y.withheld
        if x.value is not None:
            assert x.value == pytest.approx(y.value, rel=1e-9)
        if x.low is not None:
            # One draws persons, the other effective counts. Limits that are not drawn differ only where design effects
            # of counts are cut to what whole agreement within persons gives.
            wide = (x.high - x.low) * (0.12 if "bootstrap" in x.method else 0.01)
            assert (x.low, x.high) == pytest.approx((y.low, y.high), abs=wide), (a.measure, a.group)


@pytest.mark.parametrize("reference", ["largest", "overall"])
def test_figures_are_those_of_the_full_table(
    people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    frame = people.drop_duplicates("person") if reference == "largest" else people
    frame = pd.concat([frame, frame.iloc[:300]])

    def part() -> FairnessPart:
        return measure(
            frame["repaid"], frame["granted"], groups={"region": frame["region"]}, persons=frame["person"],
            reference=reference, settings=SETTINGS,
        )  # type: ignore[arg-type]  # fmt: skip

    full = part()
    monkeypatch.setattr(kinds, "MOST", 0)
    few = part()
    compared(full, few)
    rate = next(m.estimate for m in few.measurements if m.on and m.measure == "fairness.selection_rate")
    assert rate.method.endswith("of repeated persons")
    assert rate.events is not None


def test_five_hundred_groups_stay_small() -> None:
    generator = np.random.default_rng(0)
    rows, groups = 100_000, 500
    person = generator.integers(0, 45_000, rows)
    code = np.where(generator.random(rows) < 0.1, generator.integers(0, groups, rows), person % groups)
    cell = generator.integers(0, 4, rows)
    tracemalloc.start()
    cells = count(codes=code, groups=groups, cell=cell, persons=person.astype(object))
    assert cells.group_records.sum() == rows
    assert np.isfinite(cells.effective(METRICS["tpr"])).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cells.many is not None
    assert peak < 150e6, "the full table alone would be 8 bytes x 6 x 501 x kinds: above 400 MB"


@pytest.mark.prove
def test_five_hundred_groups_from_a_table(record_property: object) -> None:
    generator = np.random.default_rng(0)
    rows = 200_000
    person = generator.integers(0, 90_000, rows)
    code = np.where(generator.random(rows) < 0.1, generator.integers(0, 500, rows), person % 500)
    frame = pd.DataFrame({
        "person": person, "place": [f"place {c:03d}" for c in code], "repaid": generator.integers(0, 2, rows),
        "granted": generator.integers(0, 2, rows),
    })  # fmt: skip
    tracemalloc.start()
    part = measure_table(
        frame, groups={"place": "place"}, truth="repaid", decision="granted", person="person",
        settings=FairnessSettings(replicates=2000),
    )  # fmt: skip
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    record_property("peak_mb", peak / 1e6)  # type: ignore[operator]
    assert len([m for m in part.measurements if m.measure == "fairness.selection_rate_ratio"]) == 499
    assert peak < 2e9
