"""The audit as one sentence: `run_audit` reads top to bottom as the flow of data.

predict -> slices -> fairness, influence, privacy -> findings -> AuditResult. Arrays pass from influence to privacy
here, because the assessing rooms do not know each other. No disk, no clock, no environment: see `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit import findings
from auditkit.fairness import assess as fairness
from auditkit.influence import assess as influence
from auditkit.policy.frameworks import Framework
from auditkit.policy.schema import Policy
from auditkit.preflight import Prepared
from auditkit.privacy import assess as privacy
from auditkit.result import (
    NOT_STATED,
    AuditResult,
    Fact,
    FairnessPart,
    FrameworkItem,
    FrameworkPart,
    InfluencePart,
    PrivacyPart,
    Stamp,
)
from auditkit.subject.describe import describe_data, describe_model
from auditkit.subject.predict import predict
from auditkit.subject.slices import resolve
from auditkit.subject.types import Floats, Grouping, Predictions, Slice, Split, Subject, Table

STAGES: Final = ("predict", "fairness", "influence", "privacy", "judge")
"""The stages that `progress` hears of, in order."""


@dataclass(frozen=True)
class Audit:
    """The result, which may be published, and the evidence behind it, which may not."""

    result: AuditResult
    arrays: Mapping[str, NDArray[Any]]
    tables: Mapping[str, pd.DataFrame]


def run_audit(
    prepared: Prepared, *, stamp: Stamp, generator: np.random.Generator, progress: Callable[[str], None]
) -> Audit:
    """Audit what was prepared.

    Args:
        prepared: policy, data and model, opened and checked.
        stamp: what makes the run repeatable; its date decides which waivers are active.
        generator: the only source of randomness; each room draws from a child of its own.
        progress: told the name of each of STAGES as it begins.

    Raises:
        AuditError: from the rooms; each names what is wrong and what to do.
    """
    policy, table, subject = prepared.policy, prepared.table, prepared.subject
    for_fairness, for_privacy = generator.spawn(2)

    progress("predict")
    predictions = predict(subject, table)
    slices = resolve(policy, table, predictions, locate=prepared.locate)
    progress("fairness")
    fair = _fairness(policy, table, predictions, for_fairness)
    progress("influence")
    traced, scores = _influence(policy, subject, table, slices)
    progress("privacy")
    private, arrays = _privacy(policy, subject, table, predictions, traced, scores, for_privacy)
    progress("judge")
    data = describe_data(policy, table, slices, tuple(subject.checks))
    model = describe_model(subject, predictions, level=policy.fairness.level)
    judged, conclusion = findings.judge(
        policy.rules,
        measurements=(*model.measurements, *fair.measurements, *private.measurements),
        groups=fair.groups,
        not_assessed=_not_assessed(fair, private),
        maximum_unknown=policy.fairness.maximum_unknown,
        as_of=date.fromisoformat(stamp.as_of),
    )
    result = AuditResult(
        title=policy.report.title or policy.name,
        stamp=stamp,
        facts=_facts(policy),
        policy=_redacted(prepared.resolved),
        conclusion=conclusion,
        findings=tuple(findings.worst_first(judged)),
        data=data,
        model=model,
        fairness=fair,
        influence=traced,
        privacy=private,
        frameworks=tuple(_framework(framework, date.fromisoformat(stamp.as_of)) for framework in prepared.frameworks),
        limits=_limits(policy, fair, traced, private),
        minimum_cell=policy.report.minimum_cell,
    )
    return Audit(result, {**arrays, **_answers(predictions)}, _record_tables(table, scores, arrays))


def _fairness(
    policy: Policy, table: Table, predictions: Predictions, generator: np.random.Generator
) -> FairnessPart:
    rows = table.rows("evaluation")
    return fairness.assess(
        groupings=_groupings(table, "evaluation"),
        predictions=predictions,
        persons=None if table.persons is None else table.persons[rows],
        settings=policy.fairness,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
    )


def _influence(
    policy: Policy, subject: Subject, table: Table, slices: tuple[Slice, ...]
) -> tuple[InfluencePart, influence.InfluenceArrays | None]:
    settings = influence.Settings(
        estimator=policy.influence.estimator,
        damping=policy.influence.damping,
        compare=policy.influence.compare,
        minimum_cell=policy.report.minimum_cell,
        minimum_group=policy.fairness.minimum_group,
        level=policy.fairness.level,
    )
    return influence.assess(subject, table, slices, settings)


def _privacy(
    policy: Policy,
    subject: Subject,
    table: Table,
    predictions: Predictions,
    traced: InfluencePart,
    scores: influence.InfluenceArrays | None,
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
        no_self_influence=traced.reason,
        settings=policy.privacy,
        deployment=policy.deployment,
        minimum_cell=policy.report.minimum_cell,
        generator=generator,
        level=policy.fairness.level,
    )


def _groupings(table: Table, split: Split) -> dict[str, Grouping]:
    """Membership restricted to one split's rows."""
    rows = table.rows(split)
    return {name: replace(grouping, codes=grouping.codes[rows]) for name, grouping in table.groupings.items()}


def _not_assessed(fair: FairnessPart, private: PrivacyPart) -> dict[str, str]:
    """Family of measures -> why it does not apply, for the parts that were not assessed or could not be in part."""
    parts = {"fairness": (fair.status, fair.reason), "privacy": (private.status, private.reason)}
    return {name: reason for name, (status, reason) in parts.items() if status != "assessed" or reason}


