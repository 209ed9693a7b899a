"""How many models a bank has: by a stated count of operations, never by the clock, so that reruns give the same bytes.

One model costs about 6 operations per parameter, record and pass (forward and backward), and every step of a batched
descent some work besides, whatever its size; an estimator states its own figure (`subject.effort`). `auto`
takes as many models as the budget allows, at most MOST (of halves of the pool MOST_OF_POOL); with fewer than LEAST an
interval would say nothing, and the bank is left out with that reason. Each kind of bank has the budget to itself. A
policy states the budget as a time, which RATE turns into operations: on a slower machine it takes longer and gives the
same models.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from auditkit.bank.types import Kind, Size
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.types import Subject

RATE: Final = 1e10
"""Operations a second by which a stated time becomes a budget: one core, measured once and the same everywhere."""
BUDGET: Final = 20 * RATE
"""Operations of the models that measure; about twenty seconds on one core. Models for fitting come on top."""
MOST: Final = 32
MOST_OF_POOL: Final = 256
"""A record's risk rests on the models with it against those without it: half of them each."""
HELD: Final = 4e6
"""Answers of a pool's models, models times records, that are kept as evidence at most."""
MOST_HELD: Final = 4e7
"""The same where the policy states the number of models; 320 MB an array."""
LEAST: Final = 16
REPEATED: Final = 4
"""One model in this many learns a subset again with another seed, where a seed changes anything."""
_STEP = 2e7
_PASSES = 60
_NEWTON_PASSES = 14


def choose_size(
    subject: Subject,
    pool: int,
    wanted: Literal["auto"] | int,
    *,
    fitting: int = 0,
    kind: Kind = "train-halves",
    budget: float = BUDGET,
) -> tuple[Size | None, str]:
    """The bank's size and why it is so; None with the reason where it is left out.

    Args:
        subject: what would be retrained. pool: P, rows of the pool; each model learns from half of them.
        wanted: number of models that measure, or `auto`. fitting: models of the part for fitting, besides.
        kind: what the halves are of; of the pool no subset is repeated, because chance of training is part of what
            an attacker meets.
        budget: operations that `auto` may take.
    """
    models, why = _stated(pool, wanted, kind) if wanted != "auto" else _affordable(subject, pool, kind, budget)
    if models < (1 if wanted != "auto" else LEAST):
        return None, why
    repeated = 0 if kind == "pool-halves" or deterministic(subject) else models // REPEATED
    return Size(fitting=fitting, measuring=models - repeated, repeated=repeated), why


def operations_in(time: str) -> float:
    """Operations that a stated time stands for: `20 s`, `5 min`, `1 h`; by RATE, never by the clock."""
    number, unit = re.fullmatch(r"([0-9]+) ?(s|min|h)", time).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "min": 60, "h": 3600}[unit] * RATE


def deterministic(subject: Subject) -> bool:
    """Whether the recipe draws nothing at random."""
    return isinstance(subject, TabularSubject) and subject.fitted.recipe.training.module == "logistic"


def operations(subject: Subject, pool: int, models: int) -> float:
    """Operations of so many models on halves of the pool; 0 where nothing is known of them."""
    each, shared = _operations(subject, pool / 2) or (0.0, 0.0)
    return models * each + shared


def _stated(pool: int, models: int, kind: Kind) -> tuple[int, str]:
    """The number that the policy states; 0 where so many answers are not kept."""
    if kind == "train-halves" or models * pool <= MOST_HELD:
        return models, "stated by the policy"
    fit = int(MOST_HELD / pool)
    hint = f"state privacy.bank: {fit}" if fit >= LEAST else "give fewer records"
    return 0, (
        f"{models} models of {pool:,} records give {models * pool:.0e} answers, and at most {MOST_HELD:.0e} are kept; "
        f"{hint}"
    )


def _affordable(subject: Subject, pool: int, kind: Kind, budget: float) -> tuple[int, str]:
    work = _operations(subject, pool / 2)
    if work is None:
        return 0, (
            "the number of the model's parameters is not known, so neither is the work of retraining; "
            "state privacy.bank to retrain all the same"
        )
    each, shared = work
    most = MOST_OF_POOL if kind == "pool-halves" else MOST
    held = max(LEAST, int(HELD / pool)) if kind == "pool-halves" else most
    models = min(most, held, int(max(0.0, budget - shared) / each))
    if models < LEAST:
        need = each * LEAST + shared
        hint = "raise privacy.budget" if kind == "pool-halves" else "state influence.fidelity-models"
        return models, (
            f"{LEAST} models would take about {need:.0e} operations, and the budget is {budget:.0e}; {hint} to retrain "
            "all the same"
        )
    limit = "the most that are taken by themselves" if models == most else f"what {budget:.0e} operations allow"
    limit = f"what {HELD:.0e} kept answers allow" if models == held < most else limit
    return models, f"{models} models, {limit}"


def _operations(subject: Subject, rows: float) -> tuple[float, float] | None:
    """Operations of one model, and those of the bank besides; None where nothing is known."""
    if subject.work is not None:
        return subject.work(rows), 0.0
    if subject.parameters is None:
        return None
    if not isinstance(subject, TabularSubject):
        # Nothing is known of how the user's code trains, so the passes of auditkit's own default are taken.
        return 6.0 * subject.parameters * rows * _PASSES, 0.0
    training = subject.fitted.recipe.training
    if training.module == "logistic":
        return 6.0 * subject.parameters * 2 * rows * _NEWTON_PASSES, 0.0
    steps = training.epochs * max(1.0, rows / training.batch)
    return 6.0 * subject.parameters * rows * training.epochs, _STEP * steps
