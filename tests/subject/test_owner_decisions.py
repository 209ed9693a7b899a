"""What a model decides through auditkit is what it decides for its owner, whatever its columns hold."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

import auditkit
from auditkit.errors import AuditError, ModelError
from auditkit.policy.load import from_mapping
from auditkit.subject.echo import echo_decisions
from auditkit.subject.inputs import inputs
from auditkit.subject.open import bring
from auditkit.subject.predict import predict
from auditkit.subject.reading import hold
from auditkit.subject.sources import NOTHING_STATED
from auditkit.subject.table import read_table, table_of
from auditkit.subject.types import Predictions
from tests.subject import owners

N = 150
KINDS = [*owners.MODELS, "torch"]
QUICK = [
    "one-hot logistic", "by dtype", "by type of cell", "by codes", "xgboost", "lightgbm", "arrays one-hot",
    "fixed threshold", "own class", "torch",
]  # fmt: skip
HAS_LIGHTGBM = find_spec("lightgbm") is not None


def place(*keys: str | int) -> str:
    return ".".join(map(str, keys))


def policy(paths: dict[str, Path] | None = None, adapter: str = "estimator", **data: Any) -> Any:
    files = {"train": "train frame", "evaluation": "evaluation frame"} if paths is None else paths
    label = {"column": "y", "favourable": 1, "means": "outcome"}
    return from_mapping(
        {
            "auditkit": 1, "name": "t", "rules": [], "protected": {"sex": {"column": "sex"}},
            "data": {**{split: str(path) for split, path in files.items()}, "label": label, **data},
            "model": {"adapter": adapter, "subject": "m:m"},
        }
    )  # fmt: skip


NAMELESS = {"arrays one-hot", "arrays forest", "own class"}
"""Kinds that do not know their columns by name: the policy lists them, numbers before levels."""


def stated_for(name: str) -> dict[str, Any]:
    return {"numeric": ["x"], "categorical": ["c"]} if name in NAMELESS else {}


def through_frames(model: Any, frames: dict[str, pd.DataFrame], name: str = "", **data: Any) -> Predictions:
    stated = policy(**stated_for(name), **data)
    table = table_of(stated, {split: hold(f"{split} frame", frame) for split, frame in frames.items()}, place)
    return predict(bring(model, stated, table), table)


def through_paths(paths: dict[str, Path], model: Any, frames: object, name: str = "", **data: Any) -> Predictions:
    stated = policy(paths, **stated_for(name), **data)
    table = read_table(stated, place)
    return predict(bring(model, stated, table), table)


def same(model: Any, rows: pd.DataFrame, ask: Any, where: str, wrong: list[str]) -> bool:
    """Whether there was something to compare; a difference or an undue refusal is added to `wrong`."""
    own = owners.decisions(model, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = ask().decision
        except AuditError as error:
            if own is not None:
                wrong.append(f"{where}: refused: {error}")
            return own is not None
    if own is None:
        return False
    if not np.array_equal(found, own):
        wrong.append(f"{where}: {int((found != own).sum())} of {len(own)} decisions differ")
    return True


def written(folder: Path, medium: str, frames: dict[str, pd.DataFrame]) -> dict[str, Path] | None:
    """The frames as files, or None where the medium cannot hold them."""
    paths = {name: folder / f"{name}.{medium}" for name in frames}
    for name, frame in frames.items():
        try:
            frame.to_csv(paths[name], index=False) if medium == "csv" else frame.to_parquet(paths[name], index=False)
        except Exception:
            return None
    return paths


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def compared(kind: str, models: Iterable[str], folder: Path) -> int:
    """How many decisions of a model and a medium could be compared; all of them must be the owner's."""
    frames = {"train": owners.frame(kind, N, 1), "evaluation": owners.frame(kind, N, 2)}
    media: dict[str, tuple[dict[str, pd.DataFrame], Any]] = {"frames": (frames, through_frames)}
    for medium in ("csv", "parquet"):
        paths = written(folder, medium, frames)
        if paths is not None:
            media[medium] = ({split: read(path) for split, path in paths.items()}, partial(through_paths, paths))
    wrong: list[str] = []
    count = 0
    for name in models:
        if name == "lightgbm" and not HAS_LIGHTGBM:
            continue
        for medium, (own, door) in media.items():
            model = owners.owned(name, own["train"])
            if model is not None:
                count += same(model, own["evaluation"], partial(door, model, own, name), f"{name}, {medium}", wrong)
    assert not wrong, "\n".join(wrong)
    return count


