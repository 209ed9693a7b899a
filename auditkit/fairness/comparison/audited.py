"""The comparison of an audit: what the policy's `compare` names, on the evaluation records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from auditkit.fairness.comparison.assess import Other, assess
from auditkit.policy.schema import Policy
from auditkit.result import FairnessPart
from auditkit.subject.compared import Compared
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Predictions, Table


def with_models(
    part: FairnessPart, policy: Policy, table: Table, predictions: Predictions, others: Mapping[str, Compared]
) -> FairnessPart:
    """The part with the audited model beside every other one; as it is where the policy names none."""
    if not others or part.status != "assessed":
        return part
    rows = table.rows("evaluation")
    found = assess(
        groupings={name: replace(own, codes=own.codes[rows]) for name, own in table.groupings.items()},
        truth=predictions.truth,
        decision=predictions.decision,
        others={name: Other(own.decision, own.source, own.threshold) for name, own in others.items()},
        persons=None if table.persons is None else person_codes(table.persons[rows]),
        settings=policy.fairness,
        minimum_cell=policy.report.minimum_cell,
        weights=None if policy.data.weight is None else table.weights[rows],
    )
    return part.model_copy(update={"models": found})
