"""The baseline that never asks the model: silent on honest divisions, loud on others, and decisive for the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike
from sklearn.ensemble import HistGradientBoostingClassifier

import auditkit
from auditkit.privacy.baseline import FOLDS, MARGIN, MOST, Lots, Measured, confounded, measured
from auditkit.privacy.membership import Retrained
from auditkit.stats import roc
from tests.privacy.reserve_worlds import DIVISIONS, WORLDS, made

REAL = ["made", "lender", "compas", "adult"]


def _baseline(
    train: pd.DataFrame, reserve: pd.DataFrame, *, persons: tuple[np.ndarray, np.ndarray] | None = None,
    retrained: Retrained | None = None, seed: int = 0,
) -> Measured:  # fmt: skip
    features = [name for name in train.columns if name != "y"]
    labels = tuple(part["y"].to_numpy(np.float64) for part in (train, reserve))
    lots = Lots(train[features], reserve[features], (labels[0], labels[1]), None, persons)
    return measured(
        lots, retrained, measures=["privacy.attack_auc"], level=0.95, minimum=10,
        generator=np.random.default_rng(seed),
    )  # fmt: skip


def _divided(name: str, seed: int, most: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    world = WORLDS[name]()
    size = min(len(world.frame) // 2, most)
    return world.divided(size, size, np.random.default_rng(seed))


@pytest.mark.parametrize("name", list(WORLDS))
def test_honest_divisions_pass(name: str) -> None:
    public = _baseline(*_divided(name, 0, 800)).public
    assert public.status == "assessed" and not public.differs and not confounded(public)
    assert public.auc.low is not None and public.auc.low < 0.5 + MARGIN


@pytest.mark.parametrize("name", list(DIVISIONS))
def test_other_divisions_are_found(name: str) -> None:
    public = _baseline(*DIVISIONS[name](made(), np.random.default_rng(1))).public
    assert public.differs and public.auc.low is not None and public.auc.low > 0.5 + MARGIN
    assert set(confounded(public)) == {"privacy.attack_auc"}
    assert f"at least {public.auc.low:.3f}" in public.reason and "another" not in public.reason


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("name", list(WORLDS))
def test_no_honest_division_of_many_is_stopped(name: str, record_property: Callable[[str, Any], None]) -> None:
    lows = [_baseline(*_divided(name, 500 + k, 1_000), seed=k).public.auc.low or 0.0 for k in range(30)]
    stopped = int((np.array(lows) > 0.5 + MARGIN).sum())
    record_property(f"baseline, {name}: honest divisions stopped of 30", stopped)
    record_property(f"baseline, {name}: largest lower limit", round(max(lows), 3))
    assert stopped == 0


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("world", REAL)
def test_ten_kinds_of_shift_are_found_in_real_data(world: str, record_property: Callable[[str, Any], None]) -> None:
    """Where the shift moves a loss attack on a model that learned nothing past the margin, and where it does not."""
    found = {}
    for name, division in DIVISIONS.items():
        train, reserve = division(WORLDS[world](), np.random.default_rng(1))
        found[name] = _baseline(train, reserve).public
    record_property(f"baseline, {world}: lower limits", {k: round(v.auc.low or 0, 3) for k, v in found.items()})
    assert all(public.differs for public in found.values())


@pytest.mark.prove
@pytest.mark.slow
def test_label_noise_that_makes_an_attack_breach_is_found(record_property: Callable[[str, Any], None]) -> None:
    """A formula that saw no record; wherever its attack's lower limit passes 0.55, the rule must stay open."""
    breaches = open_ = 0
    for k in range(40):
        train, reserve = _noisier(400, 3.0, seed=k)
        attack = roc.auc(positives=-_formula_loss(train), negatives=-_formula_loss(reserve), level=0.95)
        if (attack.low or 0.0) > 0.55:
            breaches += 1
            open_ += _baseline(train, reserve, seed=k).public.differs
    record_property("baseline: would breach by label noise alone, and of these left open", [breaches, open_])
    assert breaches >= 10 and open_ == breaches


