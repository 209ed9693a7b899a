"""Records to divide into training records and reserve, real and made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from auditkit.subject.types import Table

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT.parent / "shared" / "data"
COMPAS: Final = ["sex", "age", "age_cat", "race", "juv_fel_count", "juv_misd_count", "priors_count", "c_charge_degree"]


@dataclass(frozen=True)
class World:
    """Feature columns and a label of 0 and 1."""

    frame: pd.DataFrame
    label: str

    @property
    def features(self) -> list[str]:
        return [name for name in self.frame.columns if name != self.label]

    def divided(self, first: int, second: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Two random lots of so many rows."""
        rows = rng.permutation(len(self.frame))[: first + second]
        return self.frame.iloc[rows[:first]], self.frame.iloc[rows[first:]]


def _data(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the data set {parts[0]} is absent")
    return path


def compas() -> World:
    table = pd.read_csv(_data("compas", "compas-scores-two-years.csv.gz"))
    return World(table[COMPAS].assign(y=table["two_year_recid"]), "y")


def adult() -> World:
    table = pd.read_csv(_data("adult", "adult_train.csv.gz"))
    return World(table.drop(columns="income").assign(y=(table["income"] == ">50K").astype(int)), "y")


def german() -> World:
    table = pd.read_csv(_data("german_credit", "german_credit_decoded.csv"))
    return World(table.rename(columns={"class-label": "y"}), "y")


def lender() -> World:
    folder = ROOT / "sample_data" / "loans"
    table = pd.concat([pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "reserve.csv")], ignore_index=True)
    return World(table.drop(columns=["application_id", "applicant_id"]).rename(columns={"repaid": "y"}), "y")


def of_sklearn(load: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Callable[[], World]:
    def world() -> World:
        inputs, target = load(return_X_y=True)
        frame = pd.DataFrame(inputs, columns=[f"x{k}" for k in range(inputs.shape[1])])
        return World(frame.assign(y=(target > target.mean()).astype(int)), "y")

    return world


def made(rows: int = 4_000) -> World:
    """Five normal columns, two groups, a label that follows two of the columns with noise."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(rows, 5)).round(6)
    frame = pd.DataFrame(inputs, columns=[f"x{k}" for k in range(5)]).assign(group=rng.choice(["a", "b"], rows))
    return World(frame.assign(y=(inputs[:, 0] + inputs[:, 1] + 1.2 * rng.normal(size=rows) > 0).astype(int)), "y")


WORLDS: Final[Mapping[str, Callable[[], World]]] = {
    "made": made, "lender": lender, "compas": compas, "adult": adult, "german": german,
    "breast cancer": of_sklearn(load_breast_cancer), "digits": of_sklearn(load_digits),
    "diabetes": of_sklearn(load_diabetes), "wine": of_sklearn(load_wine),
}  # fmt: skip


def table_of(
    train: pd.DataFrame, reserve: pd.DataFrame, *, label: str = "y", persons: np.ndarray | None = None
) -> Table:
    """The two lots as a table without anything else."""
    frame = pd.concat([train, reserve], ignore_index=True)
    split = np.repeat(["train", "reserve"], [len(train), len(reserve)])
    ids = np.arange(len(frame)).astype(str).astype(object)
    return Table(
        frame=frame, split=split, ids=ids, persons=persons, label=frame[label].to_numpy(np.float64),
        weights=np.ones(len(frame)), groupings={}, digests={},
    )  # fmt: skip


Division = Callable[[World, np.random.Generator], tuple[pd.DataFrame, pd.DataFrame]]


def _lots(world: World, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    size = min(len(world.frame) // 2, 2_000)
    train, reserve = world.divided(size, size, rng)
    return train.copy(), reserve.copy()


def _by(column: Callable[[World, pd.DataFrame], np.ndarray]) -> Division:
    """Rows with a larger value of the column come to the reserve more often: four in five of the upper half."""

    def division(world: World, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        frame = pd.concat(_lots(world, rng))
        ranks = pd.Series(column(world, frame)).rank(method="first").to_numpy() / len(frame)
        there = rng.random(len(frame)) < np.where(ranks > 0.5, 0.8, 0.2)
        return frame[~there], frame[there]

    return division


def _sorted(world: World, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = pd.concat(_lots(world, rng))
    frame = frame.iloc[np.argsort(_first_number(world, frame), kind="stable")]
    return frame.iloc[: len(frame) // 2], frame.iloc[len(frame) // 2 :]


def _first_number(world: World, frame: pd.DataFrame) -> np.ndarray:
    name = next(n for n in world.features if frame[n].nunique() > 8 and pd.api.types.is_numeric_dtype(frame[n]))
    return frame[name].to_numpy(np.float64)


def _in_reserve(change: Callable[[World, pd.DataFrame, np.random.Generator], pd.DataFrame]) -> Division:
    def division(world: World, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        train, reserve = _lots(world, rng)
        return train, change(world, reserve.reset_index(drop=True), rng)

    return division


def _noisy(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.assign(y=np.where(rng.random(len(frame)) < 0.5, rng.permutation(frame["y"]), frame["y"]))


def _fewer_favourable(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame[(frame["y"] == 0) | (rng.random(len(frame)) < 0.5)]


def _numbers(world: World, frame: pd.DataFrame) -> list[str]:
    return [n for n in world.features if pd.api.types.is_numeric_dtype(frame[n]) and frame[n].nunique() > 3]


def _missing(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    name = _numbers(world, frame)[0]
    return frame.assign(**{name: frame[name].astype(np.float64).where(rng.random(len(frame)) > 0.2)})


def _other_unit(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    name = _numbers(world, frame)[0]
    return frame.assign(**{name: frame[name] * 1.3 + 0.3 * frame[name].std()})


def _drifted(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Another period: numbers a quarter of a deviation higher, and a tenth of the labels drawn anew."""
    moved = {name: frame[name] + 0.25 * frame[name].std() for name in _numbers(world, frame)[:2]}
    return frame.assign(**moved, y=np.where(rng.random(len(frame)) < 0.1, rng.permutation(frame["y"]), frame["y"]))


def _rounded(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Recorded more coarsely: the first number in steps of half a deviation."""
    name = _numbers(world, frame)[0]
    step = 0.5 * float(frame[name].std())
    return frame.assign(**{name: (frame[name] / step).round() * step})


def _other_law(world: World, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The label follows the features the other way round in a part of the records that the features name."""
    first = _first_number(world, frame)
    return frame.assign(y=np.where(first > np.quantile(first, 0.7), 1 - frame["y"], frame["y"]))


DIVISIONS: Final[Mapping[str, Division]] = {
    "another period": _in_reserve(_drifted),
    "other label noise": _in_reserve(_noisy),
    "sampled by a column": _by(_first_number),
    "sampled by the label and a column": _by(lambda w, f: _first_number(w, f) * (2 * f["y"].to_numpy() - 1)),
    "another share of favourable labels": _in_reserve(_fewer_favourable),
    "values missing": _in_reserve(_missing),
    "another unit": _in_reserve(_other_unit),
    "sorted by a column": _sorted,
    "rounded": _in_reserve(_rounded),
    "another law of the label": _in_reserve(_other_law),
}
"""Divisions that are not by chance, each strong enough to be seen in 2,000 records a side."""
