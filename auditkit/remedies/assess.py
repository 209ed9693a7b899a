"""The room's door: retrained models and what was marked in, RemediesPart out."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from auditkit.bank.types import Bank
from auditkit.errors import AuditError
from auditkit.policy.remedies import RemedySettings
from auditkit.privacy.disclosure import small
from auditkit.remedies.people import People
from auditkit.remedies.propose import Proposal, proposals
from auditkit.remedies.registry import WAYS
from auditkit.remedies.types import Material
from auditkit.remedies.verify import first, verify
from auditkit.result import RemediesPart, Remedy
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.persons import person_codes, support
from auditkit.subject.types import Ints, Mask, Subject, Table

FOREIGN: Final = (
    "not possible: only of models that auditkit trains itself (adapter `tabular`) is the recipe known that a remedy "
    "changes"
)
FEWEST: Final = 16
NOTES: Final = (
    "Each remedy's models learned the same random halves from the same seeds as the models without it, so that a "
    "change is a difference of pairs. They are models of the recipe, not the audited model.",
    "Intervals of accuracy and group measures carry the chance of halves, of training and of which persons the "
    "evaluation records are of; those of risk and attack the chance of halves and training only. Each holds on its "
    "own: of many changes, some leave zero by chance.",
)


def assess(
    settings: RemedySettings,
    *,
    subject: Subject,
    table: Table,
    bank: Bank | None,
    no_bank: str,
    exposed: Mask | None,
    clusters: Ints | None,
    people: People,
    risk_threshold: float,
    generator: np.random.Generator,
) -> RemediesPart:
    """Try every remedy that the policy asks for.

    Args:
        settings: the policy's section. subject: the audited model. table: its data.
        bank: models on halves of training and reserve records, or None and `no_bank` says why.
        exposed: [N] training records marked as exposed, or None. clusters: [N] copies, -1 for none, or None.
        people: evaluation records and the policy's fairness measures. risk_threshold: the policy's.
        generator: draws the control of the removal and bootstrap samples.
    """
    if not settings.try_:
        return RemediesPart()
    why = no_bank if bank is None else "" if isinstance(subject, TabularSubject) else FOREIGN
    if not why and bank is not None and len(bank.plan.masks) < FEWEST:
        why = f"fewer than {FEWEST} retrained models to pair"
    if why or bank is None or not isinstance(subject, TabularSubject):
        return RemediesPart(status="not-applicable", reason=why)
    persons = None if table.persons is None else person_codes(table.persons[bank.plan.rows])
    material = Material(
        subject, table, first(bank, settings.models), exposed, clusters, persons, people.minimum_cell, generator
    )
    if small(support(material.training, persons), people.minimum_cell):
        return RemediesPart(status="withheld", reason=f"fewer than {people.minimum_cell} persons or records")
    found = tuple(
        _tried(one, material, people, risk_threshold=risk_threshold) for one in proposals(settings, material)
    )
    return RemediesPart(status="assessed", reason="", remedies=found, notes=NOTES)


def _tried(proposal: Proposal, material: Material, people: People, *, risk_threshold: float) -> Remedy:
    way, trial = WAYS[proposal.name], proposal.trial
    blank = Remedy(
        name=proposal.name, title=way.title, source=way.source, status="not-applicable", reason=proposal.reason
    )
    if trial is None:
        return blank
    own = replace(material, generator=material.generator.spawn(1)[0])
    try:
        found = verify(trial, own, people, threshold=risk_threshold, level=people.settings.level)
    except AuditError as error:
        return blank.model_copy(update={"reason": f"training with the remedy failed: {error}", "what": trial.what})
    return Remedy(
        name=proposal.name, title=way.title, source=way.source, status="assessed", what=trial.what,
        models=found.models, facts=trial.facts, changes=found.changes, onion=found.onion, notes=trial.notes,
    )  # fmt: skip

