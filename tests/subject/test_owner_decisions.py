"""What a model decides through auditkit is what it decides for its owner, whatever its columns hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import AuditError
from auditkit.policy.load import from_mapping
from auditkit.subject.open import bring
from auditkit.subject.predict import predict
from auditkit.subject.reading import hold
from auditkit.subject.table import read_table, table_of
from auditkit.subject.types import Predictions
from tests.subject import owners

N = 150
KINDS = [*owners.MODELS, "torch"]


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


def through_files(model: Any, paths: dict[str, Path], name: str = "", **data: Any) -> Predictions:
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


@pytest.mark.parametrize("kind", list(owners.COLUMNS))
def test_every_model_decides_as_for_its_owner(kind: str, tmp_path: Path) -> None:
    """Twenty-five kinds of model on one kind of column: as frames, as CSV and as Parquet."""
    frames = {"train": owners.frame(kind, N, 1), "evaluation": owners.frame(kind, N, 2)}
    wrong: list[str] = []
    compared = 0
    for name in KINDS:
        if name == "lightgbm":
            pytest.importorskip("lightgbm", reason="lightgbm is not installed")
        model = owners.owned(name, frames["train"])
        if model is not None:
            compared += same(model, frames["evaluation"], lambda m=model, k=name: through_frames(m, frames, k),
                             f"{name}, frames", wrong)  # fmt: skip
    for medium in ("csv", "parquet"):
        paths = written(tmp_path, medium, frames)
        if paths is None:
            continue
        train, rows = read(paths["train"]), read(paths["evaluation"])
        for name in KINDS:
            model = owners.owned(name, train)
            if model is not None:
                compared += same(model, rows, lambda m=model, p=paths, k=name: through_files(m, p, k),
                                 f"{name}, {medium}", wrong)  # fmt: skip
    assert not wrong, "\n".join(wrong)
    assert compared >= 20
