"""Training with differential privacy: DP-SGD through Opacus, every model of the bank by itself."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Final

import numpy as np
import torch

from auditkit.bank.signals import answers
from auditkit.bank.types import Bank, Plan
from auditkit.policy.remedies import DpSgd
from auditkit.policy.settings import Section
from auditkit.remedies import private
from auditkit.remedies.types import Material, Trial
from auditkit.result import Fact
from auditkit.subject.fitting import Batch, one_thread
from auditkit.subject.model import build

BUDGET: Final = 2e11
"""Operations of all private models together; some tens of seconds on one core."""
_STEP: Final = 2e7
"""Operations' worth of work of one of Opacus's steps, whatever its batch."""
NO_OPACUS: Final = "the library Opacus is not installed; install auditkit with its extra `dp`"


def propose(settings: Section | None, material: Material) -> Trial | str:
    """Private training on the same halves; nothing to try without Opacus or within the budget of operations."""
    stated = settings if isinstance(settings, DpSgd) else DpSgd()
    if find_spec("opacus") is None:
        return NO_OPACUS
    plan = material.bank.plan
    sizes = plan.masks.sum(axis=1)
    found = private.schedule(stated, int(sizes.min()))
    each = found.steps * (_STEP + 12.0 * (material.subject.parameters or 0) * found.expected)
    work = each * len(plan.masks)
    if work > BUDGET:
        return (
            f"{len(plan.masks)} models would take about {work:.0e} operations, and the budget is {BUDGET:.0e}; state "
            "fewer epochs, a larger batch or fewer models"
        )
    return Trial(
        what=f"DP-SGD at epsilon {stated.epsilon:g}: one-record gradients clipped to norm {stated.clip:g}, with noise.",
        train=partial(train, material, found),
        facts=_facts(found, int(np.median(sizes))),
        notes=_notes(material),
    )


def train(material: Material, schedule: private.Schedule, plan: Plan) -> Bank:
    """The models of a plan, one after another, and their answers; seeds as those without the remedy."""
    fitted, table, base = material.subject.fitted, material.table, material.bank
    inputs, labels = fitted.tensors(table.frame.iloc[plan.rows], table.label[plan.rows])
    batch = Batch(inputs, labels, torch.from_numpy(table.weights[plan.rows].astype(np.float64)))
    asked = fitted.tensors(table.frame.iloc[base.evaluation], np.nan_to_num(table.label[base.evaluation]))
    recipe, found = fitted.recipe.training, []
    with one_thread():
        for mask, seed in zip(torch.from_numpy(plan.masks), plan.seeds, strict=True):
            generator = torch.Generator().manual_seed(int(seed))
            module, own = build(fitted.encoding, recipe), batch.take(mask.nonzero().squeeze(1))
            found.append(private.descend(module, own, schedule, l2=recipe.l2, generator=generator))
        stack = {name: torch.stack([state[name] for state in found]) for name in found[0]}
        loss, score = answers(fitted.module, stack, *asked)
        loss_pool, score_pool = answers(fitted.module, stack, inputs, labels)
    return Bank(
        plan=plan, evaluation=base.evaluation, score_evaluation=score, loss_pool=loss_pool, score_pool=score_pool,
        loss_evaluation=np.where(np.isfinite(table.label[base.evaluation]), loss, np.nan), parameters=None,
        deterministic=False, recipe="Fitted by DP-SGD, one after another, on the audited model's encoding.",
    )  # fmt: skip


def _facts(found: private.Schedule, records: int) -> tuple[Fact, ...]:
    stated = found.settings
    rows = {
        "Epsilon, by the accountant": f"{found.epsilon:.3g} (target {stated.epsilon:g})",
        "Delta": f"{stated.delta:g}",
        "Unit of privacy": "one record, added or removed",
        "Accountant": "Rényi differential privacy (Opacus), an upper limit",
        "Sampling": f"Poisson: each of {records:,} records in a step with probability {found.rate:.3g}",
        "Steps": f"{found.steps:,} with {found.expected:,} records expected in each",
        "Clip": f"{stated.clip:g}, the largest norm of one record's gradient",
        "Noise multiplier": f"{found.noise:.3g}",
        "Learning rate": f"{stated.learning_rate:g}, falling to 0 along a cosine",
    }
    return tuple(Fact(name=name, value=value) for name, value in rows.items())


def _notes(material: Material) -> tuple[str, ...]:
    notes = [
        "Noise and samples are drawn from a seeded generator, so that the comparison repeats. A model for release has "
        "to be trained with a secure generator.",
        "Choosing settings by these figures costs privacy that the epsilon does not account for.",
        "The column encoding (means, scales, levels) was learned without noise and is not covered by the guarantee.",
    ]
    if material.persons is not None and len(np.unique(material.persons)) < len(material.persons):
        notes.append(
            "Some persons have several records. The guarantee is for each record: a person with r records has at most "
            "r times the epsilon, at a larger delta."
        )
    return tuple(notes)
