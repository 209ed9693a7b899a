"""Planted records are marked as exposed and hardly any other: overfit networks of digits, of Adult, of a made world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.membership import Retrained
from tests.privacy.null_worlds import marks
from tests.privacy.retraining import Recipe, halves, trained

ADULT = Path(__file__).parents[2] / "../shared/data/adult/adult_train.csv.gz"
World = tuple[Tensor, Tensor, int, Recipe]
"""Inputs and labels of 2N records, training first; the planted count among them; the recipe."""


def digits(members: int) -> World:
    """Turned labels for 4 % of the training records, noise under a random label for 2 %."""
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    at = rng.permutation(len(labels))[: 2 * members]
    inputs, aims = images[at] / 16, labels[at].copy()
    flips, count = round(0.04 * members), round(0.06 * members)
    aims[:flips] = (aims[:flips] + rng.integers(1, 10, flips)) % 10
    inputs[flips:count] = rng.random((count - flips, 64))
    aims[flips:count] = rng.integers(0, 10, count - flips)
    return _tensors(inputs, aims, count, Recipe((64, 128, 10), epochs=40))


def made(members: int) -> World:
    """Heavy-tailed inputs; labels turned for 6 % of the training records, half of these stretched."""
    rng = np.random.default_rng(1)
    inputs = rng.standard_t(4, size=(2 * members, 20))
    labels = (inputs @ rng.normal(size=20) + rng.logistic(size=2 * members) > 0).astype(np.int64)
    count = round(0.06 * members)
    labels[:count] = 1 - labels[:count]
    inputs[: count // 2] *= 2.5
    return _tensors(inputs, labels, count, Recipe((20, 64, 2), epochs=60))


def adult(members: int) -> World:
    """Labels turned for 6 % of the training records."""
    if not ADULT.exists():
        pytest.skip("the Adult data are absent")
    frame = pd.read_csv(ADULT, skipinitialspace=True).sample(2 * members, random_state=0)
    answer = frame.pop(frame.columns[-1]).str.startswith(">50K").to_numpy().astype(np.int64)
    columns = pd.get_dummies(frame, dtype=float)
    columns = (columns - columns.mean()) / columns.std().replace(0, 1).clip(lower=0.1)
    count = round(0.06 * members)
    answer[:count] = 1 - answer[:count]
    return _tensors(columns.to_numpy(), answer, count, Recipe((columns.shape[1], 64, 2), epochs=30, rate=0.03))


def _tensors(inputs: np.ndarray, labels: np.ndarray, count: int, recipe: Recipe) -> World:
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels, dtype=torch.long), count, recipe


def figures(world: World, *, models: int, outside: int, audited: int) -> dict[str, float]:
    """Over audited models: of the marked, those with a held-out risk above 3/4; of these and the planted: found."""
    inputs, labels, count, recipe = world
    members = len(labels) // 2
    parts = [halves(inputs, labels, 32, recipe, seed=seed) for seed in range((models + outside) // 32)]
    every = [np.concatenate([getattr(part, name) for part in parts]) for name in ("margin", "inside")]
    bank, others = (Retrained(every[0][at], every[1][at]) for at in (slice(0, models), slice(models, None)))
    right = [(log_ratio(m, bank) > 0) == held for m, held in zip(others.margin, others.inside, strict=True)]
    exposed = np.mean(right, axis=0)[:members] > 0.75
    draw = torch.Generator().manual_seed(5)
    margins = trained(inputs, labels, torch.arange(members).repeat(audited, 1), recipe, draw)
    flags = [marks(bank, margin, members).flag for margin in margins]
    return {
        "marked": float(np.mean([flag.sum() for flag in flags])),
        "precision": float(np.mean([exposed[flag].mean() if flag.any() else 0.0 for flag in flags])),
        "recall": float(np.mean([flag[exposed].mean() for flag in flags])),
        "recall of the planted": float(np.mean([flag[:count].mean() for flag in flags])),
    }


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("world", [digits, adult, made], ids=lambda world: world.__name__)
def test_planted_records_are_marked(world: Callable[[int], World], record_property: Callable[[str, Any], None]) -> None:
    found = figures(world(800), models=64, outside=64, audited=4)
    for name, value in found.items():
        record_property(f"{world.__name__}, exposed records: {name}", round(value, 3))
    assert found["precision"] >= 0.95
    assert found["recall of the planted"] >= 0.45
    # Of the records whose risk, by models held out, lies above the threshold: the made world misses this by 0.008.
    assert found["recall"] >= 0.45


def test_planted_records_are_marked_in_a_small_world() -> None:
    found = figures(digits(250), models=32, outside=32, audited=2)
    assert found["precision"] >= 0.9 and found["recall of the planted"] >= 0.45
