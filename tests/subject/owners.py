"""Owners of models: twelve kinds of column, and twenty-four kinds of model that their own code fitted on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn
from torch.nn import functional
from xgboost import XGBClassifier

FEATURES = ["c", "x"]
Made = Callable[[np.ndarray], Any]
"""Levels 0, 1, 2 [N] -> the column [N]."""


def _gaps(values: list[Any], gap: object) -> list[Any]:
    return [gap if i % 9 == 4 else value for i, value in enumerate(values)]


def _texts(k: np.ndarray) -> list[str]:
    return [str(v + 1) for v in k]


COLUMNS: dict[str, Made] = {
    "int": lambda k: pd.Series(k + 1),
    "nullable": lambda k: pd.Series(_gaps((k + 1).tolist(), pd.NA), dtype="Int64"),
    "bool": lambda k: pd.Series(k > 0),
    "text-digits": lambda k: pd.Series(_texts(k)),
    "category": lambda k: pd.Series(pd.Categorical(_texts(k), categories=sorted(set(_texts(k)), reverse=True))),
    "float32": lambda k: pd.Series((0.1 + 0.2 * k).astype(np.float32)),
    "dates": lambda k: pd.Series(pd.Timestamp("2024-01-31") + pd.to_timedelta(k * 31, unit="D")),
    "none": lambda k: pd.Series(_gaps(_texts(k), None), dtype=object),
    "pd-na": lambda k: pd.Series(_gaps([bool(v > 0) for v in k], pd.NA), dtype="boolean"),
    "decimal": lambda k: pd.Series([Decimal(int(v)) + Decimal("0.10") for v in k], dtype=object),
    "bins": lambda k: pd.cut(pd.Series(k + 0.5), [0, 1, 2, 3]),
    "mixed": lambda k: pd.Series([[1, "1", 2.5][v] for v in k], dtype=object),
}

WRITTEN = {
    "true-false": ("True", "False", "True"), "leading-zero": ("01", "02", "010"), "plus": ("+1", "+2", "+3"),
    "space": (" 1", " 2", " 3"), "no-zero": (".5", ".25", ".75"), "exponent": ("1e5", "2e5", "3e5"),
    "na": ("NA", "EU", "US"), "none": ("None", "a", "b"), "nan": ("nan", "1", "2"), "null": ("NULL", "1", "2"),
    "thousands": ("1,000", "2,000", "3,000"), "iso-date": ("2024-01-01", "2024-02-01", "2024-03-01"),
    "digits-and-empty": ("1", "2", ""), "negative-zero": ("-0", "0", "1"), "huge": ("12345678901234567890", "1", "2"),
    "quoted-comma": ("a,b", "a", "b"),
}  # fmt: skip
"""Cells of a CSV file that pandas reads otherwise than they stand there."""


def levels(n: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Levels [n] that the label depends on, and the rest of the frame."""
    rng = np.random.default_rng(seed)
    k, x, sex = rng.integers(0, 3, n), np.round(rng.normal(size=n), 4), rng.choice(["f", "m"], n)
    y = (1.2 * (k - 1) * np.where(sex == "f", 1.5, 1.0) + x + 0.3 * rng.normal(size=n) > 0).astype(int)
    return k, pd.DataFrame({"sex": sex, "x": x, "y": y})


def frame(kind: str, n: int, seed: int) -> pd.DataFrame:
    """A split with one column of the kind."""
    k, rest = levels(n, seed)
    return rest.assign(c=COLUMNS[kind](k))[["sex", "c", "x", "y"]]


# What the owners' pipelines do with the column.


def _as_texts(X: pd.DataFrame) -> np.ndarray:
    texts = X["c"].map(str).to_numpy()
    return np.column_stack([texts == "1", texts == "True", [len(t) for t in texts], X["x"]]).astype(float)


def _by_type(X: pd.DataFrame) -> np.ndarray:
    kinds = [type(value).__name__ for value in X["c"]]
    first = [str(value) for value in X["c"]]
    return np.column_stack(
        [[k == "str" for k in kinds], [k.startswith("int") for k in kinds], [f[:1] == "2" for f in first], X["x"]]
    ).astype(float)


def _by_codes(X: pd.DataFrame) -> np.ndarray:
    codes = X["c"].cat.codes if isinstance(X["c"].dtype, pd.CategoricalDtype) else pd.factorize(X["c"], sort=True)[0]
    return np.column_stack([codes, X["x"]]).astype(float)


def _months(X: pd.DataFrame) -> np.ndarray:
    return np.column_stack([X["c"].dt.month, X["x"]]).astype(float)


def _one_hot() -> ColumnTransformer:
    return make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["c"]), remainder=StandardScaler())


def _ordinal() -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_column_transformer((encoder, ["c"]), remainder="passthrough")


def _imputed() -> ColumnTransformer:
    inner = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return make_column_transformer((inner, ["c"]), remainder="passthrough")


def _by_dtype() -> ColumnTransformer:
    """Whatever holds numbers is scaled, all else is one-hot."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )


def _logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=200)


class Strict:
    """A bank's own class: favourable only from 0.62 on, its classes are texts, and it likes its columns in order."""

    classes_ = ("0", "1")

    def fit(self, X: pd.DataFrame, y: Any) -> Strict:
        self.columns = list(X.columns)
        self.inner = make_pipeline(_one_hot(), _logistic()).fit(X, y)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        assert list(X.columns) == self.columns
        return np.asarray(self.inner.predict_proba(X)).astype(np.float32)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.where(self.predict_proba(X)[:, 1] > 0.62, "1", "0")


