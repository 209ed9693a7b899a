"""Groups within strata, of weighted records: Mantel and Haenszel's figures of the weights, errors by person."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from auditkit.fairness.assess import assess
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Conditional
from auditkit.subject.types import Grouping, Predictions

HALF = 5.01e-5


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    rows = 450
    who = np.sort(generator.integers(0, 300, rows))
    frame = pd.DataFrame({
        "person": who, "sex": (who % 2), "branch": generator.integers(0, 3, rows),
        "w": generator.lognormal(0, 0.5, rows),
    })  # fmt: skip
    frame["granted"] = generator.binomial(1, 0.35 + 0.1 * frame["branch"] + 0.1 * frame["sex"]).astype(float)
    return frame


def row(frame: pd.DataFrame, *, weights: np.ndarray | None, persons: bool) -> Conditional:
    sex = Grouping("sex", ("f", "m"), frame["sex"].to_numpy(dtype=np.int64), "m", reference_stated=True)
    branch = Grouping("branch", ("x", "y", "z"), frame["branch"].to_numpy(dtype=np.int64), "x", reference_stated=True)
    granted = frame["granted"].to_numpy()
    part = assess(
        groupings={"sex": sex},
        predictions=Predictions(
            decision=granted, score=None, truth=np.full(len(frame), np.nan), loss=None, loss_train=None,
            loss_reserve=None,
        ),
        persons=frame["person"].to_numpy().astype(object) if persons else None, weights=weights,
        settings=FairnessSettings(replicates=1000), minimum_cell=10, generator=np.random.default_rng(0),
        controls={"branch": branch},
    )  # fmt: skip
    return part.conditional[0]


def within(frame: pd.DataFrame) -> float:
    """The pooled difference, stratum by stratum."""
    above = below = 0.0
    for _, part in frame.groupby("branch"):
        own, base = (part[part["sex"] == side] for side in (0, 1))
        v, w = own["w"].sum(), base["w"].sum()
        above += ((own["w"] * own["granted"]).sum() * w - (base["w"] * base["granted"]).sum() * v) / (v + w)
        below += v * w / (v + w)
    return above / below


@pytest.mark.parametrize("persons", [False, True])
def test_the_difference_within_strata_and_its_error(people: pd.DataFrame, persons: bool) -> None:
    found = row(people, weights=people["w"].to_numpy(), persons=persons)
    value = within(people)
    assert found.adjusted.value == pytest.approx(value, abs=HALF)
    who = people["person"] if persons else pd.Series(np.arange(len(people)))
    each = np.array([within(people[(who != one).to_numpy()]) for one in who.unique()])
    error = math.sqrt(((each - each.mean()) ** 2).sum() * (1 - 1 / len(each)))
    z = stats.norm.ppf(0.975)
    assert found.adjusted.low == pytest.approx(value - z * error - HALF, abs=HALF)
    assert found.adjusted.high == pytest.approx(value + z * error + HALF, abs=HALF)
    means = people.groupby("sex")[["w", "granted"]].apply(lambda part: np.average(part["granted"], weights=part["w"]))
    assert found.crude.value == pytest.approx(means[0] - means[1], abs=HALF)
    stratum = found.strata[1]
    inside = people[(people["branch"] == 1) & (people["sex"] == 0)]
    assert stratum.group_rate.value == pytest.approx(np.average(inside["granted"], weights=inside["w"]), abs=HALF)
    assert found.crude.n == len(people)
    assert found.heterogeneity_p is None


def test_equal_weights_are_no_weights(people: pd.DataFrame) -> None:
    plain, equal = (row(people, weights=w, persons=True) for w in (None, np.full(len(people), 4.0)))
    for name in ("crude", "adjusted", "odds_ratio"):
        one, other = getattr(plain, name), getattr(equal, name)
        assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high), abs=1.1e-4)
    assert equal.cmh_p == pytest.approx(plain.cmh_p, abs=1.1e-4)
    assert equal.pattern == plain.pattern


def test_a_group_without_weight_is_not_compared(people: pd.DataFrame) -> None:
    found = row(people, weights=np.where(people["sex"] == 0, 0.0, 1.0), persons=False)
    assert found.adjusted.withheld == "no stratum has records of both groups"
