"""What a membership attack takes and gives: the contract that every file under `attacks/` keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auditkit.subject.types import Floats, Mask


@dataclass(frozen=True)
class Retrained:
    """What models retrained on halves of members and non-members together say of the same records.

    Columns [P = N + K]: the members in the order of the training rows, then the non-members in that of the reserve.
    """

    margin: Floats
    """[B, P] margin logit of each of B models."""
    inside: Mask
    """[B, P] whether the model learned from the record."""


@dataclass(frozen=True)
class Evidence:
    """What an attacker with query access and the records' labels sees of the audited model."""

    loss_members: Floats
    """[N] loss of the training records, nats."""
    loss_nonmembers: Floats
    """[K] loss of reserve records: same population, never seen by the model."""
    retrained: Retrained | None = None
    """What an attacker learns besides who has such records and trains models of the same recipe on halves of them."""


@dataclass(frozen=True)
class Scores:
    """An attack's answer: the larger, the more like a member."""

    members: Floats
    """[N]"""
    nonmembers: Floats
    """[K]"""


@dataclass(frozen=True)
class Attack:
    """One row of ATTACKS."""

    title: str
    source: str
    score: Callable[[Evidence], Scores]
    measures: str
    """Prefix of its measures: `privacy.` + prefix + `tpr_at_fpr_0.01`."""
    auc: str
    """Name of its AUC among the measures."""
    needs_retrained: bool = False
