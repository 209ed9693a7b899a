"""A made-up audited model for the privacy room, as the keyword arguments of `assess`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.subject.types import Grouping, Predictions

World = dict[str, Any]


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return _world


def _world(
    seed: int, *, n: int = 600, k: int = 2400, m: int = 500, fit: float = 0.7, planted: int = 30
) -> dict[str, Any]:
    """Keyword arguments of assess for a made-up model: training losses are `fit` times those of other records."""
    rng = np.random.default_rng(seed)
    sizes = {"train": n, "reserve": k, "evaluation": m}
    truth = (rng.random(m) < 0.7).astype(float)
    influence = rng.chisquare(2, n)
    influence[:planted] += 200
    sex, age = rng.integers(-1, 2, n), rng.choice(3, n, p=[0.6, 0.35, 0.05])
    both = np.where(sex < 0, -1, sex * 3 + age)
    groupings = {
        "sex": Grouping("sex", ("female", "male"), sex, "male", True),
        "age": Grouping("age", ("18-39", "40-61", "62+"), age, "18-39", True),
        "sex x age": Grouping(
            "sex x age", tuple(f"{a} · {b}" for a in ("f", "m") for b in "abc"), both, "m · a", True, (), ("sex", "age")
        ),
    }
    return {
        "predictions": Predictions(
            decision=np.where(rng.random(m) < 0.8, truth, 1 - truth),
            score=rng.random(m),
            truth=truth,
            loss=rng.gamma(0.8, 0.5, m),
            loss_train=fit * rng.gamma(0.8, 0.5, n),
            loss_reserve=rng.gamma(0.8, 0.5, k),
        ),
        "train_labels": (rng.random(n) < 0.7).astype(float),
        "train_decisions": (rng.random(n) < 0.7).astype(float),
        "features": {
            name: pd.DataFrame({"x": rng.normal(0, 1, size), "c": rng.choice(["a", "b"], size)})
            for name, size in sizes.items()
        },
        "numeric": None,
        "persons": None,
        "groupings": groupings,
        "self_influence": influence,
        "no_self_influence": "",
        "reference": np.random.default_rng(seed + 2).chisquare(2, k),
        "settings": PrivacySettings(),
        "deployment": Deployment(),
        "minimum_cell": 10,
        "generator": np.random.default_rng(seed + 1),
    }
