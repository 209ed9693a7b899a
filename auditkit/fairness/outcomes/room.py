"""What the fairness part says of the policy's further outcomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditkit.fairness.outcomes.reading import outcome_parts
from auditkit.policy.schema import Policy
from auditkit.result import FairnessPart
from auditkit.subject.types import Table


def with_outcomes(part: FairnessPart, policy: Policy, table: Table, generator: np.random.Generator) -> FairnessPart:
    """The part with every further outcome of the policy; as it is, and with nothing drawn, where there is none.

    Args:
        part: from the groups. generator: a child of it is drawn from.

    Raises:
        DataError: see `reading.read_all`; preflight has read them before.
    """
    if not policy.outcomes:
        return part
    rows = table.rows("evaluation")
    found = outcome_parts(
        policy.outcomes, table.frame.iloc[rows],
        groupings={name: replace(own, codes=own.codes[rows]) for name, own in table.groupings.items()},
        persons=None if table.persons is None else table.persons[rows],
        weights=None if policy.data.weight is None else table.weights[rows], settings=policy.fairness,
        minimum_cell=policy.report.minimum_cell, generator=generator.spawn(1)[0],
    )  # fmt: skip
    return part.model_copy(update={"outcomes": found})