class Arrays:
    """An estimator that its owner fits on, and asks with, the array of the frame."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def fit(self, X: pd.DataFrame, y: Any) -> Any:
        return self.inner.fit(X.to_numpy(), y)


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=8, min_child_samples=5, num_leaves=7, verbose=-1, n_jobs=1)


def _xgboost(**more: Any) -> XGBClassifier:
    return XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, **more)


MODELS: dict[str, Callable[[], Any]] = {
    "one-hot logistic": lambda: make_pipeline(_one_hot(), _logistic()),
    "ordinal tree": lambda: make_pipeline(_ordinal(), DecisionTreeClassifier(max_depth=4, random_state=0)),
    "imputed one-hot": lambda: make_pipeline(_imputed(), _logistic()),
    "by dtype": lambda: make_pipeline(_by_dtype(), _logistic()),
    "as texts": lambda: make_pipeline(FunctionTransformer(_as_texts), _logistic()),
    "by type of cell": lambda: make_pipeline(FunctionTransformer(_by_type), _logistic()),
    "by codes": lambda: make_pipeline(FunctionTransformer(_by_codes), DecisionTreeClassifier(max_depth=4)),
    "months": lambda: make_pipeline(FunctionTransformer(_months), _logistic()),
    "boosted histograms": lambda: HistGradientBoostingClassifier(max_iter=8, categorical_features="from_dtype"),
    "plain logistic": _logistic,
    "xgboost": lambda: _xgboost(enable_categorical=True),
    "xgboost behind one-hot": lambda: make_pipeline(_one_hot(), _xgboost()),
    "lightgbm": _lightgbm,
    "arrays one-hot": lambda: Arrays(make_pipeline(OneHotEncoder(handle_unknown="ignore"), _logistic())),
    "arrays forest": lambda: Arrays(RandomForestClassifier(n_estimators=5, random_state=0)),
    "fixed threshold": lambda: FixedThresholdClassifier(
        make_pipeline(_one_hot(), _logistic()), threshold=0.7, response_method="predict_proba"
    ),
    "tuned threshold": lambda: TunedThresholdClassifierCV(make_pipeline(_ordinal(), GaussianNB()), cv=2),
    "calibrated": lambda: CalibratedClassifierCV(make_pipeline(_one_hot(), GaussianNB2()), cv=2),
    "grid search": lambda: GridSearchCV(
        make_pipeline(_one_hot(), _logistic()), {"logisticregression__C": [1, 10]}, cv=2
    ),
    "voting": lambda: VotingClassifier(
        [("a", make_pipeline(_one_hot(), _logistic())), ("b", make_pipeline(_ordinal(), GaussianNB()))], voting="soft"
    ),
    "stacking": lambda: StackingClassifier([("a", make_pipeline(_one_hot(), _logistic()))], cv=2),
    "neighbours": lambda: make_pipeline(_one_hot(), KNeighborsClassifier(4)),
    "target encoder": lambda: make_pipeline(
        make_column_transformer((TargetEncoder(cv=2, random_state=0), ["c"]), remainder="passthrough"), _logistic()
    ),
    "own class": Strict,
}  # fmt: skip


class GaussianNB2(GaussianNB):
    """Naive Bayes of a dense array, whatever the encoder gives."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GaussianNB2:
        super().fit(_dense(X), y, sample_weight)
        return self

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(_dense(X))


def _dense(X: Any) -> np.ndarray:
    return np.asarray(X.todense()) if hasattr(X, "todense") else np.asarray(X)


class Network:
    """An owner's torch module through the `python` protocol: it looks at the cells as Python has them."""

    weight_decay = 0.0

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(0)
        self.dtype = dtype
        self.module = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1)).to(dtype)

    def numbers(self, rows: pd.DataFrame) -> Tensor:
        texts = [str(value) for value in rows["c"]]
        kinds = [type(value).__name__ for value in rows["c"]]
        columns = [
            [t in ("1", "True") for t in texts], [t[:1] == "2" for t in texts], [k == "str" for k in kinds],
            [len(t) / 10 for t in texts], rows["x"].to_list(),
        ]  # fmt: skip
        return torch.tensor(np.array(columns, dtype=np.float64).T, dtype=self.dtype)

    def tensors(self, rows: pd.DataFrame, label: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        return (self.numbers(rows),), torch.tensor(label, dtype=self.dtype)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction="none")

    def favourable_score(self, outputs: Tensor) -> Tensor:
        return torch.sigmoid(outputs[:, 0])

    def fit(self, X: pd.DataFrame, y: Any) -> Network:
        (inputs,), targets = self.tensors(X, np.asarray(y, dtype=float))
        steps = torch.optim.LBFGS(self.module.parameters(), max_iter=30)

        def closure() -> Tensor:
            steps.zero_grad()
            value = self.loss(self.module(inputs), targets).mean()
            value.backward()
            return value

        steps.step(closure)
        self.module.eval()
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        with torch.no_grad():
            return (self.favourable_score(self.module(self.numbers(X))) >= 0.5).numpy().astype(int)


def owned(model: str, train: pd.DataFrame) -> Any:
    """A model as its owner fitted it, or None where its own fit fails on such a column."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (Network() if model == "torch" else MODELS[model]()).fit(train[FEATURES], train["y"])
    except Exception:
        return None


def decisions(model: Any, rows: pd.DataFrame) -> np.ndarray | None:
    """The owner's own predict, or None where it fails."""
    given = rows[FEATURES]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not isinstance(model, Network | Strict) and not hasattr(model, "feature_names_in_") and (
                hasattr(model, "n_features_in_")
            ):
                return np.asarray(model.predict(given.to_numpy())).astype(float)
            return np.asarray(model.predict(given)).astype(float)
    except Exception:
        return None