@pytest.mark.parametrize("kind", list(owners.COLUMNS))
def test_a_model_decides_as_for_its_owner(kind: str, tmp_path: Path) -> None:
    """Kinds of model that differ in what they ask of a column, on one kind of column: frames, CSV, Parquet."""
    assert compared(kind, QUICK, tmp_path) >= 8


@pytest.mark.prove
@pytest.mark.parametrize("kind", list(owners.COLUMNS))
def test_every_model_decides_as_for_its_owner(kind: str, tmp_path: Path, record_property: Any) -> None:
    """Twenty-five kinds of model on one kind of column."""
    count = compared(kind, KINDS, tmp_path)
    record_property("models and media compared", count)
    assert count >= 30


def test_the_matrix_has_lightgbm() -> None:
    """It is a test package, so that no row of the matrix is left out unseen."""
    assert HAS_LIGHTGBM


def cells(kind: str, n: int, seed: int) -> pd.DataFrame:
    """A split whose column is written in a way that pandas reads otherwise than it stands in the file."""
    k, rest = owners.levels(n, seed)
    return rest.assign(c=np.array(owners.WRITTEN[kind], dtype=object)[k])[["sex", "c", "x", "y"]]


def csv_of(folder: Path, kind: str, n: int = 300, end: str = "csv") -> dict[str, Path]:
    paths = {"train": folder / f"train.{end}", "evaluation": folder / f"evaluation.{end}"}
    for seed, path in enumerate(paths.values()):
        cells(kind, n, seed).to_csv(path, index=False, sep="\t" if end.startswith("tsv") else ",")
    return paths


@pytest.mark.parametrize("kind", list(owners.WRITTEN))
def test_cells_of_a_csv_file_reach_the_model_as_pandas_reads_them(kind: str, tmp_path: Path) -> None:
    paths = csv_of(tmp_path, kind)
    own = {split: read(path) for split, path in paths.items()}
    wrong: list[str] = []
    count = 0
    for name in ("one-hot logistic", "as texts", "by type of cell", "torch"):
        model = owners.owned(name, own["train"])
        if model is not None:
            count += same(model, own["evaluation"], partial(through_paths, paths, model, own), name, wrong)
    assert not wrong, "\n".join(wrong)
    assert count >= 3


@pytest.mark.parametrize("end", ["tsv", "csv.gz", "tsv.gz"])
def test_every_text_format_is_read_so(end: str, tmp_path: Path) -> None:
    paths = csv_of(tmp_path, "leading-zero", end=end)
    own = {split: pd.read_csv(path, sep="\t" if "tsv" in end else ",") for split, path in paths.items()}
    model = owners.owned("by type of cell", own["train"])
    wrong: list[str] = []
    assert same(model, own["evaluation"], partial(through_paths, paths, model, own), end, wrong)
    assert not wrong


@pytest.mark.parametrize("name", ["as texts", "by type of cell", "torch"])
@pytest.mark.parametrize("gap", [np.nan, None, pd.NA])
def test_a_gap_in_one_split_changes_no_type_in_another(name: str, gap: object) -> None:
    """Stacked, the whole numbers of the training records would turn into decimals, `1` into `1.0`."""
    frames = {"train": owners.frame("int", N, 1), "evaluation": owners.frame("int", N, 2)}
    values = frames["train"]["c"].astype(object).where(np.arange(N) % 11 > 0, gap)
    frames["train"] = frames["train"].assign(c=values if gap is None else pd.to_numeric(values))
    model = owners.owned(name, frames["train"])
    wrong: list[str] = []
    assert same(model, frames["evaluation"], partial(through_frames, model, frames), name, wrong)
    assert not wrong


def test_categories_of_one_split_are_not_those_of_another() -> None:
    frames = {"train": owners.frame("category", N, 1), "evaluation": owners.frame("category", N, 2)}
    rows = frames["evaluation"]
    frames["evaluation"] = rows.assign(c=rows["c"].cat.reorder_categories(["2", "3", "1"]))
    for name in ("by codes", "xgboost", "one-hot logistic"):
        model = owners.owned(name, frames["train"])
        wrong: list[str] = []
        assert same(model, frames["evaluation"], partial(through_frames, model, frames), name, wrong)
        assert not wrong


