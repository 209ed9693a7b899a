"""Worlds in which each person has ten near-identical records, and models trained on random halves of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from auditkit.bank.plan import half
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Floats, Ints, Mask
from tests.privacy.retraining import Recipe, trained

ROWS = 10
WIDTH = 40
RECIPE = Recipe((WIDTH, 32, 2), epochs=40, rate=0.05)


@dataclass(frozen=True)
class People:
    """Records [P] of persons: a person's own features and label, with little noise from record to record."""

    inputs: torch.Tensor
    labels: torch.Tensor
    persons: Ints

    def retrained(self, models: int, *, by_row: bool, seed: int) -> Retrained:
        """Models on exact halves of the records, drawn by record or by person as the bank draws them."""
        rng = np.random.default_rng(seed)
        unit = np.arange(len(self.persons)) if by_row else self.persons
        masks = np.stack([half(unit, rng) for _ in range(models)])
        return Retrained(self.margins(masks, seed=seed), masks)

    def margins(self, masks: Mask, *, seed: int) -> Floats:
        """Margin logits [K, P] of every record under models trained on the rows that `masks` [K, P] names."""
        rows = torch.from_numpy(np.stack([np.flatnonzero(mask) for mask in masks]))
        return trained(self.inputs, self.labels, rows, RECIPE, torch.Generator().manual_seed(seed))


def people(count: int, *, seed: int, rows: int = ROWS, noise: float = 0.05) -> People:
    """Persons whose label has little to do with their features, so that the model has to learn them by heart."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(count, WIDTH))
    label = (own[:, 0] + 1.5 * rng.normal(size=count) > 0).astype(np.int64)
    persons = np.repeat(np.arange(count), rows)
    inputs = own[persons] + noise * rng.normal(size=(len(persons), WIDTH))
    return People(torch.tensor(inputs, dtype=torch.float32), torch.from_numpy(label[persons]), persons)
