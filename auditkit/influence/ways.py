"""The ways in which an audit scores its model: the audited model itself, its bank's models, its training replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auditkit.bank.types import Bank
from auditkit.errors import ModelError
from auditkit.influence.curvature import Curvature
from auditkit.influence.damping import BETWEEN, Damping, listed_shares
from auditkit.influence.ensemble import SOURCE as ENSEMBLE_SOURCE
from auditkit.influence.ensemble import average
from auditkit.influence.estimators.tracin import SOURCE as TRACIN_SOURCE
from auditkit.influence.estimators.tracin import follow
from auditkit.influence.measures import Evaluation
from auditkit.influence.models import State
from auditkit.influence.pooled import kept_scores
from auditkit.influence.problem import Problem
from auditkit.influence.quality import assess_quality
from auditkit.influence.refusals import explained
from auditkit.influence.registry import SOURCES, choose
from auditkit.influence.scoring import Form, Scores
from auditkit.influence.settling import settle_between
from auditkit.influence.sharing import whole
from auditkit.influence.single import Way, of_one_model
from auditkit.influence.unseen import Unseen, self_influence
from auditkit.pieces import Keep, Under
from auditkit.result import Quality
from auditkit.subject.replay import replay
from auditkit.subject.types import Floats, Subject, Table


class NotAtHand(Exception):
    """What the named estimator needs is not there; the report then says why there is no influence."""


@dataclass(frozen=True)
class Rank:
    """How well effects [N, S] predict models that were retrained for choosing, and how many these are."""

    of: Callable[[Floats], float]
    models: int


@dataclass(frozen=True)
class Found:
    """Effects and self-influence, and what the report says of how they came about."""

    name: str
    why: str
    source: str
    damping: float
    """Largest number added to a curvature's diagonal beyond the L2."""
    covered: int
    """Trainable parameters that are covered."""
    effects: Tensor
    """[N, S]"""
    self_influence: Tensor
    """[N]"""
    quality: tuple[Quality, ...]
    leverage: Tensor | None = None
    """[N] each record's share of the curvature; None where no record is taken out of it."""
    reference: Tensor | None = None
    """[K] self-influence that reserve records would have; None where it was not asked for or there is no way to it."""


def of_audited(
    problem: Problem,
    evaluation: Evaluation,
    estimator: str,
    damping: Damping,
    *,
    keep: Keep,
    minimum: int,
    rank: Rank | None = None,
    unseen: Unseen | None = None,
) -> Found:
    """The audited model alone.

    Args:
        problem: the posed problem. evaluation: rows and measures. estimator: `auto` or a name of the registry.
        damping: as the policy states. keep: where finished scores are left. minimum: smallest count that is told.
        rank: where models were retrained for it, by how well effects predict them the damping is chosen.
        unseen: records that the model did not learn from, for a reference; None: there are none.
    """
    choice = choose(problem, estimator, damping)
    shares = (1.0,) if rank is None else BETWEEN
    with explained(problem):
        ways = settle_between(problem, choice.estimator.fit(problem), damping, shares=shares)
        tried = [kept_scores(problem, way, evaluation, Under(keep, f"damping-{k}")) for k, (way, _) in enumerate(ways)]
    best, ranked = _best(tried, rank)
    (curvature, settled), scores = ways[best], tried[best]
    said = assess_quality(problem, curvature, evaluation, scores, minimum=minimum)
    quality = (settled, *choice.quality, *ranked, *said)
    return Found(
        name=choice.name, why=choice.why, source=SOURCES[choice.name], damping=max(curvature.damping.values()),
        covered=curvature.covered, effects=scores.effects, self_influence=scores.self_influence, quality=quality,
        leverage=None if scores.form == "first-order" else scores.leverage,
        reference=None if unseen is None else _reference(problem, curvature, unseen, scores.form),
    )  # fmt: skip