def decided(subject: Any, table: Any) -> np.ndarray:
    return predict(subject, table).decision


def through(model: Any, paths: dict[str, Path], **data: Any) -> tuple[Any, Any]:
    stated = policy(paths, **data)
    table = read_table(stated, place)
    return bring(model, stated, table), table


def codes_model(levels: tuple[object, ...]) -> Any:
    """A model of the owner's own code, which records nothing of its columns and compares cells with these levels."""

    def numbers(X: pd.DataFrame) -> np.ndarray:
        return np.column_stack([X["c"] == levels[0], X["c"] == levels[1], X["x"]]).astype(float)

    return make_pipeline(FunctionTransformer(numbers), LogisticRegression())


def test_levels_that_the_model_records_as_texts_are_read_as_texts(tmp_path: Path) -> None:
    """Its owner read the codes as text; pandas alone would read numbers, and nothing in the policy says so."""
    paths = csv_of(tmp_path, "leading-zero")
    texts = {split: pd.read_csv(path, dtype={"c": str}) for split, path in paths.items()}
    for name in ("one-hot logistic", "imputed one-hot", "ordinal tree", "calibrated", "grid search", "fixed threshold"):
        model = owners.owned(name, texts["train"])
        subject, table = through(model, paths)
        np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, texts["evaluation"]))


def test_levels_that_the_model_records_as_numbers_stay_numbers_whatever_is_stated(tmp_path: Path) -> None:
    paths = csv_of(tmp_path, "leading-zero")
    own = {split: read(path) for split, path in paths.items()}
    model = owners.owned("one-hot logistic", own["train"])
    subject, table = through(model, paths, categorical=["c"], numeric=["x"])
    np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, own["evaluation"]))


def test_a_statement_is_followed_where_the_model_was_fitted_so(tmp_path: Path) -> None:
    paths = csv_of(tmp_path, "leading-zero")
    texts = {split: pd.read_csv(path, dtype={"c": str}) for split, path in paths.items()}
    model = codes_model(("01", "02")).fit(texts["train"][owners.FEATURES], texts["train"]["y"])
    subject, table = through(model, paths, categorical=["c"], numeric=["x"])
    np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, texts["evaluation"]))
    assert not [check for check in subject.checks if check.name == "columns read as pandas reads them"]


def test_a_statement_is_not_followed_where_the_model_fits_pandas_reading_alone_and_that_is_told(tmp_path: Path) -> None:
    paths = csv_of(tmp_path, "leading-zero")
    own = {split: read(path) for split, path in paths.items()}
    model = codes_model((1, 2)).fit(own["train"][owners.FEATURES], own["train"]["y"])
    subject, table = through(model, paths, categorical=["c"], numeric=["x"])
    np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, own["evaluation"]))
    assert [c.count for c in subject.checks if c.name == "columns read as pandas reads them"] == [1]


def test_two_readings_of_which_none_fits_better_are_refused(tmp_path: Path) -> None:
    paths = csv_of(tmp_path, "leading-zero")
    own = read(paths["train"])

    def by_chance(X: pd.DataFrame) -> np.ndarray:
        text = np.array([isinstance(value, str) for value in X["c"]])
        return (text ^ (X["x"] * 10_000 % 2 < 1)).to_numpy(dtype=float)[:, None]

    model = make_pipeline(FunctionTransformer(by_chance), LogisticRegression())
    model.fit(own[owners.FEATURES], by_chance(own)[:, 0].astype(int))
    said = r"scores 300 of 300 evaluation records otherwise .*'c' \(int64 to pandas, str by the policy\); remove them"
    with pytest.raises(ModelError, match=said):
        through(model, paths, categorical=["c"], numeric=["x"])


@pytest.mark.parametrize("missing", [["EU"], ["US", "?"]])
def test_texts_that_are_missing_by_the_policy_are_missing_to_the_model(missing: list[str], tmp_path: Path) -> None:
    paths = csv_of(tmp_path, "na")
    own = {split: pd.read_csv(path, na_values=missing) for split, path in paths.items()}
    model = owners.owned("one-hot logistic", own["train"])
    subject, table = through(model, paths, missing=missing)
    np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, own["evaluation"]))


