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
        return World(frame.assign(y=(target > np.median(target)).astype(int)), "y")

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
