"""A tabular model as fitted: encoding, module, recipe and how the fit ended; what `store` writes and reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from auditkit.errors import DataError, ModelError, PolicyError
from auditkit.policy.schema import Data, Training
from auditkit.subject.encode import Encoding, fit_encoding
from auditkit.subject.fitting import Batch, Fit, fit
from auditkit.subject.model import build, embeds
from auditkit.subject.types import Floats


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a fit besides the rows and the generator."""

    training: Training
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    weight: str | None
    """Column of sample weights; None weighs every record 1."""
    label: str
    favourable: str
    """The favourable value as text: a model trained for the other one must not be mistaken for this one."""

    @classmethod
    def of(cls, data: Data, training: Training) -> Recipe:
        """The recipe that a policy states."""
        return cls(training, data.numeric, data.categorical, data.weight, data.label.column, str(data.label.favourable))


@dataclass(frozen=True)
class Fitted:
    """A fitted model and where it came from."""

    recipe: Recipe
    encoding: Encoding
    module: nn.Module
    fit: Fit
    seed: int
    rows: int
    """Training rows."""
    training_data: str
    """sha256 of the training file; empty for a refit on other rows."""

    def tensors(self, frame: pd.DataFrame, label: Floats) -> tuple[tuple[Tensor, ...], Tensor]:
        """Frame [B] and labels [B] -> the module's inputs and targets [B], float64 (indices int64)."""
        targets = torch.from_numpy(np.ascontiguousarray(label, dtype=np.float64))
        return encode(self.encoding, self.recipe.training, frame), targets


def encode(encoding: Encoding, training: Training, frame: pd.DataFrame) -> tuple[Tensor, ...]:
    """The module's inputs: (x,), or (numbers, level indices) with embeddings."""
    encoding.require(frame)
    if embeds(training):
        return torch.from_numpy(encoding.numbers(frame)), torch.from_numpy(encoding.indices(frame))
    return (torch.from_numpy(encoding.one_hot(frame)),)


def fit_rows(
    recipe: Recipe, frame: pd.DataFrame, label: Floats, generator: torch.Generator, *, training_data: str = ""
) -> Fitted:
    """Fit encoding and module on these rows; with the same rows and generator state, the same bits.

    Args:
        recipe: features, weights, module and its settings.
        frame: training rows [N].
        label: [N] 1.0 favourable, 0.0 not.
        generator: the only randomness (`logistic` needs none).
        training_data: sha256 of the file the rows are from.

    Raises:
        PolicyError: early stopping is asked of `logistic`.
        DataError: there are no rows, or a label is not 0 or 1.
        ModelError: a feature is lacking or has no value.
        NumericsError: the fit did not converge.
    """
    if recipe.training.early_stopping and recipe.training.module == "logistic":
        raise PolicyError("model.training: early-stopping is for mlp; logistic is solved to its optimum")
    if not len(label):
        raise DataError("there are no training records to fit on")
    if not np.isin(label, (0.0, 1.0)).all():
        raise DataError("a training label is neither favourable (1) nor not (0)")
    named = [*recipe.numeric, *recipe.categorical, *([recipe.weight] if recipe.weight else [])]
    lacking = [name for name in named if name not in frame.columns]
    if lacking:
        raise ModelError(f"the training records lack the columns {', '.join(map(repr, lacking))}")
    seed = generator.initial_seed()
    encoding = fit_encoding(frame, numeric=recipe.numeric, categorical=recipe.categorical)
    weights = frame[recipe.weight].to_numpy(dtype=np.float64) if recipe.weight else np.ones(len(label))
    batch = Batch(encode(encoding, recipe.training, frame), torch.from_numpy(label), torch.from_numpy(weights))
    module = build(encoding, recipe.training)
    ended = fit(module, batch, recipe.training, generator)
    return Fitted(recipe, encoding, module, ended, seed, len(label), training_data)