def test_numbers_that_only_pandas_reads_are_no_complaint_about_a_numeric_feature(tmp_path: Path) -> None:
    """`NA` among numbers and `True` are numbers to the owner, who is not asked to state that."""
    for kind in ("true-false", "null", "nan", "plus", "space", "no-zero", "exponent"):
        paths = csv_of(tmp_path, kind)
        own = {split: read(path) for split, path in paths.items()}
        model = owners.owned("boosted histograms", own["train"])
        subject, table = through(model, paths, numeric=["c", "x"])
        np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, own["evaluation"]))
        assert table.frame["c"].dtype == np.float64


@pytest.mark.parametrize("kind", ["category", "int"])
def test_lightgbm_and_xgboost_fitted_on_categories_are_given_categories_from_a_csv_file(
    kind: str, tmp_path: Path
) -> None:
    frames = {"train": owners.frame(kind, N, 1), "evaluation": owners.frame(kind, N, 2)}
    frames = {split: frame.assign(c=frame["c"].astype("category")) for split, frame in frames.items()}
    paths = written(tmp_path, "csv", frames)
    assert paths is not None
    for name in ("xgboost", *(["lightgbm"] if HAS_LIGHTGBM else [])):
        model = owners.owned(name, frames["train"])
        subject, table = through(model, paths)
        np.testing.assert_array_equal(decided(subject, table), owners.decisions(model, frames["evaluation"]))


@pytest.mark.parametrize("name", ["credit amount", "credit\tamount"])
def test_a_name_that_lightgbm_writes_otherwise_is_found(name: str) -> None:
    pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    both = (owners.frame("int", N, seed).rename(columns={"x": name}) for seed in (1, 2))
    frames = dict(zip(("train", "evaluation"), both, strict=True))
    features = ["c", name]
    model = owners.MODELS["lightgbm"]().fit(frames["train"][features], frames["train"]["y"])
    found = through_frames(model, frames).decision
    np.testing.assert_array_equal(found, model.predict(frames["evaluation"][features]))


# The echo.


class Moody(LogisticRegression):
    """Its owner forgot a seed."""

    rng = np.random.default_rng(0)

    def predict(self, X: Any) -> Any:
        return np.where(self.rng.random(len(X)) < 0.05, 1, super().predict(X))


def test_answers_that_differ_when_asked_again_are_refused() -> None:
    frames = {"train": owners.frame("int", N, 1), "evaluation": owners.frame("int", N, 2)}
    model = Moody().fit(frames["train"][owners.FEATURES], frames["train"]["y"])
    with pytest.raises(ModelError, match=r"decides \d+ of 150 records otherwise when it is asked again; fix its"):
        through_frames(model, frames)


@pytest.mark.parametrize(
    ("kind", "changed", "types"),
    [
        ("text-digits", "int64", "str to its owner, int64 here"),
        ("int", str, "int64 to its owner, str here"),
        ("bool", str, "bool to its owner, str here"),
        ("category", "int64", "category to its owner, int64 here"),
        ("nullable", "float64", "Int64 to its owner, float64 here"),
        ("float32", str, "float32 to its owner, str here"),
        ("decimal", str, "object to its owner, str here"),
        ("mixed", str, "object to its owner, str here"),
    ],
)
def test_another_view_of_the_data_is_found_by_the_echo(kind: str, changed: Any, types: str) -> None:
    """Were a column changed on its way to the model, the audit ends and says how many decisions and which column."""
    frames = {"train": owners.frame(kind, N, 1), "evaluation": owners.frame(kind, N, 2)}

    def numbers(X: pd.DataFrame) -> np.ndarray:
        alike = [v is not pd.NA and v == first and type(v).__name__ == type(first).__name__ for v in X["c"]]
        return np.array(alike, dtype=float)[:, None]

    first = next(iter(frames["train"]["c"].dropna()))
    labels = numbers(frames["train"])[:, 0].astype(int)
    frames = {split: f.assign(y=numbers(f)[:, 0].astype(int)) for split, f in frames.items()}
    model = make_pipeline(FunctionTransformer(numbers), DecisionTreeClassifier()).fit(frames["train"][["c"]], labels)
    stated = policy()
    table = table_of(stated, {split: hold(split, frame) for split, frame in frames.items()}, place)
    subject = bring(model, stated, table)
    views = {split: view.assign(c=view["c"].astype(changed)) for split, view in subject.views.items()}
    with pytest.raises(ModelError, match=rf"\d+ of 150 evaluation records are decided otherwise .*c \({types}\)"):
        echo_decisions(replace(subject, views=views), table, NOTHING_STATED, subject.decide)


