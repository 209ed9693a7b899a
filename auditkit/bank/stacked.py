"""The bank of a tabular model: all of its models in one stack, fitted at once where the recipe allows it.

Tabular models are fitted on the *audited model's encoding*: means, scales and levels of all training rows. A refit
through `Subject.train` would fit the encoding on the half as well; against that, rows left out leave two traces here:
in the units of the numeric columns (which only the L2 penalty notices), and in columns of levels that the half never
has (whose weights stay at 0 or shrink towards it). This is also what influence predicts: its columns are fixed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.bank.descent import Stack, descend_all
from auditkit.bank.kept import kept
from auditkit.bank.newton import solve_all
from auditkit.bank.progress import Told
from auditkit.bank.selection import remaining, statement
from auditkit.bank.signals import answers
from auditkit.bank.size import deterministic
from auditkit.bank.types import Bank, Plan
from auditkit.pieces import Keep, Under
from auditkit.policy.schema import Training
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitted import Fitted
from auditkit.subject.fitting import Batch, DivergedError, fit
from auditkit.subject.model import Logistic, build
from auditkit.subject.types import Mask, Table


def tabular(subject: TabularSubject, table: Table, drawn: Plan, *, batched: bool, keep: Keep, told: Told) -> Bank:
    """Train a plan's models and take their answers; see `fit.train`."""
    fitted = subject.fitted
    inputs, labels = fitted.tensors(table.frame.iloc[drawn.rows], table.label[drawn.rows])
    batch = Batch(inputs, labels, torch.from_numpy(table.weights[drawn.rows].astype(np.float64)))
    stack, diverged, how = _stack(fitted, batch, drawn, batched=batched, keep=keep, told=told)
    left = remaining(drawn, diverged)
    stack = {name: value[torch.from_numpy(~diverged)] for name, value in stack.items()}
    evaluation = table.rows("evaluation")
    # Rows without a label have no loss; their answers to a label of 0 are taken out below.
    known = np.isfinite(table.label[evaluation])
    asked = fitted.tensors(table.frame.iloc[evaluation], np.nan_to_num(table.label[evaluation]))
    loss, score = answers(fitted.module, stack, *asked)
    loss_pool, score_pool = answers(fitted.module, stack, inputs, labels)
    return Bank(
        plan=left, evaluation=evaluation, loss_evaluation=np.where(known, loss, np.nan), score_evaluation=score,
        loss_pool=loss_pool, score_pool=score_pool,
        parameters=torch.cat([stack[name].flatten(1) for name, _ in fitted.module.named_parameters()], dim=1).numpy(),
        deterministic=deterministic(subject), diverged=int(diverged.sum()),
        recipe=f"Fitted {how}, on the audited model's encoding.{statement(diverged)}",
    )  # fmt: skip


def _stack(
    fitted: Fitted, batch: Batch, drawn: Plan, *, batched: bool, keep: Keep, told: Told
) -> tuple[Stack, Mask, str]:
    """The K models' parameters, which of them diverged, and how they were fitted."""
    training, masks = fitted.recipe.training, torch.from_numpy(drawn.masks)
    module, seeds = build(fitted.encoding, training), [int(seed) for seed in drawn.seeds]
    piece = f"bank/{drawn.kind}"
    if batched and isinstance(module, Logistic) and training.l2 > 0:
        start = torch.cat([p.detach().reshape(-1) for p in fitted.module.parameters()])

        def solved() -> dict[str, Tensor]:
            theta = solve_all(
                batch.inputs[0], batch.targets, batch.weights, masks, l2=training.l2, start=start, told=told
            )
            return {"linear.weight": theta[:, None, :-1], "linear.bias": theta[:, -1:]}

        return kept(keep, piece, solved), np.zeros(len(seeds), dtype=np.bool_), "to their optima, all at once"
    if batched and not isinstance(module, Logistic) and not training.early_stopping:
        how = "with the audited recipe, all at once, each with its own initial parameters and shuffles"
        stack, diverged = descend_all(module, batch, masks, training, seeds, keep=Under(keep, piece), told=told)
        return stack, diverged.numpy(), how
    found = []
    for k, seed in enumerate(seeds):
        alone = partial(_alone, module, batch.take(masks[k].nonzero().squeeze(1)), training, seed)
        found.append(kept(keep, f"{piece}/{k}", alone))
        told((k + 1) / len(seeds))
    ended = np.array([bool(state.pop(_DIVERGED)) for state in found])
    return {name: torch.stack([state[name] for state in found]) for name in found[0]}, ended, (
        "with the audited recipe, one after another"
    )


_DIVERGED = "diverged?"


def _alone(module: nn.Module, batch: Batch, training: Training, seed: int) -> dict[str, Tensor]:
    """One model's parameters, and whether it diverged."""
    try:
        fit(module, batch, training, torch.Generator().manual_seed(seed))
        ended = False
    except DivergedError:
        ended = True
    return {name: p.detach().clone() for name, p in module.named_parameters()} | {_DIVERGED: torch.tensor(ended)}
