"""Where a score meets a threshold: in its own precision, by every door; and who decides where none is stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn
from xgboost import XGBClassifier

from auditkit.errors import ModelError
from auditkit.fairness import measure, table
from auditkit.fairness.metrics import DECISIONS
from auditkit.fairness.tally import tally
from auditkit.policy.load import from_mapping
from auditkit.policy.schema import FairnessSettings
from auditkit.remedies.changes import cells
from auditkit.subject.decisions import decisions_at, least_score, precision_of
from auditkit.subject.open import bring, open_subject
from auditkit.subject.predict import predict
from auditkit.subject.reading import hold
from auditkit.subject.slices import on_training, resolve
from auditkit.subject.table import read_table, table_of
from tests.subject.owners import Network

THRESHOLDS = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]
SHARES = np.round(np.random.default_rng(0).integers(0, 11, 400) / 10, 1)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_score_written_as_the_threshold_is_at_least_it_in_every_precision(dtype: str, threshold: float) -> None:
    scores = SHARES.astype(dtype)
    found = decisions_at(scores, threshold)
    np.testing.assert_array_equal(found, threshold <= SHARES)
    np.testing.assert_array_equal(found, scores >= threshold)  # as numpy has it for an array and a Python number


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_single_precision_scores_in_a_double_array_are_known_by_their_values(threshold: float) -> None:
    singles = SHARES.astype(np.float32).astype(np.float64)
    assert precision_of(singles) == "float32"
    np.testing.assert_array_equal(decisions_at(singles, threshold), threshold <= SHARES)
    # One number that float32 does not hold, and the array is what its dtype says.
    mixed = np.append(singles, 1 / 3)
    assert precision_of(mixed) == "float64"
    np.testing.assert_array_equal(decisions_at(mixed, threshold), mixed >= threshold)


@pytest.mark.parametrize("votes", [2, 64, 256, 819, 1024, 2048])
def test_shares_of_votes_are_not_taken_for_half_precision(votes: int) -> None:
    shares = np.arange(votes + 1) / votes
    for threshold in THRESHOLDS:
        np.testing.assert_array_equal(decisions_at(shares, threshold), shares >= threshold)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_a_threshold_is_rounded_as_torch_and_numpy_round_it(precision: str) -> None:
    for threshold in np.random.default_rng(1).random(200).tolist():
        expected = torch.tensor(threshold, dtype=getattr(torch, precision)).item()
        assert least_score(threshold, precision) == expected


def test_missing_scores_and_batches_decide_as_the_whole_does() -> None:
    scores = np.array([np.nan, 0.7, 0.2], dtype=np.float32)
    assert decisions_at(scores, 0.7).tolist() == [0.0, 1.0, 0.0]
    assert [decisions_at(scores[i : i + 1], 0.7)[0] for i in range(3)] == [0.0, 1.0, 0.0]
    assert decisions_at(scores[None], 0.7).shape == (1, 3)


# Doors that are given scores.


FEW_REPLICATES = FairnessSettings(replicates=1000)


def selected(part: Any) -> float:
    frame = table(part)
    return float(frame[(frame.measure == "fairness.selection_rate") & (frame.group == "")]["value"].iloc[0])


def favourable(source: Any, threshold: float) -> int:
    """Favourable decisions of a table, as `measure` and `measure_table` count them."""
    found = tally(source, groups={"sex": "sex"}, truth="y", score="s", threshold=threshold)
    return int((found.persons * (found.cell[found.slot] % DECISIONS == 1)).sum())


def scored(dtype: str) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    score: Any = pd.Series(SHARES)
    score = score.astype("float32").astype("float64") if dtype == "single-in-double" else score.astype(dtype)
    return pd.DataFrame({"y": rng.integers(0, 2, 400), "sex": rng.choice(["f", "m"], 400), "s": score})


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "single-in-double", "Float32", "float32[pyarrow]"])
def test_a_table_is_decided_alike_in_every_dtype(dtype: str, threshold: float) -> None:
    assert favourable(scored(dtype), threshold) == (threshold <= SHARES).sum()


@pytest.mark.parametrize("dtype", ["float16", "float32", "single-in-double", "Float32"])
def test_measure_decides_alike_in_every_dtype(dtype: str) -> None:
    frame = scored(dtype)
    part = measure(
        frame["y"], score=frame["s"], threshold=0.7, groups=frame[["sex"]], minimum_cell=2, settings=FEW_REPLICATES
    )  # fmt: skip
    assert selected(part) == (SHARES >= 0.7).mean()


@pytest.mark.parametrize("threshold", [0.1, 0.7, 0.9])
def test_a_parquet_table_decides_as_the_csv_of_the_same_scores(threshold: float, tmp_path: Path) -> None:
    frame = scored("float32")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    for source in (tmp_path / "t.parquet", str(tmp_path / "t*.parquet"), frame, pd.read_csv(tmp_path / "t.csv")):
        assert favourable(source, threshold) == (threshold <= SHARES).sum()


def test_the_cells_of_retrained_models_decide_alike() -> None:
    truth = np.zeros(len(SHARES))
    single = SHARES.astype(np.float32).astype(np.float64)[None]
    np.testing.assert_array_equal(cells(single, truth, 0.7), cells(SHARES[None], truth, 0.7))


def place(*keys: str | int) -> str:
    return ".".join(map(str, keys))


def stated(model: dict[str, Any], **more: Any) -> Any:
    data = {"evaluation": "evaluation frame", "label": {"column": "y", "favourable": 1, "means": "outcome"}}
    if more.pop("train", True):
        data["train"] = "train frame"
    return from_mapping(
        {"auditkit": 1, "name": "t", "rules": [], "protected": {"sex": {"column": "sex"}}, "data": data, "model": model}
        | more
    )


@pytest.mark.parametrize("end", ["csv", "parquet"])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_recorded_scores_and_compared_ones_decide_alike(end: str, threshold: float, tmp_path: Path) -> None:
    from auditkit.subject.compared import open_compared

    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"y": rng.integers(0, 2, 400), "sex": rng.choice(["f", "m"], 400)})
    frame["s"] = SHARES.astype(np.float32)
    path = tmp_path / f"e.{end}"
    frame.to_csv(path, index=False) if end == "csv" else frame.to_parquet(path)
    label = {"column": "y", "favourable": 1, "means": "outcome"}
    policy = stated(
        {"adapter": "predictions", "score": "s", "threshold": threshold}, train=False,
        data={"evaluation": str(path), "label": label}, compare={"same": {"score": "s", "threshold": threshold}},
    )  # fmt: skip
    rows = read_table(policy, place)
    np.testing.assert_array_equal(predict(open_subject(policy, rows, tmp_path), rows).decision, threshold <= SHARES)
    (other,) = open_compared(policy, rows, tmp_path, place).values()
    np.testing.assert_array_equal(other.decision, threshold <= SHARES)


# Models that decide.


def world(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    sex = rng.choice(["f", "m"], n)
    y = (x + rng.normal(size=n) > 0).astype(int)
    return pd.DataFrame({"sex": sex, "x": x, "grade": np.round(1 / (1 + np.exp(-x)), 1), "y": y})


TRAIN, ROWS = world(300, 1), world(300, 2)


def asked(model: Any, threshold: float | None = None, **more: Any) -> tuple[Any, np.ndarray]:
    policy = stated(
        {"adapter": "estimator", "subject": "m:m", **({} if threshold is None else {"threshold": threshold})}, **more
    )
    rows = table_of(policy, {"train": hold("train", TRAIN), "evaluation": hold("evaluation", ROWS)}, place)
    subject = bring(model, policy, rows)
    return subject, predict(subject, rows).decision


def logistic() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(TRAIN[["x"]], TRAIN["y"])


class Own:
    """Gives the score that stands in the data; decides as it likes."""

    feature_names_in_ = np.array(["grade"], dtype=object)
    classes_ = np.array([0, 1])

    def __init__(self, dtype: str = "float64", cut: float = 0.35) -> None:
        self.dtype, self.cut = dtype, cut

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        p = X["grade"].to_numpy().astype(self.dtype)
        return np.column_stack([1 - p, p])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return (X["grade"].to_numpy() >= self.cut).astype(int)


class Words(Own):
    classes_ = np.array(["0", "1"])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.where(super().predict(X) == 1, "1", "0")


class Column(Own):
    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return super().predict(X)[:, None]


class Booleans(Own):
    classes_ = np.array([False, True])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return super().predict(X) == 1


def forest() -> Any:
    """Four trees: many scores are exactly 0.5, where predict says no."""
    return RandomForestClassifier(n_estimators=4, max_depth=3, random_state=0).fit(TRAIN[["x"]], TRAIN["y"])


DECIDERS = {
    "fixed 0.7": lambda: FixedThresholdClassifier(logistic(), threshold=0.7).fit(TRAIN[["x"]], TRAIN["y"]),
    "fixed 0.2, frozen": lambda: FixedThresholdClassifier(
        FrozenEstimator(logistic()), threshold=0.2, response_method="predict_proba"
    ).fit(TRAIN[["x"]], TRAIN["y"]),
    "fixed on log-odds": lambda: FixedThresholdClassifier(
        LogisticRegression(), threshold=1.0, response_method="decision_function"
    ).fit(TRAIN[["x"]], TRAIN["y"]),
    "tuned": lambda: TunedThresholdClassifierCV(LogisticRegression(), scoring="recall", cv=2).fit(
        TRAIN[["x"]], TRAIN["y"]
    ),
    "ties of a forest": forest,
    "own class": Own,
    "own class, words": Words,
    "own class, a column": Column,
    "own class, booleans": Booleans,
    "own class, single": lambda: Own("float32", 0.7),
    "constant": lambda: DummyClassifier(strategy="constant", constant=1).fit(TRAIN[["x"]], TRAIN["y"]),
    "xgboost": lambda: XGBClassifier(n_estimators=3, n_jobs=1).fit(TRAIN[["x"]], TRAIN["y"]),
}


@pytest.mark.parametrize("name", DECIDERS)
def test_predict_decides_where_no_threshold_is_stated(name: str) -> None:
    model = DECIDERS[name]()
    own = model.predict(ROWS[list(model.feature_names_in_)])
    subject, decision = asked(model)
    np.testing.assert_array_equal(decision, np.asarray(own).reshape(-1).astype(float))
    assert subject.threshold is None
    assert ("Decision", "by the model's own predict") in subject.recipe
    assert not [check for check in subject.checks if check.name == "threshold and predict"]


@pytest.mark.parametrize("name", DECIDERS)
def test_a_stated_threshold_decides_and_what_predict_decides_otherwise_is_counted(name: str) -> None:
    model = DECIDERS[name]()
    rows = ROWS[list(model.feature_names_in_)]
    subject, decision = asked(model, 0.7)
    score = model.predict_proba(rows)[:, 1]
    np.testing.assert_array_equal(decision, score >= 0.7)
    (check,) = [check for check in subject.checks if check.name == "threshold and predict"]
    assert check.count == int((np.asarray(model.predict(rows)).reshape(-1).astype(float) != decision).sum())
    assert subject.threshold == 0.7


def test_a_stump_whose_leaf_is_the_threshold_loses_no_favourable_decision() -> None:
    class Single(DecisionTreeClassifier):
        def predict_proba(self, X: Any) -> Any:
            return super().predict_proba(X).astype(np.float32)

    model = Single(max_depth=1).fit(TRAIN[["x"]], TRAIN["y"])
    leaf = float(str(model.predict_proba(ROWS[["x"]])[:, 1].max()))
    _, decision = asked(model, leaf)
    assert 0 < decision.mean() < 1


def test_a_model_without_predict_decides_at_one_half() -> None:
    class Asked:
        feature_names_in_, classes_ = Own.feature_names_in_, Own.classes_
        predict_proba = Own.predict_proba
        dtype = "float64"

    subject, decision = asked(Asked())
    np.testing.assert_array_equal(decision, ROWS["grade"] >= 0.5)
    assert subject.threshold == 0.5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda p: p, r"predict gave .*, which are none of its classes '0', '1'; state model\.threshold"),
        (lambda p: np.where(p > 0.5, "yes", "no"), r"predict gave 'no', 'yes', which are none of its classes"),
        (lambda p: np.where(p > 0.5, 1.0, np.nan), r"predict gave missing values, which are none of its classes"),
        (lambda p: np.column_stack([p, p]), r"predict gave float64 of shape \(300, 2\) for 300 records"),
        (lambda p: 1 / 0, r"predict failed: ZeroDivisionError"),
    ],
)
def test_a_predict_that_gives_no_classes_is_refused_until_a_threshold_is_stated(answer: Any, said: str) -> None:
    class Odd(Own):
        def predict(self, X: pd.DataFrame) -> Any:
            return answer(X["grade"].to_numpy())

    with pytest.raises(ModelError, match=said):
        asked(Odd())
    _, decision = asked(Odd(), 0.5)
    np.testing.assert_array_equal(decision, ROWS["grade"] >= 0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_a_module_decides_in_its_own_precision(dtype: torch.dtype, threshold: float) -> None:
    class Graded(Network):
        def __init__(self) -> None:
            self.dtype, self.module = dtype, nn.Linear(1, 1).to(dtype)

        def tensors(self, rows: pd.DataFrame, label: np.ndarray) -> Any:
            return (torch.tensor(rows[["grade"]].to_numpy(), dtype=dtype),), torch.tensor(label, dtype=dtype)

        def favourable_score(self, outputs: torch.Tensor) -> torch.Tensor:
            return outputs[:, 0].clamp(0, 1)

        def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return (outputs[:, 0] - targets).square()

    found = Graded()
    with torch.no_grad():
        found.module.weight.fill_(1.0)
        found.module.bias.zero_()
    _, decision = asked(found, threshold)
    np.testing.assert_array_equal(decision, ROWS["grade"] >= threshold)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_a_row_filter_on_the_score_passes_whom_the_threshold_decides_for(threshold: float) -> None:
    policy = stated(
        {"adapter": "estimator", "subject": "m:m", "threshold": threshold},
        slices={"those": {"where": f"score >= {threshold}", "why": "as decided"}},
    )
    rows = table_of(policy, {"train": hold("train", TRAIN), "evaluation": hold("evaluation", ROWS)}, place)
    subject = bring(Own("float32"), policy, rows)
    answers = predict(subject, rows)
    (those,) = resolve(policy, rows, answers)
    np.testing.assert_array_equal(those.mask, answers.decision == 1)
    (again,) = on_training(policy, rows, answers.decision, answers.score)
    assert again[2] is not None
    np.testing.assert_array_equal(again[2], answers.decision == 1)