# Refits.


class Witness(LogisticRegression):
    """Keeps the types of everything that it is fitted on."""

    seen: ClassVar[list[Any]] = []

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self.seen.append(X.dtypes.to_dict() if hasattr(X, "dtypes") and hasattr(X, "columns") else type(X).__name__)
        rest = X[["x"]] if hasattr(X, "columns") else np.asarray(X)[:, 1:].astype(float)
        super().fit(rest, y)
        self.feature_names_in_ = np.array(["c", "x"], dtype=object)
        return self

    def predict_proba(self, X: Any) -> Any:
        return LogisticRegression.predict_proba(_named(self), X[["x"]])

    def predict(self, X: Any) -> Any:
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)


def _named(model: Any) -> Any:
    other = copy.copy(model)
    other.feature_names_in_, other.n_features_in_ = np.array(["x"], dtype=object), 1
    return other


@pytest.mark.parametrize("kind", list(owners.COLUMNS))
def test_a_refit_on_rows_of_several_splits_sees_the_types_of_the_training_frame(kind: str) -> None:
    frames = {split: owners.frame(kind, N, seed) for seed, split in enumerate(("train", "reserve", "evaluation"))}
    stated = policy(reserve="reserve frame")
    table = table_of(stated, {split: hold(split, frame) for split, frame in frames.items()}, place)
    subject = bring(Witness().fit(frames["train"][owners.FEATURES], frames["train"]["y"]), stated, table)
    rows = np.concatenate([table.rows("train")[::3], table.rows("reserve")[::2]])
    given = inputs(subject, table, rows)
    assert given["c"].dtype == frames["train"]["c"].dtype
    expected = [*frames["train"]["c"].iloc[::3], *frames["reserve"]["c"].iloc[::2]]
    assert all(a is b or a == b or (pd.isna(a) and pd.isna(b)) for a, b in zip(given["c"], expected, strict=True))
    assert subject.train is not None
    Witness.seen.clear()
    subject.train(given, table.label[rows], torch.Generator().manual_seed(0))
    assert Witness.seen[0]["c"] == frames["train"]["c"].dtype


