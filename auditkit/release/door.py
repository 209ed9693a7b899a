"""The door of the differencing guard: what was assessed under a policy in, what may be published out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pandas as pd
from numpy.typing import NDArray

from auditkit.policy.schema import Policy
from auditkit.release.cells import Cells, cells_of, content_of, marks_of
from auditkit.release.guard import Guarded, Parts, guard
from auditkit.release.secrets import counts_in, secrets_of, texts_in
from auditkit.release.selftest import STATEMENT, Again, require_sealed
from auditkit.result import AuditResult, Fact
from auditkit.subject.memberships import memberships_of, public_texts
from auditkit.subject.types import Predictions, Slice, Table

OF_SLICES: Final = frozenset({"discovery_p"})
"""Restricted arrays whose entries are of sets of records that a public file tells of as well."""


@dataclass(frozen=True)
class Beside:
    """What a new release is held against."""

    key: bytes
    """Of the digests by which persons are compared."""
    earlier: tuple[Cells, ...] = ()
    """What each earlier release of the policy counted."""


def released(
    policy: Policy,
    table: Table,
    predictions: Predictions,
    slices: Sequence[Slice],
    arrays: Mapping[str, NDArray[Any]],
    *,
    parts: Parts,
    beside: Beside | None,
) -> Guarded:
    """Withhold what would tell of a few persons beside the earlier releases; see `guard`.

    Args:
        arrays: the privacy room's, in which marked records are found.
        beside: the earlier releases; None where nothing is released, and then nothing is withheld.
    """
    if beside is None:
        return Guarded(parts)
    exposure = parts.privacy.exposure
    edges = [] if exposure is None else [band.low for band in exposure.bands]
    marks = marks_of(arrays, len(table.rows("train")), edges)
    slices = (*slices, *memberships_of(policy, table, predictions))
    cells = cells_of(
        table, predictions, slices, marks, keys=(policy.data.id, policy.data.person), key=beside.key
    )
    minimum = policy.report.minimum_cell
    return guard(parts, cells, beside.earlier, groupings=table.groupings.values(), minimum=minimum)


def sealed() -> tuple[Fact, ...]:
    """What the report says of the self-test."""
    return (Fact(name="Searched before release", value=STATEMENT),)


Seal: TypeAlias = Callable[[Mapping[str, bytes]], None]
"""Takes finished public files by name, and raises IntegrityError where one holds what it must not."""


def sealing(
    policy: Policy,
    table: Table,
    result: AuditResult,
    *,
    arrays: Mapping[str, NDArray[Any]],
    tables: Mapping[str, pd.DataFrame],
    again: Again,
) -> Seal:
    """What holds finished public files against everything of the audit that must not be in them; see `selftest`.

    Args:
        policy: whose texts may be published.
        table: the data.
        result: what the files say.
        arrays: restricted, record by record.
        tables: restricted as well.
        again: sets the page of a result.
    """
    single = (array for name, array in arrays.items() if name not in OF_SLICES)
    columns = (frame[name].to_numpy() for frame in tables.values() for name in frame.columns)
    secrets = secrets_of(
        table, (*single, *columns), keys=(policy.data.id, policy.data.person),
        public=[*texts_in(result.policy), *(label for own in table.groupings.values() for label in own.labels),
            *counts_in(result.model_dump()), *public_texts(policy.memberships, table.frame)],
        digests=digests_of(result),
        minimum=policy.report.minimum_cell,
    )  # fmt: skip
    return lambda public: require_sealed(public, result, secrets, again=again)


def digests_of(result: AuditResult) -> tuple[str, ...]:
    """The digests that a result states, and the one in its run id."""
    stated = (*result.stamp.digests.values(), *(artifact.sha256 for artifact in result.artifacts))
    return (*stated, result.stamp.run_id.rpartition("-")[2])


def key_of(table: Table) -> bytes:
    """A key that only the data make: the digest of all ids and records."""
    digest = hashlib.sha256(b"auditkit released cells")
    for texts in (table.ids.tolist(), content_of(table, ())):
        digest.update("".join([f"{text}\0" for text in texts]).encode("utf-8", "surrogatepass"))
    return digest.digest()