def _noisier(size: int, more: float, *, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)

    def lot(noise: float) -> pd.DataFrame:
        inputs = rng.normal(size=(size, 5))
        label = inputs[:, 0] + inputs[:, 1] + noise * rng.normal(size=size) > 0
        return pd.DataFrame(inputs, columns=[f"x{k}" for k in range(5)]).assign(y=label.astype(int))

    return lot(1.2), lot(1.2 + more)


def _chance(frame: pd.DataFrame) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(frame["x0"] + frame["x1"]).to_numpy())))


def _formula_loss(frame: pd.DataFrame) -> np.ndarray:
    chance = _chance(frame)
    return -np.log(np.where(frame["y"] == 1, chance, 1 - chance))


@pytest.mark.parametrize("times", [2, 5])
def test_repeated_training_rows_are_no_difference(times: int) -> None:
    train, reserve = made().divided(400, 400, np.random.default_rng(3))
    assert not _baseline(pd.concat([train] * times, ignore_index=True), reserve).public.differs


def test_persons_stay_together_and_widen_the_interval() -> None:
    train, reserve = made().divided(120, 120, np.random.default_rng(4))
    many = [pd.concat([part] * 5, ignore_index=True) for part in (train, reserve)]
    noise = np.random.default_rng(5)
    many = [part.assign(x4=part["x4"] + noise.normal(size=len(part))) for part in many]
    codes = np.tile(np.arange(120), 5), np.tile(120 + np.arange(120), 5)
    by_person = _baseline(*many, persons=codes).public
    assert not by_person.differs
    assert "persons" in by_person.auc.method


def test_many_records_are_sampled_and_the_rest_is_not_scored() -> None:
    rng = np.random.default_rng(6)
    frames = [
        pd.DataFrame({"a": rng.normal(size=size), "y": rng.integers(0, 2, size)}) for size in (3 * MOST, MOST + 1)
    ]
    found = _baseline(*frames)
    assert found.train is not None and found.reserve is not None
    assert int(np.isfinite(found.train).sum()) == int(np.isfinite(found.reserve).sum()) == MOST
    assert found.public.auc.n == 2 * MOST


def test_the_printed_area_is_that_of_the_kept_scores() -> None:
    found = _baseline(*_noisier(500, 3.0, seed=1))
    assert found.train is not None and found.reserve is not None
    area = (found.train[:, None] > found.reserve).mean() + (found.train[:, None] == found.reserve).mean() / 2
    assert found.public.auc.value == pytest.approx(area)
    assert FOLDS == 5


@pytest.mark.parametrize("higher", [True, False])
def test_models_that_never_met_the_record_are_asked_too(higher: bool) -> None:
    """Margins of models without the record differ between the lots, which features do not show."""
    rng = np.random.default_rng(7)
    train, reserve = made().divided(300, 300, rng)
    member = np.arange(600) < 300
    inside = rng.random((16, 600)) < 0.5
    margin = rng.normal(size=(16, 600)) + 50.0 * inside + (1.5 if higher else -1.5) * member
    found = _baseline(train, reserve, retrained=Retrained(margin, inside)).public
    assert found.differs and "retrained" in found.strongest
    alike = _baseline(train, reserve, retrained=Retrained(rng.normal(size=(16, 600)) + 50.0 * inside, inside)).public
    assert not alike.differs


