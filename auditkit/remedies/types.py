"""What the room's files hand to each other.

Legend: K models, P pool rows, N training rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from auditkit.bank.types import Bank, Plan
from auditkit.policy.settings import Section
from auditkit.result import Fact
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.types import Ints, Mask, Table


@dataclass(frozen=True)
class Material:
    """What a remedy may look at to say what it would do otherwise."""

    subject: TabularSubject
    table: Table
    bank: Bank
    """The K models without the remedy; a remedy's models learn the same halves from the same seeds."""
    exposed: Mask | None
    """[N] training records marked as exposed; None where exposure was not measured."""
    clusters: Ints | None
    """[N] number of the cluster of exact and near copies, -1 for none."""
    persons: Ints | None
    """[P] codes of persons of the pool rows."""
    minimum_cell: int
    generator: np.random.Generator

    @property
    def training(self) -> Mask:
        """[P] pool rows that are training records."""
        return np.asarray(self.table.split[self.bank.plan.rows] == "train", dtype=np.bool_)


@dataclass(frozen=True)
class Trial:
    """A remedy as it will be tried."""

    what: str
    """What is done otherwise, in one sentence."""
    train: Callable[[Plan], Bank]
    """Trains the models of a plan with the remedy."""
    removed: Mask | None = None
    """[P] pool rows that no model learns from; None where all stay."""
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    onion: bool = False
    """Whether it is asked who becomes exposed next."""


@dataclass(frozen=True)
class Way:
    """A kind of remedy: one row of the registry."""

    title: str
    source: str
    propose: Callable[[Section | None, Material], Trial | str]
    """The trial, or why there is nothing to try."""
