"""One remedy on pairs of models: trained on the same halves, asked the same questions, compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from auditkit.bank.types import Bank
from auditkit.privacy import risk
from auditkit.privacy.disclosure import isolates, published_rate
from auditkit.privacy.membership import Retrained
from auditkit.remedies import changes
from auditkit.remedies.people import People, fairness_changes
from auditkit.remedies.recipe import trained_without
from auditkit.remedies.types import Material, Trial
from auditkit.result import Change, Estimate, Onion
from auditkit.subject.types import Mask

AVERAGE: Final = "remedies.average_risk"
AUC: Final = "remedies.attack_auc"
TARGETS: Final = 16
"""Models that are attacked in turn, at most."""


@dataclass(frozen=True)
class Sides:
    """Models without and with the remedy, in the same order; on the records that both learn from."""

    before: Bank
    after: Bank
    kept: Mask
    """[P] pool rows that no side leaves out."""


@dataclass(frozen=True)
class Verified:
    """What changed, and who is exposed next where that is asked."""

    models: int
    changes: tuple[Change, ...]
    onion: Onion | None = None


def verify(trial: Trial, material: Material, people: People, *, threshold: float, level: float) -> Verified:
    """Train with the remedy and compare.

    Args:
        trial: the remedy. material: the models without it. people: evaluation records.
        threshold: the policy's risk threshold. level: coverage of each interval.

    Raises:
        AuditError: from training with the remedy.
    """
    sides = paired(material.bank, trial.train(material.bank.plan), trial.removed)
    rows = (_risk(sides, material, level=level), _auc(sides, level=level))
    fair = fairness_changes(people, sides.before.score_evaluation, sides.after.score_evaluation)
    onion = None
    if trial.onion and trial.removed is not None:
        onion = _onion(sides, trial.removed, material, threshold=threshold, level=level)
    return Verified(len(sides.before.plan.masks), (*rows, *fair), onion)


def paired(before: Bank, after: Bank, removed: Mask | None = None) -> Sides:
    """Both sides' models in the same order; a model that one side lacks, because it diverged, is left out of both."""
    same = np.intersect1d(before.plan.seeds, after.plan.seeds)
    chosen = [_of(bank, np.flatnonzero(np.isin(bank.plan.seeds, same))) for bank in (before, after)]
    kept = np.ones(len(before.plan.rows), dtype=np.bool_) if removed is None else ~removed
    return Sides(chosen[0], chosen[1], kept)


def first(bank: Bank, models: int) -> Bank:
    """The bank's first models."""
    return _of(bank, np.arange(min(models, len(bank.plan.masks))))


def known(bank: Bank, rows: Mask) -> Retrained:
    """What the models say of some pool rows [P]."""
    return Retrained(margin=bank.margin_pool[:, rows], inside=bank.plan.masks[:, rows])


def _of(bank: Bank, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Bank:
    plan = bank.plan
    return replace(
        bank,
        plan=replace(
            plan, masks=plan.masks[at], subset=plan.subset[at], measuring=plan.measuring[at], seeds=plan.seeds[at]
        ),
        loss_evaluation=bank.loss_evaluation[at], score_evaluation=bank.score_evaluation[at],
        loss_pool=bank.loss_pool[at], score_pool=bank.score_pool[at],
        parameters=None if bank.parameters is None else bank.parameters[at],
    )  # fmt: skip


def _risk(sides: Sides, material: Material, *, level: float) -> Change:
    rows = sides.kept & material.training
    before, after, change = changes.risks(known(sides.before, rows), known(sides.after, rows), level=level)
    return Change(measure=AVERAGE, unit="score", before=before, after=after, change=change)


def _auc(sides: Sides, *, level: float) -> Change:
    targets = range(min(TARGETS, len(sides.before.plan.masks)))
    values = [changes.attacked(known(bank, sides.kept), targets) for bank in (sides.before, sides.after)]
    told = [changes.over_pairs(value, level=level) for value in (*values, values[1] - values[0])]
    return Change(measure=AUC, unit="score", before=told[0], after=told[1], change=told[2])


def _onion(sides: Sides, removed: Mask, material: Material, *, threshold: float, level: float) -> Onion:
    """Who passes the threshold among those that stay, beside the same after removing as many at random.

    Chance alone moves records over a threshold; the control says how many, on the same halves.
    """
    control = _at_random(removed, material)
    without = paired(material.bank, trained_without(material, control)(material.bank.plan), removed | control)
    both = sides.kept & without.kept & material.training
    seed = int(material.generator.integers(2**62))
    low = [
        risk.measure(known(bank, both), level=level, generator=np.random.default_rng(seed)).low
        for bank in (sides.before, sides.after, without.after)
    ]
    above = [np.asarray(one > threshold, dtype=np.bool_) for one in low]
    persons = None if material.persons is None else material.persons[both]
    shares = [above[1] & ~above[0], above[0] & ~above[1], above[2] & ~above[0]]
    minimum = material.minimum_cell
    told = [published_rate(mask, persons, level=level, minimum=minimum) for mask in shares]
    if isolates(shares[0], shares[2], persons, minimum):
        told[2] = _withheld(level, minimum)
    risks = changes.risks(known(without.before, both), known(without.after, both), level=level)
    return Onion(newly=told[0], no_longer=told[1], control=told[2], control_risk=risks[2])


def _withheld(level: float, minimum: int) -> Estimate:
    few = f"differs from the removal itself by fewer than {minimum} persons"
    return Estimate(value=None, level=level, withheld=few)


def _at_random(removed: Mask, material: Material) -> Mask:
    """As many other training records [P], drawn at random; with persons, whole persons until as many are reached."""
    open_ = np.flatnonzero(material.training & ~removed)
    wanted = min(int((removed & material.training).sum()), len(open_) // 2)
    found = np.zeros(len(removed), dtype=np.bool_)
    order = material.generator.permutation(open_)
    if material.persons is None:
        found[order[:wanted]] = True
        return found
    for row in order:
        if int(found.sum()) >= wanted:
            break
        found |= (material.persons == material.persons[row]) & ~removed
    return found
