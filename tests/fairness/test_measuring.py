"""The notebook's door and that of large tables give what the audit gives for the same records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import DataError
from auditkit.fairness import measure, measure_table, table
from auditkit.fairness.assess import assess
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Measurement
from auditkit.subject.groups import intersect
from auditkit.subject.types import UNKNOWN, Grouping, Predictions

SETTINGS = FairnessSettings(replicates=1000)


@pytest.fixture
def people() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = 1500
    frame = pd.DataFrame({
        "sex": generator.choice(["f", "m"], rows),
        "region": generator.choice(["east", "north", "west"], rows),
        "person": generator.integers(0, 900, rows).astype(float),
        "repaid": generator.integers(0, 2, rows).astype(float),
        "granted": generator.integers(0, 2, rows).astype(float),
    })  # fmt: skip
    frame.loc[generator.random(rows) < 0.05, "sex"] = None
    frame.loc[generator.random(rows) < 0.03, "repaid"] = np.nan
    frame.loc[generator.random(rows) < 0.02, "granted"] = np.nan
    frame.loc[generator.random(rows) < 0.02, "person"] = np.nan
    return frame


def numbers(row: Measurement) -> pd.Series[Any]:
    """One measurement as text and figures."""
    estimate = row.estimate
    return pd.Series([row.measure, row.on, row.group, estimate.n, estimate.value, estimate.low, estimate.high])


def grouping(frame: pd.DataFrame, name: str) -> Grouping:
    codes, labels = pd.factorize(frame[name], sort=True)
    reference = labels[np.bincount(codes[codes != UNKNOWN]).argmax()]
    return Grouping(name, tuple(labels), codes.astype(np.int64), reference, reference_stated=False, columns=(name,))


@pytest.mark.parametrize("person", [None, "person"])
def test_a_table_gives_what_the_audit_gives(people: pd.DataFrame, person: str | None, tmp_path: Path) -> None:
    own = {name: grouping(people, name) for name in ("sex", "region")}
    both = intersect(list(own.values()))
    known = people["granted"].notna()
    nothing = np.zeros(len(people))
    expected = assess(
        groupings=own | {both.name: both},
        predictions=Predictions(
            decision=people["granted"].to_numpy(), score=None, truth=people["repaid"].to_numpy(), loss=nothing,
            loss_train=None, loss_reserve=None,
        ),
        persons=None if person is None else people["person"].astype(object).where(people["person"].notna(), None)
        .to_numpy(),
        settings=SETTINGS, minimum_cell=10, generator=np.random.default_rng(3),
    )  # fmt: skip
    file = tmp_path / "people.parquet"
    people.to_parquet(file)
    for source in (people, file):
        found = measure_table(
            source, groups={"sex": "sex", "region": "region"}, truth="repaid", decision="granted", person=person,
            intersections=[("sex", "region")], settings=SETTINGS, seed=3,
        )  # fmt: skip
        assert found.groups == expected.groups
        assert found.notes == expected.notes
        assert len(found.measurements) == len(expected.measurements)
        for one, other in zip(found.measurements, expected.measurements, strict=True):
            pd.testing.assert_series_equal(numbers(one), numbers(other), rtol=1e-9)
    assert int(known.sum()) == sum(row.n or 0 for row in found.groups if row.on == "region")


def test_arrays_and_scores(people: pd.DataFrame) -> None:
    generator = np.random.default_rng(1)
    score = generator.random(len(people))
    score[:7] = np.nan
    by_score = measure(people["repaid"], score=score, threshold=0.4, groups={"sex": people["sex"]}, settings=SETTINGS)
    decision = np.where(np.isnan(score), np.nan, (score >= 0.4).astype(float))
    by_decision = measure(people["repaid"], decision, groups={"sex": people["sex"]}, settings=SETTINGS)
    assert by_score.measurements == by_decision.measurements
    assert "Fewer than 10 evaluation records have no decision" in " ".join(by_score.notes)
    shown = table(by_score)
    rate = shown[(shown.measure == "fairness.selection_rate") & (shown.group == "f")].iloc[0]
    women = (people["sex"] == "f") & ~np.isnan(score)
    assert rate["value"] == pytest.approx(decision[women].mean())
    assert rate["n"] == int(women.sum())


def test_references(people: pd.DataFrame) -> None:
    generator = np.random.default_rng(2)
    region = people["region"].to_numpy()
    decision = (generator.random(len(people)) < np.where(region == "west", 0.9, 0.3)).astype(float)

    def reference(how: object) -> set[str]:
        part = measure(people["repaid"], decision, groups={"region": region}, reference=how, settings=SETTINGS)  # type: ignore[arg-type]
        return {row.group for row in part.groups if row.is_reference}

    assert reference("best") == {"west"}
    assert reference({"region": "east"}) == {"east"}
    assert reference("largest") == {pd.Series(region).value_counts().idxmax()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"truth": [0, 1, 2, 1]}, "1 values of truth are neither 1"),
        ({"decision": [0, 1, 1]}, "arrays of one length"),
        ({"decision": None}, "name the column of decisions"),
        ({"reference": {"sex": "x"}}, "no group of 'sex'"),
        ({"intersections": [("sex", "age")]}, "names 'age'"),
        ({"groups": {"sex": [None, None, None, None]}}, "no record is in a group"),
    ],
)
def test_what_cannot_be_measured_is_refused(change: dict[str, object], says: str) -> None:
    given: dict[str, object] = {"truth": [0, 1, 0, 1], "decision": [1, 1, 0, 0], "groups": {"sex": list("fmfm")}}
    with pytest.raises(DataError, match=says):
        measure(**{**given, **change})  # type: ignore[arg-type]


def test_a_missing_column_and_a_missing_file_are_told(people: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column age"):
        measure_table(people, groups={"age": "age"}, truth="repaid", decision="granted")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        measure_table(tmp_path / "none.parquet", groups={"sex": "sex"}, truth="repaid", decision="granted")
