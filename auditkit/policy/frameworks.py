"""Dated legal rule sets: what a law asks for, which of it is computed, and which only a person can attest.

A rule set is one YAML file in `policies/frameworks/`, named for its id. It is a map from requirements to places of the
report, with the date of the reading and how well each reading is established. It is not legal advice, sets no
threshold, and judges nothing: thresholds are the policy's rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from auditkit import resources
from auditkit.errors import Complaint, PolicyError
from auditkit.policy.document import as_json, read_document
from auditkit.policy.explain import did_you_mean, explain, listed
from auditkit.policy.settings import Name, Section, Text

Certainty = Literal["verified", "secondary", "unverified"]
Place = Literal[
    "verdicts", "fairness", "fairness-discovery", "fairness-proxies", "statutory", "statutory-bias-audit",
    "statutory-four-fifths", "influence", "privacy", "remedies", "data", "method", "reproduction",
]  # fmt: skip
"""Sections of the report, and parts of them, by anchor."""


class Computed(Section):
    """A requirement, or a part of one, that figures of the audit speak to."""

    requirement: Text
    """What is asked for, in our words."""
    provision: Text | None = None
    """Where it is asked for."""
    measures: tuple[str, ...] = ()
    """The measures that speak to it, as rules write them."""
    section: Place
    """The section of the report that shows them."""
    certainty: Certainty
    """`verified`: the text was read; `secondary`: read about; `unverified`: recalled."""


class Attested(Section):
    """A requirement that no computation can meet: a named person has to state it."""

    requirement: Text
    """What is asked for, in our words."""
    provision: Text | None = None
    """Where it is asked for."""
    certainty: Certainty
    """`verified`: the text was read; `secondary`: read about; `unverified`: recalled."""


class NotComputed(Section):
    """A figure that the rule set asks for and that this version of auditkit does not compute."""

    requirement: Text
    """What is asked for, in our words."""
    provision: Text | None = None
    """Where it is asked for."""


class Conflict(Section):
    """Another rule set that reads the same figures in another way."""

    against: Name
    """The other's id; said of both, so that one of the two has to state it."""
    why: Text
    """Where they part."""


class Framework(Section):
    """One rule set as of one date."""

    framework: Literal[1]
    """Version of this format: 1."""
    id: str
    """The name that policies use; the file's name without its ending."""
    title: Text
    """The rule set's name."""
    jurisdiction: Text
    """Where it applies."""
    citation: Text
    """Where it is written."""
    as_of: date
    """The day on which the reading below was right, as far as known."""
    status: Literal["in_force", "enacted", "deferred", "superseded", "proposed"]
    """Whether it binds on that day; `enacted` is passed, and binds from a later day."""
    effective_from: date | None = None
    """The day from which it binds."""
    effective_until: date | None = None
    """The last day on which it binds."""
    superseded_by: Text | None = None
    """What took its place."""
    replaced_by: Name | None = None
    """The id of the rule set that took its place, where that is installed."""
    conflicts: tuple[Conflict, ...] = ()
    """Rule sets that, named beside this one, have to be told apart."""
    domains: tuple[Name, ...]
    """Domains of policies that it may be named in; an empty list is every domain."""
    scope: Text
    """The question that a person has to answer: does it apply to this decision?"""
    certainty: Certainty
    """How well title, citation, status and dates are established."""
    computed: tuple[Computed, ...]
    """What figures of the audit speak to."""
    attested: tuple[Attested, ...]
    """What a person has to state."""
    not_computed: tuple[NotComputed, ...] = ()
    """What the rule set asks for and this version does not compute."""
    notes: tuple[Text, ...] = ()
    """What a reader has to know."""
    disclaimer: Text = Field(pattern="not legal advice")
    """Says that this is not legal advice."""

    def applies_to(self) -> str:
        """The question whether it applies, which a person answers, and the domains in which a policy may name it."""
        of = f"policies of the domain {' or '.join(self.domains)}" if self.domains else "policies of any domain"
        return f"Whether it applies, a person has to say: {self.scope} It may be named by {of}."

    def status_on(self, as_of: date) -> str:
        """The status on a day, in words: a set that was passed is in force from its day on, and until its last one."""
        if self.status not in ("in_force", "enacted"):
            return self.status
        if self.effective_from is not None and as_of < self.effective_from:
            return "not yet in force"
        ended = self.effective_until is not None and as_of > self.effective_until
        return "no longer in force" if ended else "in force"

    @model_validator(mode="after")
    def _status_fits_its_dates(self) -> Framework:
        """A set is in force from its day on only."""
        later = self.effective_from is not None and self.effective_from > self.as_of
        if (self.status == "in_force" and later) or (self.status == "enacted" and not later):
            right = "enacted" if later else "in_force"
            raise ValueError(f"it binds from {self.effective_from}, so its status on {self.as_of} is '{right}'")
        return self

    def status_notes(self, as_of: date) -> tuple[str, ...]:
        """What has to be told about the rule set's status on the audit's date; empty if it plainly binds."""
        notes = list(self.binding_notes(as_of))
        if self.certainty != "verified":
            notes.append(f"{self.title}: status and dates are {self.certainty}; check the primary text.")
        return tuple(notes)

    def binding_notes(self, as_of: date) -> tuple[str, ...]:
        """Why the rule set may not bind on the audit's date: superseded, deferred, proposed, not yet or no longer."""
        notes = []
        if self.status not in ("in_force", "enacted"):
            successor = f" by {self.superseded_by}" if self.superseded_by else ""
            words = {"deferred": "deferred", "superseded": f"superseded{successor}", "proposed": "proposed only"}
            notes.append(f"{self.title}: {words[self.status]} (as of {self.as_of.isoformat()}).")
        if self.effective_from is not None and as_of < self.effective_from:
            notes.append(f"{self.title}: applies from {self.effective_from.isoformat()}, after this audit's date.")
        if self.effective_until is not None and as_of > self.effective_until:
            notes.append(f"{self.title}: applied until {self.effective_until.isoformat()}, before this audit's date.")
        return tuple(notes)


