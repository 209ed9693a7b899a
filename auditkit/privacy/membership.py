"""What a membership attack takes and gives: the contract that every file under `attacks/` keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from auditkit.errors import DataError
from auditkit.subject.types import Floats, Ints, Mask

Need: TypeAlias = Literal["loss", "retrained", "features", "course"]
"""What an attack needs beside the audited model's losses: nothing, models retrained with and without the records,
the records' features, or the course of the audited model's training."""


@dataclass(frozen=True)
class Retrained:
    """What models retrained on halves of members and non-members together say of the same records.

    Columns [P = N + K]: the members in the order of the training rows, then the non-members in that of the reserve.
    """

    margin: Floats
    """[B, P] margin logit of each of B models."""
    inside: Mask
    """[B, P] whether the model learned from the record."""
    reserve: bool = True
    """Whether there are non-members; without, all columns are training records and no attack can be measured."""
    recipe: str = ""
    """How the models were fitted and which were left out, for the report."""


@dataclass(frozen=True)
class Described:
    """What is publicly known of the records and of some non-members' membership: features, label, and a half to fit on.

    Rows [P = N + K]: members, then non-members.
    """

    columns: Floats
    """[P, F] features and label as numbers; NaN where missing; text levels as codes 0, 1, ..."""
    levels: Mask
    """[F] which columns hold codes."""
    setting: Mask
    """[K] non-members that may be fitted on; nothing is fitted on the others."""
    persons: Ints | None = None
    """[K] person codes of the non-members, or None: each record its own person."""


@dataclass(frozen=True)
class Evidence:
    """What an attacker with query access and the records' labels sees of the audited model."""

    loss_members: Floats
    """[N] loss of the training records, nats."""
    loss_nonmembers: Floats
    """[K] loss of reserve records: same population, never seen by the model."""
    retrained: Retrained | None = None
    """What an attacker learns besides who has such records and trains models of the same recipe on halves of them."""
    described: Described | None = None
    """What an attacker knows besides of the records: their features, and that some records were no members."""
    course: Floats | None = None
    """[C, P] losses at C checkpoints of the audited model's own training, in order, nats; members, then non-members."""

    @property
    def losses(self) -> Floats:
        """[P = N + K] members, then non-members."""
        return np.concatenate([self.loss_members, self.loss_nonmembers])

    def known(self, attack: str) -> Retrained:
        """The retrained models.

        Raises:
            DataError: there are none.
        """
        if self.retrained is None:
            raise DataError(f"the {attack} attack needs retrained models")
        return self.retrained

    def split(self, found: Floats, *, fitted: Mask | None = None) -> Scores:
        """Scores [P] of members and non-members apart."""
        members = len(self.loss_members)
        return Scores(members=found[:members], nonmembers=found[members:], fitted=fitted)


@dataclass(frozen=True)
class Scores:
    """An attack's answer: the larger, the more like a member."""

    members: Floats
    """[N]"""
    nonmembers: Floats
    """[K]"""
    fitted: Mask | None = None
    """[K] non-members on which the attack was fitted: they neither set thresholds nor measure."""

    @property
    def free(self) -> Mask:
        """[K] non-members on which the attack was not fitted."""
        everyone = np.ones(len(self.nonmembers), dtype=np.bool_)
        return everyone if self.fitted is None else ~self.fitted


@dataclass(frozen=True)
class Attack:
    """One row of ATTACKS."""

    title: str
    source: str
    score: Callable[[Evidence], Scores]
    measures: str
    """Prefix of its own measures: `privacy.` + prefix + `tpr_at_fpr_0.01`."""
    auc: str
    """Name of its own AUC among the measures; `privacy.attack_auc` is the strongest attack's."""
    needs: Need = "loss"

    @property
    def needs_retrained(self) -> bool:
        """Whether it needs models retrained with and without the records."""
        return self.needs == "retrained"
