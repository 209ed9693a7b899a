"""A small lender on disk: files written by a test, a policy over them, the table read from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import DataError
from auditkit.policy.schema import Policy
from auditkit.subject.table import read_table
from auditkit.subject.types import Table

NUMERIC, CATEGORICAL = ["income", "amount"], ["purpose", "branch"]


def locate(*keys: str | int) -> str:
    return "policy.yaml:" + ".".join(map(str, keys))


def applications(n: int, seed: int, prefix: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"{prefix}{i:05d}" for i in range(n)],
            "person": [f"{prefix}p{i // 2:05d}" for i in range(n)],
            "income": np.round(rng.lognormal(10, 0.5, n), 2),
            "amount": rng.integers(500, 20_000, n).astype(float),
            "purpose": rng.choice(["car", "home", "travel"], n),
            "branch": rng.choice(["01", "02", "10"], n),
            "sex": rng.choice(["female", "male"], n, p=[0.4, 0.6]),
            "age": rng.integers(18, 80, n),
        }
    )
    odds = 1.5 * np.log(frame["income"] / 22_000) - 0.00008 * frame["amount"] + 1.0
    frame["repaid"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    frame.loc[rng.choice(n, n // 10, replace=False), "income"] = np.nan
    return frame


@dataclass
class Lender:
    folder: Path
    splits: tuple[str, ...] = ("train", "reserve", "evaluation")

    def write(self, **frames: pd.DataFrame | str | bytes) -> Lender:
        for name, content in frames.items():
            path = self.path(name)
            if isinstance(content, pd.DataFrame):
                content.to_csv(path, index=False)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def policy(self, *, data: dict[str, Any] | None = None, **changes: Any) -> Policy:
        stated: dict[str, Any] = {
            split: self.path(split) for split in self.splits if self.path(split).exists() or split == "evaluation"
        }
        stated |= {"id": "id", "label": {"column": "repaid", "favourable": 1, "means": "outcome"}}
        stated |= {"numeric": NUMERIC, "categorical": CATEGORICAL}
        stated |= data or {}
        whole: dict[str, Any] = {
            "auditkit": 1, "name": "test", "rules": [],
            "model": {"adapter": "tabular", "path": self.folder / "model"},
            "protected": {"sex": {"column": "sex", "groups": ["female", "male"]}},
        }  # fmt: skip
        return Policy.model_validate(
            whole | {"data": {key: value for key, value in stated.items() if value is not None}} | changes
        )

    def table(self, **changes: Any) -> Table:
        return read_table(self.policy(**changes), locate)

    def complaints(self, **changes: Any) -> list[str]:
        with pytest.raises(DataError) as caught:
            self.table(**changes)
        return [str(complaint) for complaint in caught.value.complaints]


@pytest.fixture
def lender(tmp_path: Path) -> Lender:
    """A folder without files yet."""
    return Lender(tmp_path)


@pytest.fixture
def book(tmp_path: Path) -> Lender:
    """A lender with 300 training, 200 reserve and 200 evaluation applications."""
    sizes = {"train": 300, "reserve": 200, "evaluation": 200}
    frames = {name: applications(n, seed, name[0]) for seed, (name, n) in enumerate(sizes.items())}
    return Lender(tmp_path).write(**frames)


@pytest.fixture
def make_applications() -> Callable[[int, int, str], pd.DataFrame]:
    return applications
