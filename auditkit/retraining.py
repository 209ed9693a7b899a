"""The banks of one audit: which halves, how many models, in which order; and what the privacy part reads of them.

With a reserve there are two. Halves of the training records speak of removing training records, which is what influence
predicts; halves of training and reserve records together speak of membership. Without a reserve the first kind serves
both: its models learned from half of the training records each, so a record's risk under the recipe can be measured
(at half the size), and nothing can be tested on the audited model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from auditkit.bank.fit import Fitting, Intended, Wanted, carry_out, intend
from auditkit.bank.size import operations_in
from auditkit.bank.types import Bank, Kind
from auditkit.pieces import Keep, Under
from auditkit.policy.schema import Policy
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Subject, Table

Worked: TypeAlias = Callable[[float, float], None]
"""Hears how many operations of how many are done, over all banks of an audit."""


@dataclass(frozen=True)
class Banks:
    """Retrained models on both kinds of halves; None where there are none, and why."""

    halves: Bank | None
    no_halves: str
    pool: Bank | None
    no_pool: str


def banks(
    policy: Policy,
    subject: Subject,
    table: Table,
    generators: tuple[np.random.Generator, np.random.Generator],
    *,
    keep: Keep,
    worked: Worked,
) -> Banks:
    """Retrain what the policy asks for and the model allows.

    Args:
        policy, subject, table: one audit's. generators: of the halves of the training rows, and of the pool's.
        keep: where models are left as they are finished. worked: see `Worked`; it knows no clock.

    Raises:
        DataError: too few persons to halve.
    """
    halves, pool = (_intended(policy, subject, table, kind) for kind in ("train-halves", "pool-halves"))
    total = halves.work + pool.work

    def told(before: float, work: float) -> Callable[[float], None]:
        return lambda share: worked(before + share * work, total)

    first = carry_out(
        halves, subject, table, generator=generators[0], keep=keep, told=told(0.0, halves.work)
    )
    second = carry_out(
        pool, subject, table, generator=generators[1], keep=Under(keep, "pool"), told=told(halves.work, pool.work)
    )
    return Banks(*first, *second)


def _intended(policy: Policy, subject: Subject, table: Table, kind: Kind) -> Intended:
    if policy.privacy.bank == "none":
        return Intended(kind, None, "the policy asks for no retrained models (privacy.bank: none)")
    budget, reserve = operations_in(policy.privacy.budget), len(table.rows("reserve")) > 0
    if kind == "pool-halves":
        return intend(subject, table, kind=kind, wanted=policy.privacy.bank, budget=budget)
    if subject.gradient is None and reserve:
        return Intended(kind, None, "influence cannot be computed for this model")
    wanted: Wanted = policy.influence.fidelity_models
    if not reserve and wanted == "auto":
        wanted = policy.privacy.bank
    return intend(subject, table, kind=kind, wanted=wanted, fitting=_fitting(policy, subject), budget=budget)


def _fitting(policy: Policy, subject: Subject) -> Fitting:
    """What models beside those that measure fidelity are for."""
    if subject.gradient is None:
        return "none"
    if policy.influence.estimator == "ensemble":
        return "members"
    chosen = policy.influence.damping == "auto" and policy.influence.estimator != "tracin"
    return "damping" if chosen else "none"


def retrained(table: Table, found: Banks) -> Retrained | None:
    """The models that membership is measured on, training rows first; without a reserve those of training halves."""
    train, reserve = table.rows("train"), table.rows("reserve")
    if found.pool is not None:
        at = np.searchsorted(found.pool.plan.rows, np.concatenate([train, reserve]))
        pool = found.pool
        return Retrained(margin=pool.margin_pool[:, at], inside=pool.plan.masks[:, at], recipe=pool.recipe)
    if found.halves is None or len(reserve):
        return None
    # One model a subset: two of the same rows would be one draw of who is inside, counted twice.
    once = np.unique(found.halves.plan.subset, return_index=True)[1]
    at = np.searchsorted(found.halves.plan.rows, train)
    margin, inside = found.halves.margin_pool[np.ix_(once, at)], found.halves.plan.masks[np.ix_(once, at)]
    return Retrained(margin=margin, inside=inside, reserve=False, recipe=found.halves.recipe)
