"""The audit as one sentence: `run_audit` reads top to bottom as the flow of data.

predict -> slices -> bank -> fairness, influence, privacy -> findings -> AuditResult. Arrays pass from influence to
privacy here, because the assessing rooms do not know each other. No disk, no clock, no environment: see `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit import findings, kept, records, statements
from auditkit.bank import fit as bank_room
from auditkit.bank.types import Bank, Kind
from auditkit.fairness import assess as fairness
from auditkit.influence import assess as influence
from auditkit.pieces import Keep, Nothing, Under
from auditkit.policy.schema import Policy
from auditkit.preflight import Prepared
from auditkit.privacy import assess as privacy
from auditkit.privacy.membership import Retrained
from auditkit.processes import ALONE, Processes
from auditkit.result import AuditResult, FairnessPart, InfluencePart, PrivacyPart, Stamp
from auditkit.subject.describe import describe_data, describe_model
from auditkit.subject.predict import predict
from auditkit.subject.slices import resolve
from auditkit.subject.types import Floats, Grouping, Predictions, Slice, Split, Subject, Table

STAGES: Final = ("predict", "bank", "fairness", "influence", "privacy", "judge")
"""The stages that `progress` hears of, in order."""
_NOWHERE: Final = Nothing()


@dataclass(frozen=True)
class Audit:
    """The result, which may be published, and the evidence behind it, which may not."""

    result: AuditResult
    arrays: Mapping[str, NDArray[Any]]
    tables: Mapping[str, pd.DataFrame]


def run_audit(
    prepared: Prepared,
    *,
    stamp: Stamp,
    generator: np.random.Generator,
    progress: Callable[[str], None],
    keep: Keep = _NOWHERE,
    processes: Processes = ALONE,
    shard: Callable[[pd.DataFrame], None] = lambda scores: None,
) -> Audit:
    """Audit what was prepared.

    Args:
        prepared: policy, data and model, opened and checked.
        stamp: what makes the run repeatable; its date decides which waivers are active.
        generator: the only source of randomness; each room draws from a child of its own.
        progress: told the name of each of STAGES as it begins.
        keep: where finished pieces of long work are left, and found by a run that goes on from a killed one.
        processes: this is the first of them; the others `assist`.
        shard: takes the scores of the training records that this process holds, by record.

    Raises:
        AuditError: from the rooms; each names what is wrong and what to do.
    """
    policy, table, subject = prepared.policy, prepared.table, prepared.subject
    for_fairness, for_privacy, for_bank, for_pool = generator.spawn(4)
    as_of = date.fromisoformat(stamp.as_of)

    progress("predict")
    predictions = predict(subject, table)
    slices = resolve(policy, table, predictions, locate=prepared.locate)
    progress("bank")
    bank, no_bank = processes.same(
        _bank(policy, subject, table, kind="train-halves", generator=for_bank, keep=keep)
    )
    pool, no_pool = _bank(
        policy, subject, table, kind="pool-halves", generator=for_pool, keep=Under(keep, "pool")
    )
    progress("fairness")
    fair = kept.fairness(keep, lambda: _fairness(policy, table, predictions, for_fairness))
    progress("influence")
    traced, scores = _influence(
        policy, subject, table, slices, bank=bank, no_bank=no_bank, keep=keep, processes=processes
    )
    records.hand_out(shard, table, scores, processes)
    progress("privacy")
    private, arrays = kept.privacy(
        keep,
        lambda: _privacy(
            policy,
            subject,
            table,
            predictions,
            scores=scores,
            no_scores=traced.reason,
            retrained=_retrained(table, pool),
            no_retrained=no_pool,
            generator=for_privacy,
        ),
    )
    progress("judge")
    data = describe_data(policy, table, slices, tuple(subject.checks))
    rows = table.rows("evaluation")
    model = describe_model(
        subject, predictions, level=policy.fairness.level, minimum=policy.report.minimum_cell,
        persons=None if table.persons is None else table.persons[rows],
    )  # fmt: skip
    judged, conclusion = findings.judge(
        policy.rules,
        measurements=(*model.measurements, *fair.measurements, *private.measurements),
        groups=fair.groups,
        not_assessed=_not_assessed(fair, private),
        maximum_unknown=policy.fairness.maximum_unknown,
        as_of=as_of,
    )
    result = AuditResult(
        title=policy.report.title or policy.name,
        stamp=stamp,
        facts=statements.facts(policy),
        policy=statements.redacted(prepared.resolved, slices),
        conclusion=conclusion,
        findings=tuple(findings.worst_first(judged)),
        data=data,
        model=model,
        fairness=fair,
        influence=traced,
        privacy=private,
        frameworks=tuple(statements.rule_set(framework, as_of) for framework in prepared.frameworks),
        limits=statements.limits(policy, fair, traced, private),
        minimum_cell=policy.report.minimum_cell,
    )
    retrained = {name: array for own in (bank, pool) if own is not None for name, array in own.arrays().items()}
    return Audit(result, {**arrays, **retrained, **records.answers(predictions)}, records.tables(table, scores, arrays))


def assist(prepared: Prepared, *, processes: Processes, shard: Callable[[pd.DataFrame], None]) -> None:
    """What every process but the first does of `run_audit`: its share of what is done on training records.

    Args:
        prepared: the same policy, data and model. processes: this is not the first of them.
        shard: takes the scores of the training records that this process holds, by record.

    Raises:
        AuditError, Stopped: as `run_audit`, or because another process stopped.
    """
    policy, table, subject = prepared.policy, prepared.table, prepared.subject
    slices = resolve(policy, table, predict(subject, table), locate=prepared.locate)
    bank, no_bank = processes.same((None, ""))
    _, scores = _influence(
        policy, subject, table, slices, bank=bank, no_bank=no_bank, keep=_NOWHERE, processes=processes
    )
    records.hand_out(shard, table, scores, processes)


def _fairness(policy: Policy, table: Table, predictions: Predictions, generator: np.random.Generator) -> FairnessPart:
    rows = table.rows("evaluation")
    return fairness.assess(
        groupings=_groupings(table, "evaluation"),
        predictions=predictions,
        persons=None if table.persons is None else table.persons[rows],
        settings=policy.fairness,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
    )


def _bank(
    policy: Policy, subject: Subject, table: Table, *, kind: Kind, generator: np.random.Generator, keep: Keep
) -> tuple[Bank | None, str]:
    """Retrained models, or None and why: halves of the training rows for influence, of the pool for membership."""
    if policy.privacy.bank == "none":
        return None, "the policy asks for no retrained models (privacy.bank: none)"
    if kind == "train-halves" and subject.gradient is None:
        return None, "influence cannot be computed for this model"
    if kind == "pool-halves":
        return bank_room.make(subject, table, kind=kind, wanted="auto", generator=generator, keep=keep)
    return bank_room.make(
        subject, table, wanted=policy.influence.fidelity_models, generator=generator, keep=keep,
        fitting=_fitting(policy),
    )  # fmt: skip


def _fitting(policy: Policy) -> bank_room.Fitting:
    """What models beside those that measure fidelity are for."""
    if policy.influence.estimator == "ensemble":
        return "members"
    chosen = policy.influence.damping == "auto" and policy.influence.estimator != "tracin"
    return "damping" if chosen else "none"


def _influence(
    policy: Policy, subject: Subject, table: Table, slices: tuple[Slice, ...], *, bank: Bank | None, no_bank: str,
    keep: Keep, processes: Processes,
) -> tuple[InfluencePart, influence.InfluenceArrays | None]:  # fmt: skip
    stated = policy.influence
    settings = influence.Settings(
        estimator=stated.estimator, damping=stated.damping, compare=stated.compare,
        minimum_cell=policy.report.minimum_cell, minimum_group=policy.fairness.minimum_group,
        level=policy.fairness.level, fidelity_floor=stated.fidelity_floor,
    )  # fmt: skip

    def assess() -> tuple[InfluencePart, influence.InfluenceArrays | None]:
        return influence.assess(
            subject, table, slices, settings, bank=bank, no_bank=no_bank, keep=keep, processes=processes
        )

    return kept.influence(keep, processes, assess)


def _privacy(
    policy: Policy,
    subject: Subject,
    table: Table,
    predictions: Predictions,
    *,
    scores: influence.InfluenceArrays | None,
    no_scores: str,
    retrained: Retrained | None,
    no_retrained: str,
    generator: np.random.Generator,
) -> tuple[PrivacyPart, dict[str, NDArray[Any]]]:
    train = table.rows("train")
    splits: tuple[Split, ...] = ("train", "reserve", "evaluation")
    present = [split for split in splits if len(table.rows(split))]
    features = list(subject.features)
    decisions: Floats | None = None
    if len(train) and subject.score is not None:
        decisions = subject.decide(table.frame.iloc[train])
    return privacy.assess(
        predictions=predictions,
        train_labels=table.label[train] if len(train) else None,
        train_decisions=decisions,
        features={split: table.frame.iloc[table.rows(split)][features] for split in present} if features else {},
        numeric=policy.data.numeric or None,
        persons=None if table.persons is None else {split: table.persons[table.rows(split)] for split in present},
        groupings=_groupings(table, "train"),
        self_influence=None if scores is None else scores.self_influence,
        no_self_influence=no_scores,
        settings=policy.privacy,
        deployment=policy.deployment,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
        level=policy.fairness.level,
        retrained=retrained,
        no_retrained=no_retrained,
    )


def _retrained(table: Table, pool: Bank | None) -> Retrained | None:
    """The pool's models as the privacy room reads them: training rows first, then the reserve."""
    if pool is None:
        return None
    at = np.searchsorted(pool.plan.rows, np.concatenate([table.rows("train"), table.rows("reserve")]))
    return Retrained(margin=pool.margin_pool[:, at], inside=pool.plan.masks[:, at])


def _groupings(table: Table, split: Split) -> dict[str, Grouping]:
    """Membership restricted to one split's rows."""
    rows = table.rows(split)
    return {name: replace(grouping, codes=grouping.codes[rows]) for name, grouping in table.groupings.items()}


def _not_assessed(fair: FairnessPart, private: PrivacyPart) -> dict[str, str]:
    """Family of measures -> why it does not apply, for the parts that were not assessed or could not be in part."""
    parts = {"fairness": (fair.status, fair.reason), "privacy": (private.status, private.reason)}
    return {name: reason for name, (status, reason) in parts.items() if status != "assessed" or reason}