def _facts(policy: Policy) -> tuple[Fact, ...]:
    """The first page's facts; what nobody stated is said to be not stated."""
    use, data = policy.deployment, policy.data
    released = None if use.released is None else "yes" if use.released else "no"
    stated = {
        "Owner": policy.owner, "Organisation": policy.report.organisation, "Purpose": policy.purpose,
        "Domain": policy.domain, "Decision": use.decision, "Population": use.population,
        "Access to the model": use.model_access, "Model released": released, "Data source": data.source,
        "Period": data.period, "Sampling": data.sampling,
        "Schedule": None if policy.schedule is None else f"every {policy.schedule.every}",
    }  # fmt: skip
    return tuple(Fact(name=name, value=text or NOT_STATED, stated=text is not None) for name, text in stated.items())


def _redacted(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The policy as written, without what names a record: cases become their count."""
    cases = resolved.get("cases")
    shown = {key: value for key, value in resolved.items() if key != "extends"}
    if cases:
        shown["cases"] = f"{len(cases)} named in the policy file; ids are not published"
    return shown


def _framework(framework: Framework, as_of: date) -> FrameworkPart:
    """A rule set with where each of its requirements is spoken to."""
    computed = [
        FrameworkItem(requirement=_asked(item.requirement, item.provision), kind="computed", evidence=item.section)
        for item in framework.computed
    ]
    attested = [
        FrameworkItem(requirement=_asked(item.requirement, item.provision), kind="attested", evidence="a named person")
        for item in framework.attested
    ]
    missing = tuple(
        f"Not computed by this version: {_asked(item.requirement, item.provision)}" for item in framework.not_computed
    )
    start, end = framework.effective_from, framework.effective_until
    effective = " ".join(
        [f"from {start.isoformat()}" if start else "", f"until {end.isoformat()}" if end else ""]
    ).strip()
    return FrameworkPart(
        id=framework.id, title=framework.title, jurisdiction=framework.jurisdiction, citation=framework.citation,
        as_of=framework.as_of.isoformat(), status=framework.status.replace("_", " "),
        effective=effective or NOT_STATED, superseded_by=framework.superseded_by or "", certainty=framework.certainty,
        notes=(*framework.status_notes(as_of), *framework.notes, *missing, framework.disclaimer),
        items=(*computed, *attested),
    )  # fmt: skip


def _asked(requirement: str, provision: str | None) -> str:
    return f"{requirement} ({provision})" if provision else requirement


def _limits(
    policy: Policy, fair: FairnessPart, traced: InfluencePart, private: PrivacyPart
) -> tuple[Fact, ...]:
    """What this audit could not know, in sentences."""
    limits = [
        Fact(
            name="Association, not cause",
            value="A difference between groups is observed on the evaluation records. The audit does not say why it is there.",
        )
    ]
    if policy.data.label.means == "past-decision":
        limits.append(Fact(name="Labels are past decisions", value=PAST_DECISIONS))
    limits += [
        Fact(name=f"{name} not assessed", value=part.reason)
        for name, part in (("Fairness", fair), ("Influence", traced), ("Privacy", private))
        if part.status != "assessed"
    ]
    if traced.status == "assessed":
        limits.append(Fact(name="Influence is a prediction", value=INFLUENCE))
        limits.append(
            Fact(name="Fidelity floor not applied", value=FLOOR.format(floor=policy.influence.fidelity_floor))
        )
    if private.status == "assessed":
        limits.append(Fact(name="No bank of retrained models", value=NO_BANK))
    return tuple(limits)


PAST_DECISIONS: Final = (
    "The label is what was decided in the past, not what happened. Agreement with it is agreement with past decisions, "
    "which may themselves differ between groups."
)
INFLUENCE: Final = (
    "Effects are predicted for the removal of one record at a time. Effects of several records do not simply add up, "
    "and a set's effect has to be verified by retraining."
)
FLOOR: Final = (
    "The policy asks to withhold attributions whose fidelity to retraining is below {floor:g}. This version does not "
    "retrain, so fidelity was not measured and nothing was withheld for it."
)
NO_BANK: Final = (
    "Without retrained models no record's membership risk can be calibrated: the policy's risk threshold was not "
    "applied, and outsized self-influence is a ranking only."
)


def _answers(predictions: Predictions) -> dict[str, NDArray[Any]]:
    named = {
        "evaluation_decision": predictions.decision, "evaluation_score": predictions.score,
        "evaluation_loss": predictions.loss, "train_loss": predictions.loss_train,
        "reserve_loss": predictions.loss_reserve,
    }  # fmt: skip
    return {name: array for name, array in named.items() if array is not None}


def _record_tables(
    table: Table, scores: influence.InfluenceArrays | None, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, pd.DataFrame]:
    """Record by record, for restricted evidence: ids with effects and self-influence."""
    if scores is None:
        return {}
    columns: dict[str, Any] = {"id": table.ids[scores.rows], "self_influence": scores.self_influence}
    for index, (name, measure, unit) in enumerate(zip(scores.names, scores.measures, scores.units, strict=True)):
        columns[f"{name} | {measure} | {unit}"] = scores.effects[:, index]
    columns |= {name: arrays[name] for name in ("screen_rank", "screen_flag", "duplicate_cluster") if name in arrays}
    return {"training_records": pd.DataFrame(columns)}
