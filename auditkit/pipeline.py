"""The audit as one sentence: `run_audit` reads top to bottom as the flow of data.

predict -> slices -> bank -> fairness, influence, privacy -> findings -> AuditResult. Arrays pass from influence to
privacy here, because the assessing rooms do not know each other. No disk, no clock, no environment: see `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit import findings, kept, records, retraining, rooms, statements
from auditkit.fairness.comparison.audited import with_models
from auditkit.fairness.references import with_references
from auditkit.pieces import Keep, Nothing
from auditkit.preflight import Prepared
from auditkit.privacy.baseline import confounded
from auditkit.processes import ALONE, Processes
from auditkit.release.door import Beside, released, sealed
from auditkit.release.guard import Guarded, Parts
from auditkit.result import AuditResult, FairnessPart, PrivacyPart, Stamp
from auditkit.result.comparisons import adjusted_by_threshold
from auditkit.subject.describe import describe_data, describe_model
from auditkit.subject.predict import predict
from auditkit.subject.slices import resolve

STAGES: Final = ("predict", "bank", "fairness", "influence", "privacy", "remedies", "judge")
"""The stages that `progress` hears of, in order."""
_NOWHERE: Final = Nothing()


@dataclass(frozen=True)
class Audit:
    """The result, which may be published, and the evidence behind it, which may not."""

    result: AuditResult
    arrays: Mapping[str, NDArray[Any]]
    tables: Mapping[str, pd.DataFrame]
    guarded: Guarded
    """What was withheld beside earlier releases, and what this one counts."""


def run_audit(
    prepared: Prepared,
    *,
    stamp: Stamp,
    generator: np.random.Generator,
    progress: Callable[[str], None],
    keep: Keep = _NOWHERE,
    processes: Processes = ALONE,
    shard: Callable[[pd.DataFrame], None] = lambda scores: None,
    beside: Beside | None = None,
    worked: retraining.Worked = lambda done, total: None,
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
        worked: told how many operations of how many the stage `bank` has done.
        beside: earlier releases of the policy, beside which this one must tell of nobody; None: nothing is released.

    Raises:
        AuditError: from the rooms; each names what is wrong and what to do.
    """
    policy, table, subject = prepared.policy, prepared.table, prepared.subject
    for_fairness, for_privacy, for_bank, for_pool, for_canaries, for_remedies = generator.spawn(6)
    as_of = date.fromisoformat(stamp.as_of)

    progress("predict")
    predictions = predict(subject, table)
    table = with_references(policy, table, predictions)
    slices = resolve(policy, table, predictions, locate=prepared.locate)
    progress("bank")
    found = retraining.banks(policy, subject, table, (for_bank, for_pool), keep=keep, worked=worked)
    bank, no_bank = processes.same((found.halves, found.no_halves))
    progress("fairness")
    fair, halves = kept.fairness(
        keep, lambda: rooms.fairness(policy, table, predictions, for_fairness, features=subject.features)
    )
    fair = with_models(fair, policy, table, predictions, prepared.compared)
    progress("influence")
    retrained = retraining.retrained(table, found)
    traced, scores = rooms.influence(
        policy, subject, table, slices, bank=bank, no_bank=no_bank, keep=keep, processes=processes,
        retrained=retrained, predictions=predictions,
    )  # fmt: skip
    records.hand_out(shard, table, scores, processes)
    progress("privacy")
    private, arrays = kept.privacy(
        keep,
        lambda: rooms.privacy(
            policy,
            subject,
            table,
            predictions,
            scores=scores,
            no_scores=traced.reason,
            retrained=retrained,
            no_retrained=found.no_pool,
            planted=rooms.canaries(policy, subject, table, for_canaries, keep),
            guarded=beside is not None,
            attributed=traced,
            generator=for_privacy,
        ),
    )
    progress("remedies")
    tried = kept.remedies(
        keep,
        lambda: rooms.remedies(
            policy,
            subject,
            table,
            predictions,
            pool=found.pool,
            no_pool=found.no_pool,
            arrays=arrays,
            generator=for_remedies,
        ),
    )
    progress("judge")
    data = describe_data(policy, table, slices, tuple(subject.checks))
    rows = table.rows("evaluation")
    model = describe_model(
        subject, predictions, level=policy.fairness.level, minimum=policy.report.minimum_cell,
        persons=None if table.persons is None else table.persons[rows],
    )  # fmt: skip
    guarded = released(
        policy, table, predictions, slices, arrays, beside=beside,
        parts=Parts(data, model, fair, traced, private, tried),
    )  # fmt: skip
    data, model, fair, traced, private, tried = guarded.parts.told
    judged, conclusion = findings.judge(
        policy.rules,
        measurements=(*model.measurements, *fair.judged, *private.measurements),
        groups=fair.counted,
        adjusted=adjusted_by_threshold(fair.tests),
        confounded=confounded(private.baseline),
        not_assessed=_not_assessed(fair, private),
        maximum_unknown=policy.fairness.maximum_unknown,
        as_of=as_of,
    )
    result = AuditResult(
        title=policy.report.title or policy.name,
        stamp=stamp,
        facts=(*guarded.notes, *statements.facts(policy)),
        policy=statements.redacted(prepared.resolved, slices),
        conclusion=conclusion,
        findings=tuple(findings.worst_first(judged)),
        data=data,
        model=model,
        fairness=fair,
        influence=traced,
        privacy=private,
        remedies=tried,
        frameworks=statements.rule_sets(prepared.frameworks, as_of),
        statutory=rooms.statutory(policy, table, predictions, fair) if guarded.evaluation_told else None,
        limits=(*statements.limits(policy, fair, traced, private), *guarded.notes, *sealed()),
        minimum_cell=policy.report.minimum_cell,
    )
    models = {name: array for own in (bank, found.pool) if own is not None for name, array in own.arrays().items()}
    evidence = {**arrays, **halves, **models, **records.answers(predictions)}
    listed = {} if scores is None else rooms.training_slices(policy, subject, table)
    tables = records.tables(table, scores, arrays, predictions=predictions, slices=listed)
    return Audit(result, evidence, tables, guarded)


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
    _, scores = rooms.influence(
        policy, subject, table, slices, bank=bank, no_bank=no_bank, keep=_NOWHERE, processes=processes
    )
    records.hand_out(shard, table, scores, processes)


def _not_assessed(fair: FairnessPart, private: PrivacyPart) -> dict[str, str]:
    """Family of measures -> why it does not apply, for the parts that were not assessed or could not be in part."""
    parts = {"fairness": (fair.status, fair.reason), "privacy": (private.status, private.reason)}
    return {name: reason for name, (status, reason) in parts.items() if status != "assessed" or reason}