def _reference(problem: Problem, curvature: Curvature, unseen: Unseen, form: Form) -> Tensor | None:
    """Self-influence of records that were not learned from; None where the estimator refuses so many solves."""
    try:
        return self_influence(problem, curvature, unseen, form=form)
    except ModelError:
        return None


def _best(tried: Sequence[Scores], rank: Rank | None) -> tuple[int, tuple[Quality, ...]]:
    """Which of the scores predicts the models for fitting best; the nearest optimum's, where that is not known."""
    if rank is None or len(tried) == 1:
        return 0, ()
    found = [rank.of(scores.effects.cpu().numpy()) for scores in tried]
    if not np.isfinite(found).all():
        return 0, ()
    best = int(np.argmax(found))
    text = (
        f"Rank correlation of predicted with retrained measures on n = {rank.models} models set apart for this choice, "
        f"for the damping chosen; tried at {listed_shares()} of the way from the floor to the nearest optimum: "
        f"{', '.join(f'{value:.3f}' for value in found)}. Fidelity is measured on other models."
    )
    return best, (Quality(name="damping on models for fitting", value=found[best], text=text),)


def of_bank(problem: Problem, evaluation: Evaluation, bank: Bank | None, damping: Damping, *, no_bank: str) -> Found:
    """The bank's models for fitting, each scored on the records it learned from; the others measure fidelity.

    Args:
        problem: the posed problem of the audited model. evaluation: rows and measures. damping: as the policy states.
        bank: with a part for fitting, on the training records. no_bank: why there is none.

    Raises:
        NotAtHand: no bank, none of its models is for fitting, or their parameters are not known.
    """
    if bank is None:
        raise NotAtHand(no_bank)
    if bank.parameters is None:
        raise NotAtHand("the retrained models' parameters are not known, because the subject trains them itself")
    problem = whole(problem)
    chosen = (~bank.plan.measuring).nonzero()[0]
    if not len(chosen):
        raise NotAtHand("no retrained model is set apart from those that measure fidelity")
    members = [(_state(problem, bank, int(k)), torch.from_numpy(bank.plan.masks[k])) for k in chosen]
    way = Way("auto", damping, "fixed", tolerance=0.0, own=True)
    found = average(problem, evaluation, members, lambda p, e: of_one_model(p, e, way, shares=BETWEEN))
    inner = choose(problem, "auto", damping)
    added = next((row.value for row in found.quality if row.name == "damping"), None)
    return Found(
        name="ensemble",
        why=f"Named by the policy. Each of the {len(members)} members is scored by {inner.name}. {inner.why}",
        source=f"{ENSEMBLE_SOURCE}; {SOURCES[inner.name]}",
        damping=added or 0.0,
        covered=problem.layout.size,
        effects=found.effects,
        self_influence=found.self_influence,
        quality=found.quality,
    )


def of_replay(problem: Problem, evaluation: Evaluation, subject: Subject, table: Table) -> Found:
    """The audited model's own training, carried out again with checkpoints kept, which must end where it ended.

    Raises:
        NotAtHand: the training cannot be replayed, or does not end at the audited parameters.
    """
    problem = whole(problem)
    try:
        checkpoints = replay(subject, table)
    except ModelError as reason:
        raise NotAtHand(str(reason)) from reason
    found = follow(problem, evaluation, checkpoints)
    why = (
        f"Named by the policy. The training was carried out again and ended at the audited parameters; "
        f"{len(checkpoints)} checkpoints of it were kept."
    )
    return Found(
        name="tracin", why=why, source=TRACIN_SOURCE, damping=0.0, covered=problem.layout.size,
        effects=found.effects, self_influence=found.self_influence, quality=found.quality,
    )  # fmt: skip


def _state(problem: Problem, bank: Bank, k: int) -> State:
    if bank.parameters is None:
        raise NotAtHand("the retrained models' parameters are not known")
    state = dict(problem.module.state_dict())
    parts = problem.layout.unflatten(torch.from_numpy(bank.parameters[k]))
    return state | {name: value.clone() for name, value in parts.items()}
