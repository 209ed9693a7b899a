"""Train a bank: the room's door.

- `logistic` with L2: all models at once, to their optima (`newton`).
- `mlp` without early stopping: all models at once, the audited recipe step by step (`descent`).
- the other tabular recipes: one after another, by the audited model's own fit.
- any other subject that can be trained: one after another through `Subject.train`.

Tabular models are fitted on the *audited model's encoding*: means, scales and levels of all training rows. A refit
through `Subject.train` would fit the encoding on the half as well; against that, rows left out leave two traces here: in
the units of the numeric columns (which only the L2 penalty notices), and in columns of levels that the half never has
(whose weights stay at 0 or where they started). This is also what influence predicts: its columns are fixed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.bank.descent import Stack, descend_all
from auditkit.bank.newton import solve_all
from auditkit.bank.plan import plan
from auditkit.bank.signals import answers, checked
from auditkit.bank.size import choose_size, deterministic
from auditkit.bank.types import Bank, Plan
from auditkit.errors import NumericsError
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitting import Batch, fit, one_thread
from auditkit.subject.model import Logistic, build
from auditkit.subject.types import Floats, Ints, Subject, Table

Wanted = Literal["auto"] | int


def make(
    subject: Subject, table: Table, *, wanted: Wanted, generator: np.random.Generator
) -> tuple[Bank | None, str]:
    """A bank on random halves of the training rows, or None and why there is none.

    Args:
        subject: the audited model. table: its data; every training row needs a label.
        wanted: number of models, or `auto` for the rule of `size`. generator: the only randomness.

    Raises:
        DataError: too few persons to halve.
        AuditError: from a subject's own training.
    """
    if subject.train is None:
        return None, "the model cannot be retrained: its adapter gives no way to fit it on other records"
    if subject.loss is None or subject.score is None:
        return None, "the model gives no scores"
    rows = table.rows("train")
    if not np.isfinite(table.label[rows]).all():
        return None, "some training records have no label"
    size, why = choose_size(subject, len(rows), wanted)
    if size is None:
        return None, why
    try:
        return train(subject, table, plan(table, "train-halves", size, generator)), why
    except NumericsError as error:
        return None, f"retraining failed: {error}"


def train(subject: Subject, table: Table, drawn: Plan, *, batched: bool = True) -> Bank:
    """Train the models of a plan and take their answers.

    Args:
        subject: the audited model; can be trained. table: its data. drawn: who is in which subset.
        batched: all at once where the recipe allows it; False is one after another, for comparison.

    Raises:
        NumericsError: a model did not converge, or an answer is not finite.
        ModelError: the subject cannot be trained on other rows.
    """
    with one_thread():
        if isinstance(subject, TabularSubject):
            return _tabular(subject, table, drawn, batched=batched)
        return _one_after_another(subject, table, drawn)


def _tabular(subject: TabularSubject, table: Table, drawn: Plan, *, batched: bool) -> Bank:
    fitted, gradient = subject.fitted, subject.gradient
    assert gradient is not None  # noqa: S101 - a tabular subject always has one
    training = fitted.recipe.training
    inputs, labels = fitted.tensors(table.frame.iloc[drawn.rows], table.label[drawn.rows])
    batch = Batch(inputs, labels, torch.from_numpy(table.weights[drawn.rows].astype(np.float64)))
    masks, module = torch.from_numpy(drawn.masks), build(fitted.encoding, training)
    if batched and isinstance(module, Logistic) and training.l2 > 0:
        start = torch.cat([p.detach().reshape(-1) for p in fitted.module.parameters()])
        theta = solve_all(inputs[0], labels, batch.weights, masks, l2=training.l2, start=start)
        stack: Stack = {"linear.weight": theta[:, None, :-1], "linear.bias": theta[:, -1:]}
        how = "to their optima, all at once"
    elif batched and not isinstance(module, Logistic) and not training.early_stopping:
        stack = descend_all(module, batch, masks, training, [int(seed) for seed in drawn.seeds])
        how = "with the audited recipe, all at once, each with its own initial parameters and shuffles"
    else:
        stack = _fitted_one_by_one(subject, module, batch, masks, drawn.seeds)
        how = "with the audited recipe, one after another"
    evaluation = table.rows("evaluation")
    # Rows without a label have no loss; their answers to a label of 0 are taken out below.
    known = np.isfinite(table.label[evaluation])
    asked = fitted.tensors(table.frame.iloc[evaluation], np.nan_to_num(table.label[evaluation]))
    loss, score = answers(gradient, stack, *asked)
    loss_pool, score_pool = answers(gradient, stack, inputs, labels)
    parameters = torch.cat([value.flatten(1) for value in stack.values()], dim=1).numpy()
    recipe = f"Fitted {how}, on the audited model's encoding."
    return Bank(
        drawn, evaluation, np.where(known, loss, np.nan), score, loss_pool, score_pool, parameters,
        deterministic(subject), recipe,
    )  # fmt: skip


def _fitted_one_by_one(
    subject: TabularSubject, module: nn.Module, batch: Batch, masks: Tensor, seeds: Ints
) -> Stack:
    training, found = subject.fitted.recipe.training, []
    for mask, seed in zip(masks, seeds, strict=True):
        fit(module, batch.take(mask.nonzero().squeeze(1)), training, torch.Generator().manual_seed(int(seed)))
        found.append({name: p.detach().clone() for name, p in module.named_parameters()})
    return {name: torch.stack([state[name] for state in found]) for name in found[0]}


def _one_after_another(subject: Subject, table: Table, drawn: Plan) -> Bank:
    evaluation = table.rows("evaluation")
    known = np.isfinite(table.label[evaluation])
    columns: list[tuple[Floats, Floats, Floats, Floats]] = []
    for mask, seed in zip(drawn.masks, drawn.seeds, strict=True):
        rows = drawn.rows[mask]
        again = subject.train(table.frame.iloc[rows], table.label[rows], torch.Generator().manual_seed(int(seed)))
        on_evaluation = _asked(again, table, evaluation)
        columns.append((*on_evaluation, *_asked(again, table, drawn.rows)))
    loss, score, loss_pool, score_pool = (checked(np.stack(column)) for column in zip(*columns, strict=True))
    recipe = "Fitted one after another by the subject's own training."
    return Bank(drawn, evaluation, np.where(known, loss, np.nan), score, loss_pool, score_pool, None, False, recipe)


def _asked(subject: Subject, table: Table, rows: Ints) -> tuple[Floats, Floats]:
    """Losses and scores [B] of one model; a row without a label is asked as one of label 0."""
    frame = table.frame.iloc[rows]
    return subject.loss(frame, np.nan_to_num(table.label[rows])), subject.score(frame)