@pytest.mark.parametrize("case", ["no labels", "few", "one label"])
def test_where_nothing_can_be_fitted_the_reason_stands(case: str) -> None:
    train, reserve = made().divided(20 if case == "few" else 100, 100, np.random.default_rng(8))
    labels = [part["y"].to_numpy(np.float64) for part in (train, reserve)]
    if case == "one label":
        labels = [np.ones(len(part)) for part in labels]
    lots = Lots(train[["x0"]], reserve[["x0"]], (labels[0], labels[1]), None, None)
    found = measured(
        None if case == "no labels" else lots, None, measures=[], level=0.95, minimum=10,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert found.public.status == "not-applicable" and found.public.reason
    assert found.measurement.estimate.withheld == found.public.reason and not found.arrays


class _Formula:
    """A model that learned from no record."""

    classes_ = np.array([0, 1])

    def predict_proba(self, frame: pd.DataFrame) -> ArrayLike:
        chance = _chance(frame)
        return np.column_stack([1 - chance, chance])


RULES = [
    {"id": "P1", "measure": "privacy.attack_auc", "op": "<=", "threshold": 0.55, "severity": "high", "because": "x"},
    {"id": "P2", "measure": "privacy.attack_auc", "op": "<=", "threshold": 0.9, "severity": "high", "because": "x",
     "proof": "point"},
    {"id": "P3", "measure": "privacy.tpr_at_fpr_0.1", "op": "<=", "threshold": 0.5, "severity": "high", "because": "x"},
    {"id": "P4", "measure": "privacy.epsilon_lower_bound", "op": "<=", "threshold": 0.0, "severity": "high",
     "because": "x", "proof": "point"},
    {"id": "P5", "measure": "privacy.accuracy_gap", "op": "<=", "threshold": 0.5, "severity": "low", "because": "x"},
    {"id": "P6", "measure": "privacy.baseline_auc", "op": "<=", "threshold": 0.9, "severity": "low", "because": "x"},
]  # fmt: skip


@pytest.mark.parametrize("more", [3.0, 0.0])
def test_rules_on_members_against_reserve_stay_open_where_the_two_differ(more: float) -> None:
    train, reserve = _noisier(400, more, seed=11)
    evaluation = _noisier(300, 0.0, seed=12)[0].assign(sex=["f", "m"] * 150)
    sexes = [part.assign(sex=["f", "m"] * 200) for part in (train, reserve)]
    result = auditkit.audit(
        _Formula(), train=sexes[0], reserve=sexes[1], evaluation=evaluation, label="y", protected=["sex"],
        numeric=[f"x{k}" for k in range(5)], rules=RULES,
    )  # fmt: skip
    said = {finding.id: finding for finding in result.findings}
    limits = [fact.name for fact in result.limits]
    assert said["P5"].verdict == said["P6"].verdict == "meets"
    if more:
        for rule in ("P1", "P2", "P3", "P4"):
            assert said[rule].verdict == "insufficient-evidence"
            assert "told apart without the model" in said[rule].reason and "baseline AUC" in said[rule].sentence
        assert result.conclusion.exit_code == 3 and "The reserve differs from the training records" in limits
        assert result.privacy.baseline is not None and "privacy.exposed_share" in result.privacy.baseline.measures
    else:
        assert said["P2"].verdict == said["P3"].verdict == "meets"
        assert not any("reserve differs" in name for name in limits)


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("world", REAL)
def test_the_baseline_sees_what_the_attack_on_a_stranger_sees(
    world: str, record_property: Callable[[str, Any], None]
) -> None:
    """A model of a third lot, label noise in six steps: where its attack passes the margin, so does the baseline."""
    made_of = WORLDS[world]()
    names = made_of.features
    coded = made_of.frame[names].apply(
        lambda column: column if pd.api.types.is_numeric_dtype(column) else pd.Categorical(column).codes
    )
    limits = {}
    for noise in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7):
        rng = np.random.default_rng(int(100 * noise))
        third, train, reserve = np.split(rng.permutation(len(coded))[: 3 * min(2_000, len(coded) // 3)], 3)
        label = made_of.frame["y"].to_numpy().copy()
        label[reserve] = np.where(rng.random(len(reserve)) < noise, rng.permutation(label[reserve]), label[reserve])
        stranger = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(coded.iloc[third], label[third])
        right = stranger.predict_proba(coded)[np.arange(len(label)), label]
        attack = roc.auc(positives=right[train], negatives=right[reserve], level=0.95)
        lots = [made_of.frame.iloc[rows][names].assign(y=label[rows]) for rows in (train, reserve)]
        found = _baseline(*lots).public
        limits[noise] = (attack.low or 0.0, found.auc.low or 0.0)
    record_property(f"baseline, {world}: lower limits of a stranger's attack and of the baseline, by label noise", {
        noise: [round(limit, 3) for limit in pair] for noise, pair in limits.items()})
    passed = [baseline > 0.5 + MARGIN for attack, baseline in limits.values() if attack > 0.5 + MARGIN]
    assert len(passed) >= 2 and all(passed)
