"""Train a bank: the room's door.

- `logistic` with L2: all models at once, to their optima (`newton`).
- `mlp` without early stopping: all models at once, the audited recipe step by step (`descent`).
- the other tabular recipes: one after another, by the audited model's own fit.
- any other subject that can be trained (an estimator by `fit`, a module of the user's by its `train`): one after
  another through `Subject.train`.

A module of the user's is not stacked, though torch.func could: the python adapter's contract gives a module, its loss
and its penalty, but neither initial parameters nor steps, and models fitted by another recipe than the user's own
would speak of another model. The report's sentence on the bank says how its models were fitted.

Models that diverged are left out, with the count (`selection`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from auditkit.bank.plan import plan, pool
from auditkit.bank.progress import Told, untold
from auditkit.bank.single import one_after_another
from auditkit.bank.size import BUDGET, choose_size, deterministic, operations
from auditkit.bank.stacked import tabular
from auditkit.bank.types import Bank, Kind, Plan, Size
from auditkit.errors import ModelError, NumericsError
from auditkit.pieces import Keep, Nothing
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitting import one_thread
from auditkit.subject.types import Subject, Table

Wanted = Literal["auto"] | int
Fitting = Literal["none", "damping", "members"]
_NOWHERE = Nothing()


@dataclass(frozen=True)
class Intended:
    """A bank that can be made, before anything is trained."""

    kind: Kind
    size: Size | None
    """None where there will be none, and `why` says why."""
    why: str
    work: float = 0.0
    """Operations of all its models."""


def intend(
    subject: Subject,
    table: Table,
    *,
    kind: Kind = "train-halves",
    wanted: Wanted,
    fitting: Fitting = "none",
    budget: float = BUDGET,
) -> Intended:
    """How many models a bank will have and what work they are; nothing is drawn and nothing trained.

    Args:
        subject: the audited model. table: its data; every row of the pool needs a label.
        kind: `train-halves`, or `pool-halves` of training and reserve rows.
        wanted: number of models, or `auto` for the rule of `size`. budget: operations that `auto` may take.
        fitting: what models beside those that measure are for: as many again as members of an ensemble, half as many
            for choosing a damping (none where training draws nothing at random, which leaves nothing to choose).

    Raises:
        DataError: `pool-halves` has no reserve.
    """
    refusal = _refusal(subject, table, kind)
    if refusal:
        return Intended(kind, None, refusal)
    rows = len(pool(table, kind))
    size, why = choose_size(subject, rows, wanted, kind=kind, budget=budget)
    if size is None:
        return Intended(kind, None, why)
    besides = {"none": 0, "damping": 0 if deterministic(subject) else size.models // 2, "members": size.models}
    size = replace(size, fitting=besides[fitting])
    return Intended(kind, size, why, operations(subject, rows, size.models))


def make(
    subject: Subject,
    table: Table,
    *,
    kind: Kind = "train-halves",
    wanted: Wanted,
    generator: np.random.Generator,
    keep: Keep = _NOWHERE,
    fitting: Fitting = "none",
    budget: float = BUDGET,
) -> tuple[Bank | None, str]:
    """A bank on random halves of the training rows, or of the pool; or None and why there is none.

    Args: see `intend` and `carry_out`.

    Raises:
        DataError: too few persons to halve.
    """
    found = intend(subject, table, kind=kind, wanted=wanted, fitting=fitting, budget=budget)
    return carry_out(found, subject, table, generator=generator, keep=keep)


def carry_out(
    intended: Intended,
    subject: Subject,
    table: Table,
    *,
    generator: np.random.Generator,
    keep: Keep = _NOWHERE,
    told: Told = untold,
) -> tuple[Bank | None, str]:
    """The bank that was intended, or None and why: a model that cannot be fitted on a half leaves no bank.

    Args:
        intended: of this subject and table. generator: the only randomness.
        keep: where models are left as they are finished. told: hears what share of the work is done.

    Raises:
        DataError: too few persons to halve.
    """
    if intended.size is None:
        return None, intended.why
    drawn = plan(table, intended.kind, intended.size, generator)
    try:
        found = train(subject, table, drawn, keep=keep, told=told)
    except (NumericsError, ModelError) as error:
        return None, f"retraining failed: {error}"
    told(1.0)
    return found, intended.why


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


def train(
    subject: Subject, table: Table, drawn: Plan, *, batched: bool = True, keep: Keep = _NOWHERE, told: Told = untold
) -> Bank:
    """Train the models of a plan and take their answers.

    Args:
        subject: the audited model; can be trained. table: its data. drawn: who is in which subset.
        batched: all at once where the recipe allows it; False is one after another, for comparison.
        keep: where models are left as they are finished, under the plan's kind.
        told: hears what share of the work is done.

    Raises:
        NumericsError: a model did not converge, too many diverged, or an answer is not finite.
        ModelError: the subject cannot be trained on other rows.
    """
    with one_thread():
        if isinstance(subject, TabularSubject):
            return tabular(subject, table, drawn, batched=batched, keep=keep, told=told)
        return one_after_another(subject, table, drawn, keep=keep, told=told)
