"""What a membership attack takes and gives: the contract that every file under `attacks/` keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auditkit.subject.types import Floats


@dataclass(frozen=True)
class Evidence:
    """What an attacker with query access and the records' labels sees of the audited model."""

    loss_members: Floats
    """[N] loss of the training records, nats."""
    loss_nonmembers: Floats
    """[K] loss of reserve records: same population, never seen by the model."""


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