def available() -> tuple[str, ...]:
    """The ids of the rule sets installed, sorted."""
    return tuple(sorted(path.stem for path in resources.frameworks_dir().glob("*.yaml")))


@lru_cache(maxsize=64)
def load_framework(framework_id: str) -> Framework:
    """One installed rule set.

    Raises:
        PolicyError: there is none of this id (with the nearest, and the list), or its file is not as it has to be.
    """
    known = available()
    if framework_id not in known:
        close = did_you_mean(framework_id, known)
        hint = f"did you mean '{close}'?" if close else f"available: {listed(known)}"
        raise PolicyError(Complaint(f"there is no rule set '{framework_id}'", hint=hint))
    return read_framework(resources.frameworks_dir() / f"{framework_id}.yaml")


def read_framework(path: Path) -> Framework:
    """A rule set from a file of any place.

    Raises:
        PolicyError: every complaint about the file, with file:line:column.
    """
    document = read_document(path)
    try:
        framework = Framework.model_validate_json(as_json(document.data), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        complaints = explain(error, model=Framework, data=document.data, locate=document.place)
        raise PolicyError(complaints) from None
    if framework.id != path.stem:
        message = f"the rule set's id is '{framework.id}' and its file is named '{path.name}'"
        raise PolicyError(Complaint(message, where=document.place(("id",)), hint="let them agree"))
    return framework


def warnings(frameworks: Sequence[Framework], as_of: date) -> dict[str, tuple[str, ...]]:
    """Id -> what the author of a policy that names these rule sets has to hear about each; ids without any left out.

    Superseded, deferred, proposed, not yet or no longer binding on the audit's date; named beside its successor; in
    conflict with another of them.
    """
    titles = {framework.id: framework.title for framework in frameworks}
    found: dict[str, list[str]] = {framework.id: [*framework.binding_notes(as_of)] for framework in frameworks}
    for one in frameworks:
        if one.replaced_by in titles:
            told = f"{one.title} and its successor {titles[one.replaced_by]} are both named; keep the one that binds."
            found[one.id].append(told)
        for conflict in one.conflicts:
            if conflict.against in titles:
                told = f"{one.title} and {titles[conflict.against]} conflict: {conflict.why}."
                found[one.id].append(told)
                found[conflict.against].append(told)
    return {name: tuple(dict.fromkeys(told)) for name, told in found.items() if told}


def told(frameworks: Sequence[Framework], as_of: date) -> tuple[str, ...]:
    """All warnings, each once, in the order of the rule sets."""
    return tuple(dict.fromkeys(text for own in warnings(frameworks, as_of).values() for text in own))


def domain_problem(framework: Framework, domain: str | None) -> str | None:
    """Why a policy of this domain may not name the rule set, or None."""
    if not framework.domains or domain in framework.domains:
        return None
    of = " or ".join(f"'{name}'" for name in framework.domains)
    said = f"is of the domain '{domain}'" if domain else "states no domain"
    return f"'{framework.id}' is for the domain {of}, and the policy {said}"
