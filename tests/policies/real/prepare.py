"""Lay the real data sets beside a copy of their policy in a temporary folder; skip where the data are absent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

HERE = Path(__file__).parent
DATA = HERE.parents[3] / "shared" / "data"
Rows = Literal["full", "reduced"]


def prepare(name: str, folder: Path, rows: Rows = "full") -> Path:
    """Copy `<name>.yaml` and its module into `folder`, write its `data/`, and return the policy's path.

    `reduced` gives Adult and HMDA fewer rows, so that the plain tests stay quick; the other sets are small anyway.
    """
    source = DATA / {"compas": "compas", "adult": "adult", "hmda": "hmda"}.get(name, "german_credit")
    if not source.is_dir():
        pytest.skip(f"the data set {source.name} is absent")
    (folder / "data").mkdir()
    WRITERS[name](source, folder / "data", rows)
    shutil.copy(HERE / "german.py", folder)
    return Path(shutil.copy(HERE / f"{name}.yaml", folder))


def _compas(source: Path, data: Path, rows: Rows) -> None:
    shutil.copy(source / "compas-scores-two-years.csv.gz", data / "compas.csv.gz")


def _adult(source: Path, data: Path, rows: Rows) -> None:
    train = pd.read_csv(source / "adult_train.csv.gz", dtype=str, keep_default_na=False)
    test = pd.read_csv(source / "adult_test.csv.gz", dtype=str, keep_default_na=False)
    test["income"] = test["income"].str.removesuffix(".")
    test = test.sample(frac=1.0, random_state=11)
    learned, held, last = (12_000, 8_000, None) if rows == "full" else (3_000, 4_000, 8_000)
    _write_csv(data, "adult", train.sample(n=learned, random_state=11), test.iloc[:held], test.iloc[held:last])


def _hmda(source: Path, data: Path, rows: Rows) -> None:
    table = pd.read_parquet(source / "hmda_2022_2024_sample.parquet").sample(n=20_000, random_state=11)
    learned, held, last = (8_000, 14_000, None) if rows == "full" else (3_000, 6_000, 10_000)
    for split, part in (("train", table[:learned]), ("reserve", table[learned:held]), ("evaluation", table[held:last])):
        part.to_parquet(data / f"hmda_{split}.parquet", index=False)


def _german(source: Path, data: Path, rows: Rows) -> None:
    table = pd.read_csv(source / "german_credit_decoded.csv", dtype=str, keep_default_na=False)
    table = table.sample(frac=1.0, random_state=11)
    _write_csv(data, "german", table.iloc[:450], table.iloc[450:700], table.iloc[700:])


def _write_csv(data: Path, name: str, train: pd.DataFrame, reserve: pd.DataFrame, evaluation: pd.DataFrame) -> None:
    for split, part in (("train", train), ("reserve", reserve), ("evaluation", evaluation)):
        part.to_csv(data / f"{name}_{split}.csv", index=False)


WRITERS = {
    "compas": _compas, "adult": _adult, "hmda": _hmda, "german_sklearn": _german, "german_xgboost": _german,
}  # fmt: skip
