"""The bank of any subject that can be trained: one model after another through `Subject.train`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from auditkit.bank.kept import kept
from auditkit.bank.progress import Told
from auditkit.bank.selection import remaining, statement
from auditkit.bank.signals import checked
from auditkit.bank.types import Bank, Plan
from auditkit.errors import ModelError
from auditkit.pieces import Keep
from auditkit.subject.fitting import DivergedError
from auditkit.subject.inputs import inputs
from auditkit.subject.predict import losses, scores
from auditkit.subject.types import Subject, Table

_DIVERGED = "diverged?"


def one_after_another(subject: Subject, table: Table, drawn: Plan, *, keep: Keep, told: Told) -> Bank:
    """Train a plan's models by the subject's own training and take their answers; see `fit.train`."""
    if subject.train is None:
        raise ModelError("the model cannot be retrained: its adapter gives no way to fit it on other records")
    evaluation = table.rows("evaluation")
    asked = np.concatenate([evaluation, drawn.rows])
    found = []
    for k in range(len(drawn.masks)):
        found.append(kept(keep, f"bank/{drawn.kind}/{k}", partial(_answers, subject, table, drawn, asked, k)))
        told((k + 1) / len(drawn.masks))
    diverged = np.array([bool(one[_DIVERGED]) for one in found])
    left = remaining(drawn, diverged)
    stays = np.flatnonzero(~diverged)
    loss, score = (checked(np.stack([found[k][name].numpy() for k in stays])) for name in ("loss", "score"))
    m = len(evaluation)
    loss[:, np.flatnonzero(~np.isfinite(table.label[evaluation]))] = np.nan
    return Bank(
        plan=left, evaluation=evaluation, loss_evaluation=loss[:, :m], score_evaluation=score[:, :m],
        loss_pool=loss[:, m:], score_pool=score[:, m:], parameters=None, deterministic=False,
        recipe=f"Fitted one after another by the subject's own training.{statement(diverged)}",
        diverged=int(diverged.sum()),
    )  # fmt: skip


def _answers(
    subject: Subject, table: Table, drawn: Plan, asked: np.ndarray[tuple[int], np.dtype[np.int64]], k: int
) -> dict[str, Tensor]:
    """Losses and scores of one model on the rows asked, and whether it diverged (then there are none)."""
    rows, generator = drawn.rows[drawn.masks[k]], torch.Generator().manual_seed(int(drawn.seeds[k]))
    assert subject.train is not None  # noqa: S101 - `one_after_another` has answered for a model without training
    try:
        again = subject.train(inputs(subject, table, rows), table.label[rows], generator)
    except DivergedError:
        return {_DIVERGED: torch.tensor(True)}
    if again.loss is None or again.score is None:
        raise ModelError("the retrained model gives no scores")
    # Asked of the same frames as the audited model.
    again = replace(again, views=subject.views, whole_split=subject.whole_split)
    loss, score = torch.from_numpy(losses(again, table, asked)), torch.from_numpy(scores(again, table, asked))
    return {_DIVERGED: torch.tensor(False), "loss": loss, "score": score}
