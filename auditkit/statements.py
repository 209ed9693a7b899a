"""What an audit states besides its figures: the policy's facts, its rule sets, and what this audit could not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import PurePath
from typing import Any, Final

from auditkit.policy.frameworks import Framework, warnings
from auditkit.policy.schema import Policy
from auditkit.result import (
    NOT_STATED,
    Fact,
    FairnessPart,
    FrameworkItem,
    FrameworkPart,
    InfluencePart,
    PrivacyPart,
)
from auditkit.subject.types import Slice

ASSOCIATION: Final = (
    "A difference between groups is observed on the evaluation records. The audit does not say why it is there."
)
PAST_DECISIONS: Final = (
    "The label is what was decided in the past, not what happened. Agreement with it is agreement with past decisions, "
    "which may themselves differ between groups."
)
WEIGHTS: Final = (
    "The column {column} weighs records in training, in influence and in group statistics. Without weights records are "
    "counted in the model's accuracy, the privacy part, slices found, columns that tell a group, statutory tables and "
    "remedies."
)
INFLUENCE: Final = (
    "Effects are predicted for the removal of one record at a time. Effects of several records do not simply add up, "
    "and a set's effect has to be verified by retraining."
)
FLOOR: Final = (
    "The policy asks to withhold attributions whose fidelity to retraining is below {floor:g}. Fidelity was not "
    "measured, so nothing was withheld for it: {reason}."
)
SCREEN_STAYS: Final = (
    "The screen of outsized self-influence rests on the same estimator, whose measured fidelity to retraining is "
    "{value:.3f} ({level:.0%} interval {low:.3f} to {high:.3f}, n = {n} retrained halves). It is a ranking and is kept."
)
FILTER_WITHHELD: Final = (
    "not published: the filter names ids, or fewer persons than the minimum cell pass it or are left out by it"
)
NOT_CALIBRATED: Final = (
    "This version retrains models to measure influence, on halves of the training records, and calibrates no record's "
    "membership risk on them: the policy's risk threshold was not applied, and outsized self-influence is a ranking "
    "only."
)


def facts(policy: Policy) -> tuple[Fact, ...]:
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


def redacted(resolved: Mapping[str, Any], slices: Sequence[Slice] = ()) -> dict[str, Any]:
    """The policy as written, without what names a record or a machine: cases become a count, absolute paths a name.

    Args:
        resolved: the policy as its author wrote it.
        slices: as resolved on the evaluation records; a filter is printed only if one of them says it may be.
    """
    shown: dict[str, Any] = {key: _named(value) for key, value in resolved.items() if key != "extends"}
    if resolved.get("cases"):
        shown["cases"] = f"{len(resolved['cases'])} named in the policy file; ids are not published"
    public = {piece.name for piece in slices if piece.where}
    for name, rule in (shown.get("slices") or {}).items():
        if name not in public:
            rule["where"] = FILTER_WITHHELD
    return shown


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _named(inner) for key, inner in value.items()}
    if isinstance(value, str) and value.startswith("/"):
        return PurePath(value).name
    return value


def rule_sets(named: Sequence[Framework], as_of: date) -> tuple[FrameworkPart, ...]:
    """The rule sets that the policy names, each with what has to be told of it on the audit's date."""
    told = warnings(named, as_of)
    return tuple(rule_set(framework, as_of, told=told.get(framework.id, ())) for framework in named)


def rule_set(framework: Framework, as_of: date, *, told: tuple[str, ...] = ()) -> FrameworkPart:
    """A rule set with where each of its requirements is spoken to."""
    computed = [
        FrameworkItem(
            requirement=_asked(item.requirement, item.provision), kind="computed", evidence=item.section,
            measures=item.measures, certainty=item.certainty,
        )
        for item in framework.computed
    ]  # fmt: skip
    attested = [
        FrameworkItem(
            requirement=_asked(item.requirement, item.provision), kind="attested", evidence="a named person",
            certainty=item.certainty,
        )
        for item in framework.attested
    ]  # fmt: skip
    missing = tuple(
        f"Not computed by this version: {_asked(item.requirement, item.provision)}" for item in framework.not_computed
    )
    start, end = framework.effective_from, framework.effective_until
    effective = " ".join(
        [f"from {start.isoformat()}" if start else "", f"until {end.isoformat()}" if end else ""]
    ).strip()
    return FrameworkPart(
        id=framework.id, title=framework.title, jurisdiction=framework.jurisdiction, citation=framework.citation,
        as_of=framework.as_of.isoformat(), status=framework.status_on(as_of),
        effective=effective or NOT_STATED, superseded_by=framework.superseded_by or "", certainty=framework.certainty,
        notes=(
            *framework.status_notes(as_of), framework.applies_to(), *framework.notes, *missing, framework.disclaimer,
        ),
        items=(*computed, *attested), warnings=told,
    )  # fmt: skip


def _asked(requirement: str, provision: str | None) -> str:
    return f"{requirement} ({provision})" if provision else requirement


def limits(
    policy: Policy, fair: FairnessPart, traced: InfluencePart, private: PrivacyPart
) -> tuple[Fact, ...]:
    """What this audit could not know, in sentences."""
    found = [Fact(name="Association, not cause", value=ASSOCIATION)]
    if policy.data.label.means == "past-decision":
        found.append(Fact(name="Labels are past decisions", value=PAST_DECISIONS))
    if policy.data.weight is not None:
        found.append(Fact(name="Sample weights", value=WEIGHTS.format(column=policy.data.weight)))
    found += [
        Fact(name=f"{name} {'withheld' if part.status == 'withheld' else 'not assessed'}", value=part.reason)
        for name, part in (("Fairness", fair), ("Influence", traced), ("Privacy", private))
        if part.status != "assessed"
    ]
    if traced.status == "assessed":
        found.append(Fact(name="Influence is a prediction", value=INFLUENCE))
    found += _fidelity(traced, policy.influence.fidelity_floor)
    if private.baseline is not None and private.baseline.differs:
        found.append(Fact(name="The reserve differs from the training records", value=_upper(private.baseline.reason)))
    if private.status == "assessed" and (private.exposure is None or private.exposure.status != "assessed"):
        found.append(Fact(name="Membership risk not calibrated", value=NOT_CALIBRATED))
    return tuple(found)


def _upper(reason: str) -> str:
    """A reason as a sentence."""
    return f"{reason[:1].upper()}{reason[1:]}."


def _fidelity(traced: InfluencePart, floor: float) -> tuple[Fact, ...]:
    """That fidelity was not measured, or what a withheld attribution leaves standing."""
    measured = traced.fidelity
    if traced.status == "assessed" and (measured is None or measured.value is None):
        reason = "no models were retrained" if measured is None else measured.withheld
        return (Fact(name="Fidelity floor not applied", value=FLOOR.format(floor=floor, reason=reason)),)
    if traced.status == "withheld" and measured is not None:
        text = SCREEN_STAYS.format(**measured.model_dump())
        return (Fact(name="Self-influence is kept", value=text),)
    return ()
