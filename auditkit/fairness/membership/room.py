"""What the fairness part says of the policy's memberships."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.membership.assess import assess
from auditkit.policy.schema import Policy
from auditkit.result import FairnessPart
from auditkit.subject.memberships import read_memberships
from auditkit.subject.types import Predictions, Table


def with_memberships(
    part: FairnessPart, policy: Policy, table: Table, predictions: Predictions, generator: np.random.Generator
) -> FairnessPart:
    """The part with every membership of the policy; as it is, and with no random number drawn, where there is none.

    Args:
        part: from the groups. predictions: of the evaluation rows. generator: a child of it for each membership.

    Raises:
        DataError: see `read_memberships`; preflight has read them before.
    """
    if not policy.memberships:
        return part
    rows = table.rows("evaluation")
    found = read_memberships(policy.memberships, table.frame.iloc[rows], locate=_dotted)
    made = tuple(
        assess(
            membership,
            truth=predictions.truth,
            decision=predictions.decision,
            persons=None if table.persons is None else table.persons[rows],
            weights=None if policy.data.weight is None else table.weights[rows],
            settings=policy.fairness,
            minimum_cell=policy.report.minimum_cell,
            generator=child,
        )
        for membership, child in zip(found.values(), generator.spawn(len(found)), strict=True)
    )
    return part.model_copy(update={"memberships": made})


def _dotted(*keys: str) -> str:
    return ".".join(keys)
