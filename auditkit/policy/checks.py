"""What no single key can say: that the parts of a policy fit each other.

Each check works on a `Draft`, which holds every part that is valid by itself, so that a slip in one rule hides nothing
about the others. Nothing here opens a data file or a model: that is preflight's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from auditkit.errors import Complaint, PolicyError
from auditkit.policy import frameworks, measures, predicate
from auditkit.policy.attributes import check_attributes, check_intersections
from auditkit.policy.compare import check_compare
from auditkit.policy.document import KeyPath, as_json
from auditkit.policy.explain import FILL_IN, Locate, did_you_mean, listed, to_fill_in
from auditkit.policy.membership import check_memberships
from auditkit.policy.needs import check_needs
from auditkit.policy.outcomes import check_outcomes
from auditkit.policy.remedies import check_remedies
from auditkit.policy.schema import Data, Model, PrivacySettings, Protected, Rule, SliceRule
from auditkit.policy.statutory import StatutorySettings
from auditkit.policy.statutory_checks import check_statutory

M = TypeVar("M", bound=BaseModel)
JOIN: Final = " x "


@dataclass(frozen=True)
class Draft:
    """The parts of a policy that are valid by themselves."""

    raw: Mapping[str, Any]
    """The policy as written, intersections lifted."""
    rules: Mapping[int, Rule]
    """By their place in the list."""
    protected: Mapping[str, Protected]
    attributes: tuple[str, ...]
    """Names of all protected attributes, those with a fault included."""
    intersections: Mapping[int, tuple[str, ...]]
    slices: Mapping[str, SliceRule]
    data: Data | None
    model: Model | None
    rates: tuple[float, ...]
    """The policy's false-positive rates."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Draft:
        """What of the raw policy is valid."""
        protected, slices = _mapping(raw, "protected"), _mapping(raw, "slices")
        privacy = _valid(PrivacySettings, raw.get("privacy", {})) or PrivacySettings()
        listed_rules = dict(enumerate(_list(raw, "rules")))
        crossings = dict(enumerate(_list(raw, "intersections")))
        return cls(
            raw=raw,
            rules={key: rule for key, value in listed_rules.items() if (rule := _valid(Rule, value))},
            protected={key: part for key, value in protected.items() if (part := _valid(Protected, value))},
            attributes=tuple(protected),
            intersections={
                key: tuple(value)
                for key, value in crossings.items()
                if isinstance(value, list) and all(isinstance(name, str) for name in value)
            },
            slices={key: rows for key, value in slices.items() if (rows := _valid(SliceRule, value))},
            data=_valid(Data, raw.get("data")),
            model=_valid(Model, raw.get("model")),
            rates=privacy.false_positive_rates,
        )

    @property
    def on_names(self) -> tuple[str, ...]:
        """What a rule may name in `on`."""
        crossed = (JOIN.join(names) for names in self.intersections.values())
        return (*self.attributes, *crossed, *_mapping(self.raw, "memberships"))


def check(draft: Draft, locate: Locate) -> list[Complaint]:
    """Every complaint about how the parts fit each other."""
    found = [
        *_rules(draft, locate),
        *check_attributes(draft.protected, locate),
        *check_intersections(draft.intersections, draft.attributes, locate),
        *_filters(draft, locate),
        *_frameworks(draft, locate),
        *check_statutory(
            draft.raw, _valid(StatutorySettings, draft.raw.get("statutory", {})), attributes=draft.attributes,
            intersections=tuple(draft.intersections.values()), scores=_scores(draft.model), locate=locate,
        ),
        *_marks(draft.raw, (), locate),
        *check_needs(draft.data, draft.model, draft.raw, locate),
        *check_remedies(draft.raw, locate),
        *check_compare(draft.raw, locate),
        *check_memberships(draft.raw, draft.attributes, locate),
        *check_outcomes(draft.raw, locate),
        *_budget(draft.raw, locate),
    ]
    return list(dict.fromkeys(found))


def _budget(raw: Mapping[str, Any], locate: Locate) -> Iterator[Complaint]:
    """A budget beside a bank that does not go by it."""
    privacy = raw.get("privacy")
    if isinstance(privacy, dict) and "budget" in privacy and privacy.get("bank", "auto") != "auto":
        message = f"'bank' is {privacy['bank']}, so that 'budget' decides nothing"
        yield Complaint(message, where=locate(("privacy", "budget")), hint="remove it, or write bank: auto")


def _rules(draft: Draft, locate: Locate) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, rule in draft.rules.items():
        if rule.id in first:
            message = f"the rule id '{rule.id}' is taken (rule {first[rule.id] + 1} in the list has it)"
            yield Complaint(message, where=locate(("rules", index, "id")), hint="give each rule its own id")
        first.setdefault(rule.id, index)
        measure = measures.find(rule.measure, false_positive_rates=draft.rates)
        if measure is None:
            yield _unknown_measure(rule, draft, locate(("rules", index, "measure")))
            continue
        yield from _on(index, rule, measure, draft, locate)
        if not measure.low <= rule.threshold <= measure.high:
            span = f"below {measure.low:g}" if measure.high == inf else f"outside {measure.low:g} to {measure.high:g}"
            message = f"the threshold {rule.threshold:g} of rule '{rule.id}' lies {span}"
            share = 1 < rule.threshold <= 100 and measure.high == 1
            hint = f"write {rule.threshold / 100:g} for {rule.threshold:g} %" if share else "correct the threshold"
            yield Complaint(message, where=locate(("rules", index, "threshold")), hint=hint)


