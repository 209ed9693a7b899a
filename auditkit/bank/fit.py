"""Train a bank: the room's door.

- `logistic` with L2: all models at once, to their optima (`newton`).
- `mlp` without early stopping: all models at once, the audited recipe step by step (`descent`).
- the other tabular recipes: one after another, by the audited model's own fit.
- any other subject that can be trained: one after another through `Subject.train`.

Tabular models are fitted on the *audited model's encoding*: means, scales and levels of all training rows. A refit
through `Subject.train` would fit the encoding on the half as well; against that, rows left out leave two traces here:
in the units of the numeric columns (which only the L2 penalty notices), and in columns of levels that the half never
has (whose weights stay at 0 or shrink towards it). This is also what influence predicts: its columns are fixed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from auditkit.bank.descent import Stack, descend_all
from auditkit.bank.kept import kept
from auditkit.bank.newton import solve_all
from auditkit.bank.plan import plan, pool
from auditkit.bank.signals import answers, checked
from auditkit.bank.size import choose_size, deterministic
from auditkit.bank.types import Bank, Kind, Plan
from auditkit.errors import ModelError, NumericsError
from auditkit.pieces import Keep, Nothing, Under
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitted import Fitted
from auditkit.subject.fitting import Batch, fit, one_thread
from auditkit.subject.model import Logistic, build
from auditkit.subject.types import Subject, Table

Wanted = Literal["auto"] | int
Fitting = Literal["none", "damping", "members"]
_NOWHERE = Nothing()


def make(
    subject: Subject,
    table: Table,
    *,
    kind: Kind = "train-halves",
    wanted: Wanted,
    generator: np.random.Generator,
    keep: Keep = _NOWHERE,
    fitting: Fitting = "none",
) -> tuple[Bank | None, str]:
    """A bank on random halves of the training rows, or of the pool; or None and why there is none.

    Args:
        subject: the audited model. table: its data; every row of the pool needs a label.
        kind: `train-halves`, or `pool-halves` of training and reserve rows.
        wanted: number of models, or `auto` for the rule of `size`. generator: the only randomness.
        keep: where models are left as they are finished.
        fitting: what models beside those that measure are for: as many again as members of an ensemble, half as many
            for choosing a damping (none where training draws nothing at random, which leaves nothing to choose).

    Raises:
        DataError: too few persons to halve.
        AuditError: from a subject's own training.
    """
    refusal = _refusal(subject, table, kind)
    if refusal:
        return None, refusal
    size, why = choose_size(subject, len(pool(table, kind)), wanted, kind=kind)
    if size is None:
        return None, why
    besides = {"none": 0, "damping": 0 if deterministic(subject) else size.models // 2, "members": size.models}
    size = replace(size, fitting=besides[fitting])
    try:
        return train(subject, table, plan(table, kind, size, generator), keep=keep), why
    except NumericsError as error:
        return None, f"retraining failed: {error}"


def _refusal(subject: Subject, table: Table, kind: Kind) -> str:
    """Why this model or this table allows no bank; empty where it does."""
    if subject.train is None:
        return "the model cannot be retrained: its adapter gives no way to fit it on other records"
    if subject.loss is None or subject.score is None:
        return "the model gives no scores"
    if kind == "pool-halves" and not len(table.rows("reserve")):
        return "the policy names no reserve, so no record is known that the audited model never saw"
    if not np.isfinite(table.label[pool(table, kind)]).all():
        return f"some {'training or reserve' if kind == 'pool-halves' else 'training'} records have no label"
    return ""


def train(subject: Subject, table: Table, drawn: Plan, *, batched: bool = True, keep: Keep = _NOWHERE) -> Bank:
    """Train the models of a plan and take their answers.

    Args:
        subject: the audited model; can be trained. table: its data. drawn: who is in which subset.
        batched: all at once where the recipe allows it; False is one after another, for comparison.
        keep: where models are left as they are finished, under the plan's kind.

    Raises:
        NumericsError: a model did not converge, or an answer is not finite.
        ModelError: the subject cannot be trained on other rows.
    """
    with one_thread():
        if isinstance(subject, TabularSubject):
            return _tabular(subject, table, drawn, batched=batched, keep=keep)
        return _one_after_another(subject, table, drawn, keep)


def _tabular(subject: TabularSubject, table: Table, drawn: Plan, *, batched: bool, keep: Keep) -> Bank:
    fitted = subject.fitted
    inputs, labels = fitted.tensors(table.frame.iloc[drawn.rows], table.label[drawn.rows])
    batch = Batch(inputs, labels, torch.from_numpy(table.weights[drawn.rows].astype(np.float64)))
    stack, how = _stack(fitted, batch, drawn, batched=batched, keep=keep)
    evaluation = table.rows("evaluation")
    # Rows without a label have no loss; their answers to a label of 0 are taken out below.
    known = np.isfinite(table.label[evaluation])
    asked = fitted.tensors(table.frame.iloc[evaluation], np.nan_to_num(table.label[evaluation]))
    loss, score = answers(fitted.module, stack, *asked)
    loss_pool, score_pool = answers(fitted.module, stack, inputs, labels)
    return Bank(
        plan=drawn, evaluation=evaluation, loss_evaluation=np.where(known, loss, np.nan), score_evaluation=score,
        loss_pool=loss_pool, score_pool=score_pool,
        parameters=torch.cat([value.flatten(1) for value in stack.values()], dim=1).numpy(),
        deterministic=deterministic(subject), recipe=f"Fitted {how}, on the audited model's encoding.",
    )  # fmt: skip


def _stack(fitted: Fitted, batch: Batch, drawn: Plan, *, batched: bool, keep: Keep) -> tuple[Stack, str]:
    """The K models' parameters, and how they were fitted."""
    training, masks = fitted.recipe.training, torch.from_numpy(drawn.masks)
    module, seeds = build(fitted.encoding, training), [int(seed) for seed in drawn.seeds]
    piece = f"bank/{drawn.kind}"
    if batched and isinstance(module, Logistic) and training.l2 > 0:
        start = torch.cat([p.detach().reshape(-1) for p in fitted.module.parameters()])

        def solved() -> dict[str, Tensor]:
            theta = solve_all(batch.inputs[0], batch.targets, batch.weights, masks, l2=training.l2, start=start)
            return {"linear.weight": theta[:, None, :-1], "linear.bias": theta[:, -1:]}

        return kept(keep, piece, solved), "to their optima, all at once"
    if batched and not isinstance(module, Logistic) and not training.early_stopping:
        how = "with the audited recipe, all at once, each with its own initial parameters and shuffles"
        return descend_all(module, batch, masks, training, seeds, keep=Under(keep, piece)), how

    def fitted_alone(k: int) -> dict[str, Tensor]:
        rows = masks[k].nonzero().squeeze(1)
        fit(module, batch.take(rows), training, torch.Generator().manual_seed(seeds[k]))
        return {name: p.detach().clone() for name, p in module.named_parameters()}

    found = [kept(keep, f"{piece}/{k}", partial(fitted_alone, k)) for k in range(len(seeds))]
    stack = {name: torch.stack([state[name] for state in found]) for name in found[0]}
    return stack, "with the audited recipe, one after another"