def test_an_estimator_of_arrays_is_refitted_on_arrays() -> None:
    frames = {split: owners.frame("text-digits", N, seed) for seed, split in enumerate(("train", "evaluation"))}
    model = owners.owned("arrays one-hot", frames["train"])
    stated = policy(**stated_for("arrays one-hot"))
    table = table_of(stated, {split: hold(split, frame) for split, frame in frames.items()}, place)
    subject = bring(model, stated, table)
    rows = table.rows("train")
    assert subject.train is not None
    again = subject.train(inputs(subject, table, rows), table.label[rows], torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(again.decide(frames["evaluation"]), decided(subject, table))


# The public door.


@pytest.mark.parametrize(("kind", "name"), [("text-digits", "as texts"), ("mixed", "torch")])
def test_a_whole_audit_tells_the_owners_rates(kind: str, name: str) -> None:
    frames = {split: owners.frame(kind, 400, seed) for seed, split in enumerate(("train", "evaluation"))}
    model = owners.owned(name, frames["train"])
    own = owners.decisions(model, frames["evaluation"])
    assert own is not None
    result = auditkit.audit(
        model, **frames, label="y", protected={"sex": "m"}, numeric=["x"], categorical=["c"], minimum_cell=2
    )  # type: ignore[arg-type]
    rates = {
        row.group: row.estimate.value for row in result.measurements()
        if row.measure == "fairness.selection_rate" and row.on == "sex"
    }  # fmt: skip
    for sex in ("f", "m"):
        assert rates[sex] == pytest.approx(own[frames["evaluation"]["sex"] == sex].mean(), abs=1e-12)


# What else an owner's data may hold.


def test_an_index_that_was_saved_as_a_nameless_column_is_read_as_pandas_names_it(tmp_path: Path) -> None:
    paths = {split: tmp_path / f"{split}.csv" for split in ("train", "evaluation")}
    for seed, path in enumerate(paths.values()):
        owners.frame("int", N, seed).to_csv(path)
    own = {split: read(path) for split, path in paths.items()}
    features = ["Unnamed: 0", "c", "x"]
    model = DecisionTreeClassifier(max_depth=3).fit(own["train"][features], own["train"]["y"])
    subject, table = through(model, paths)
    np.testing.assert_array_equal(decided(subject, table), model.predict(own["evaluation"][features]))
    assert subject.features == ("c", "x")


def test_columns_whose_names_are_numbers() -> None:
    both = (owners.frame("int", N, seed).rename(columns={"c": 0, "x": 1}) for seed in (1, 2))
    frames = dict(zip(("train", "evaluation"), both, strict=True))
    model = DecisionTreeClassifier(max_depth=3).fit(frames["train"][[0, 1]], frames["train"]["y"])
    found = through_frames(model, frames, numeric=["0", "1"]).decision
    np.testing.assert_array_equal(found, model.predict(frames["evaluation"][[0, 1]]))


@pytest.mark.parametrize(
    ("favourable", "other", "stated"),
    [
        (True, False, True), ("yes", "no", "yes"), ("01", "02", "01"), (1.0, 0.0, 1), ("True", "False", True),
        ("+1", "-1", "+1"), (" 1", " 2", " 1"), ("1e0", "2e0", "1e0"),
    ],
)  # fmt: skip
def test_the_favourable_class_is_found_however_the_label_is_written(
    favourable: Any, other: Any, stated: Any, tmp_path: Path
) -> None:
    """pandas reads the label otherwise than it stands in the file; the model's classes are what pandas read."""
    paths = {split: tmp_path / f"{split}.csv" for split in ("train", "evaluation")}
    good = {}
    for seed, (split, path) in enumerate(paths.items()):
        frame = owners.frame("int", N, seed)
        good[split] = frame["y"].to_numpy() == 1
        frame.assign(y=[favourable if one else other for one in good[split]]).to_csv(path, index=False)
    own = {split: read(path) for split, path in paths.items()}
    model = owners.owned("one-hot logistic", own["train"])
    subject, table = through(model, paths, label={"column": "y", "favourable": stated, "means": "outcome"})
    classes = own["evaluation"]["y"][good["evaluation"]].unique()
    expected = model.predict(own["evaluation"][owners.FEATURES]) == classes[0]
    np.testing.assert_array_equal(decided(subject, table), expected)


class Counting(BaseEstimator):
    """A first step of the owner's own: it takes frames and keeps only how many features it was fitted on."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Any:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        return np.column_stack([X["c"].map(str) == "1", X["x"]]).astype(float)


class Weights:
    """A formula of the owner's own on an array, which says nothing of itself."""

    classes_ = (0, 1)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-(2 * X[:, 0].astype(float) - 4 + 3 * X[:, 1].astype(float))))
        return np.column_stack([1 - p, p])

    def predict(self, X: np.ndarray) -> np.ndarray:
        return (self.predict_proba(X)[:, 1] >= 0.6).astype(int)


@pytest.mark.parametrize("kind", ["int", "text-digits", "category"])
def test_a_model_that_names_no_columns_is_given_what_it_takes(kind: str) -> None:
    frames = {"train": owners.frame(kind, N, 1), "evaluation": owners.frame(kind, N, 2)}
    rows = frames["evaluation"][owners.FEATURES]
    pipeline = make_pipeline(Counting(), LogisticRegression())
    pipeline.fit(frames["train"][owners.FEATURES], frames["train"]["y"])
    found = through_frames(pipeline, frames, numeric=["x"], categorical=["c"]).decision
    np.testing.assert_array_equal(found, pipeline.predict(rows))
    found = through_frames(Weights(), frames, numeric=["c", "x"]).decision
    np.testing.assert_array_equal(found, Weights().predict(rows.to_numpy()))
    # Two lists do not say its order, and it fits these labels about as well in the other one.
    with pytest.raises(ModelError, match=r"another order or form: 'x', 'c' or 'c', 'x'; list all its"):
        through_frames(Weights(), frames, numeric=["x"], categorical=["c"])


@pytest.mark.parametrize("kind", ["category", "nullable", "decimal", "bins", "mixed"])
def test_an_unfitted_estimator_is_fitted_on_the_frame_as_it_is(kind: str) -> None:
    frames = {"train": owners.frame(kind, N, 1), "evaluation": owners.frame(kind, N, 2)}
    own = owners.owned("by type of cell", frames["train"])
    found = through_frames(owners.MODELS["by type of cell"](), frames, numeric=["x"], categorical=["c"]).decision
    np.testing.assert_array_equal(found, owners.decisions(own, frames["evaluation"]))
