"""The audited model's training carried out once more, with checkpoints kept: what trajectory methods need.

The recipe, its seed and its rows decide every bit of a fit, so that the replay must end at the audited parameters;
where it does not (another version of a library, another processor), nothing is concluded from it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from auditkit.errors import ModelError
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitted import encode
from auditkit.subject.fitting import MOMENTUM, Batch, fit
from auditkit.subject.model import build
from auditkit.subject.types import Subject, Table

CHECKPOINTS = 10
"""At most so many are kept, evenly over the epochs, the last epoch among them."""

Checkpoint = tuple[dict[str, Tensor], float]
"""State dict, and the learning rate summed over the steps since the checkpoint before, over 1 - momentum."""


def replay(subject: Subject, table: Table) -> list[Checkpoint]:
    """Checkpoints of the audited model's training, in order.

    Raises:
        ModelError: not a network that auditkit trained by descent, or the replay ends at other parameters.
    """
    if not isinstance(subject, TabularSubject) or subject.fitted.recipe.training.module == "logistic":
        raise ModelError("only a network that auditkit trained by descent can have its training replayed")
    fitted = subject.fitted
    training = fitted.recipe.training
    if training.early_stopping:
        raise ModelError("training with early stopping goes back to an earlier epoch, so it has no single path")
    rows = table.rows("train")
    inputs = encode(fitted.encoding, training, table.frame.iloc[rows])
    weights = torch.from_numpy(table.weights[rows].astype(np.float64))
    batch = Batch(inputs, torch.from_numpy(table.label[rows]), weights)
    module, kept = build(fitted.encoding, training), []
    steps = math.ceil(len(batch) / training.batch)
    ends = {math.ceil((k + 1) * training.epochs / CHECKPOINTS) for k in range(CHECKPOINTS)}
    since = 0.0

    def watch(epoch: int) -> None:
        nonlocal since
        places = range(epoch * steps, (epoch + 1) * steps)
        since += sum(0.5 * (1 + math.cos(math.pi * k / (steps * training.epochs))) for k in places)
        if epoch + 1 in ends:
            state = {name: value.detach().clone() for name, value in module.state_dict().items()}
            kept.append((state, since * training.learning_rate / (1 - MOMENTUM)))
            since = 0.0

    fit(module, batch, training, torch.Generator().manual_seed(fitted.seed), watch=watch)
    audited = fitted.module.state_dict()
    if any(not torch.equal(value, audited[name]) for name, value in module.state_dict().items()):
        raise ModelError("the training, carried out again, ends at other parameters than those audited")
    return kept
