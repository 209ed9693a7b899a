"""How many models a bank has: by a stated count of operations, never by the clock, so that reruns give the same bytes.

One model costs about 6 operations per parameter, record and pass (forward and backward), and every step of a batched
descent some work besides, whatever its size. `auto` takes as many models as BUDGET allows, at most MOST (of halves of
the pool MOST_OF_POOL); with fewer than LEAST an interval would say nothing, and the bank is left out with that reason.
Each kind of bank has the budget to itself.
"""

from __future__ import annotations

from typing import Final, Literal

from auditkit.bank.types import Kind, Size
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.types import Subject

BUDGET: Final = 2e11
"""Operations of the models that measure; about twenty seconds on one core. Models for fitting come on top."""
MOST: Final = 32
MOST_OF_POOL: Final = 256
"""A record's risk rests on the models with it against those without it: half of them each."""
HELD: Final = 4e6
"""Answers of a pool's models, models times records, that are kept as evidence at most."""
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
) -> tuple[Size | None, str]:
    """The bank's size and why it is so; None with the reason where it is left out.

    Args:
        subject: what would be retrained. pool: P, rows of the pool; each model learns from half of them.
        wanted: number of models that measure, or `auto`. fitting: models of the part for fitting, besides.
        kind: what the halves are of; of the pool no subset is repeated, because chance of training is part of what
            an attacker meets.
    """
    models, why = (wanted, "stated by the policy") if wanted != "auto" else _affordable(subject, pool, kind)
    if models < (1 if wanted != "auto" else LEAST):
        return None, why
    repeated = 0 if kind == "pool-halves" or deterministic(subject) else models // REPEATED
    return Size(fitting=fitting, measuring=models - repeated, repeated=repeated), why


def deterministic(subject: Subject) -> bool:
    """Whether the recipe draws nothing at random."""
    return isinstance(subject, TabularSubject) and subject.fitted.recipe.training.module == "logistic"


def _affordable(subject: Subject, pool: int, kind: Kind) -> tuple[int, str]:
    if subject.parameters is None:
        return 0, "the number of the model's parameters is not known, so neither is the work of retraining"
    each, shared = _operations(subject, subject.parameters, pool / 2)
    most = MOST_OF_POOL if kind == "pool-halves" else MOST
    held = max(LEAST, int(HELD / pool)) if kind == "pool-halves" else most
    models = min(most, held, int(max(0.0, BUDGET - shared) / each))
    if models < LEAST:
        need = each * LEAST + shared
        hint = "" if kind == "pool-halves" else "; state influence.fidelity-models to retrain all the same"
        return models, (
            f"{LEAST} models would take about {need:.0e} operations, and the budget is {BUDGET:.0e}{hint}"
        )
    limit = "the most that are taken by themselves" if models == most else f"what {BUDGET:.0e} operations allow"
    limit = f"what {HELD:.0e} kept answers allow" if models == held < most else limit
    return models, f"{models} models, {limit}"


def _operations(subject: Subject, parameters: int, rows: float) -> tuple[float, float]:
    """Operations of one model, and those of the bank besides."""
    if not isinstance(subject, TabularSubject):
        # Nothing is known of how the user's code trains, so the passes of auditkit's own default are taken.
        return 6.0 * parameters * rows * _PASSES, 0.0
    training = subject.fitted.recipe.training
    if training.module == "logistic":
        return 6.0 * parameters * 2 * rows * _NEWTON_PASSES, 0.0
    steps = training.epochs * max(1.0, rows / training.batch)
    return 6.0 * parameters * rows * training.epochs, _STEP * steps