def _one_after_another(subject: Subject, table: Table, drawn: Plan, keep: Keep) -> Bank:
    if subject.train is None:
        raise ModelError("the model cannot be retrained: its adapter gives no way to fit it on other records")
    evaluation = table.rows("evaluation")
    asked = np.concatenate([evaluation, drawn.rows])
    frame, label = table.frame.iloc[asked], np.nan_to_num(table.label[asked])
    train = subject.train

    def answers_of(k: int) -> dict[str, Tensor]:
        rows, seed = drawn.rows[drawn.masks[k]], int(drawn.seeds[k])
        again = train(table.frame.iloc[rows], table.label[rows], torch.Generator().manual_seed(seed))
        if again.loss is None or again.score is None:
            raise ModelError("the retrained model gives no scores")
        return {"loss": torch.from_numpy(again.loss(frame, label)), "score": torch.from_numpy(again.score(frame))}

    found = [kept(keep, f"bank/{drawn.kind}/{k}", partial(answers_of, k)) for k in range(len(drawn.masks))]
    losses, scores = ([one[name].numpy() for one in found] for name in ("loss", "score"))
    loss, score = checked(np.stack(losses)), checked(np.stack(scores))
    m = len(evaluation)
    loss[:, np.flatnonzero(~np.isfinite(table.label[evaluation]))] = np.nan
    return Bank(
        plan=drawn, evaluation=evaluation, loss_evaluation=loss[:, :m], score_evaluation=score[:, :m],
        loss_pool=loss[:, m:], score_pool=score[:, m:], parameters=None, deterministic=False,
        recipe="Fitted one after another by the subject's own training.",
    )  # fmt: skip