def _unknown_measure(rule: Rule, draft: Draft, where: str) -> Complaint:
    message = f"there is no measure '{rule.measure}' (rule '{rule.id}')"
    for prefix in measures.ATTACKS:
        if rule.measure.startswith(prefix):
            rates = [measures.tpr_at_fpr(rate, prefix=prefix) for rate in draft.rates]
            hint = f"'privacy.false-positive-rates' gives {listed(rates)}"
            return Complaint(message, where=where, hint=hint)
    close = measures.suggest(rule.measure, false_positive_rates=draft.rates)
    family = [name for name in measures.MEASURES if name.split(".")[0] == rule.measure.split(".", maxsplit=1)[0]]
    hint = f"did you mean '{close}'?" if close else f"measures: {listed(family or [*measures.MEASURES])}"
    return Complaint(message, where=where, hint=hint)


def _on(index: int, rule: Rule, measure: measures.Measure, draft: Draft, locate: Locate) -> Iterator[Complaint]:
    here: KeyPath = ("rules", index, "on")
    if not measure.needs_on:
        if rule.on is not None:
            message = f"rule '{rule.id}' names on: '{rule.on}', and '{rule.measure}' is judged over all records"
            yield Complaint(message, where=locate(here), hint="remove 'on'")
        return
    if rule.on is None:
        message = f"rule '{rule.id}' does not say which groups '{rule.measure}' is judged on"
        yield Complaint(message, where=locate(here), hint=f"add on: with one of {listed(draft.on_names) or 'none yet'}")
        return
    if rule.on in draft.on_names:
        return
    parts = [part.strip() for part in re.split(r"\s+x\s+|\s*[×*&,]\s*", rule.on)]
    if len(parts) > 1 and all(part in draft.attributes for part in parts):
        hint = f"add [{', '.join(parts)}] to 'intersections' under 'protected', and write on: {JOIN.join(parts)}"
        same = [name for name in draft.on_names if sorted(name.split(JOIN)) == sorted(parts)]
        hint = f"did you mean '{same[0]}'?" if same else hint
    else:
        close = did_you_mean(rule.on, draft.on_names)
        hint = f"did you mean '{close}'?" if close else f"declared are {listed(draft.on_names) or 'none'}"
    message = f"rule '{rule.id}' is on '{rule.on}', which is no protected attribute or intersection"
    yield Complaint(message, where=locate(here), hint=hint)


def _filters(draft: Draft, locate: Locate) -> Iterator[Complaint]:
    filters: list[tuple[str, KeyPath, str]] = [
        (part.where, ("slices", name, "where"), f"slice '{name}'") for name, part in draft.slices.items()
    ]
    if draft.model is not None and draft.model.decision is not None and draft.model.adapter == "predictions":
        filters.append((draft.model.decision, ("model", "decision"), "the decision"))
    for expression, key_path, name in filters:
        if expression.startswith(FILL_IN):
            continue
        try:
            predicate.parse(expression, where=locate(key_path), name=name)
        except PolicyError as error:
            yield from error.complaints


def _frameworks(draft: Draft, locate: Locate) -> Iterator[Complaint]:
    domain = draft.raw.get("domain")
    for index, name in enumerate(_list(draft.raw, "frameworks")):
        if not isinstance(name, str):
            continue
        where = locate(("frameworks", index))
        if name in draft.raw["frameworks"][:index]:
            yield Complaint(f"the rule set '{name}' stands twice", where=where, hint="keep one")
            continue
        try:
            framework = frameworks.load_framework(name)
        except PolicyError as error:
            yield from (
                Complaint(c.message, where=where if not c.where else c.where, hint=c.hint) for c in error.complaints
            )
            continue
        problem = frameworks.domain_problem(framework, domain if isinstance(domain, str) else None)
        if problem:
            yield Complaint(problem, where=where, hint="remove the rule set or correct 'domain'")


def _scores(model: Model | None) -> bool:
    """Whether the model can give scores, as far as the policy tells."""
    return model is None or model.adapter != "predictions" or model.score is not None


def _marks(value: object, path: KeyPath, locate: Locate) -> Iterator[Complaint]:
    """What a starter policy left to its author and nobody wrote."""
    if isinstance(value, str) and value.startswith(FILL_IN):
        yield to_fill_in(path, locate)
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _marks(entry, (*path, key), locate)


def _valid(model: type[M], value: object) -> M | None:
    try:
        return model.model_validate_json(as_json(value), strict=True, by_alias=True, by_name=False)
    except ValidationError:
        return None


def _mapping(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _list(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = raw.get(key)
    return value if isinstance(value, list) else []
