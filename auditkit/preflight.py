"""Everything that can be wrong, found before any heavy work: policy, rule sets, data, model, slices.

`prepare` opens what an audit needs; `check` also asks the model for its decisions and resolves the slices, so that what
passes `check` can be run. Both raise one AuditError with every complaint that could be found at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.errors import Complaint, DataError, PolicyError
from auditkit.policy.frameworks import Framework, load_framework
from auditkit.policy.load import LoadedPolicy, load
from auditkit.policy.schema import Policy
from auditkit.subject.types import Split, Subject, Table

if TYPE_CHECKING:
    from auditkit.subject.compared import Compared

SPLITS: tuple[Split, ...] = ("train", "reserve", "evaluation")
ID_LIKE = re.compile(r"\w(?:[\w./-]*\w)?")
READ_FOR_THE_TABLE = frozenset({"data", "protected", "intersections", "model", "report"})
"""Sections of the policy on which the table depends; `report` for its minimum cell."""
NOT_TEXT = frozenset({"cases", "where", "data", "model", "protected", "intersections", "extends"})


@dataclass(frozen=True)
class Prepared:
    """Everything that an audit reads, opened and checked."""

    policy: Policy
    resolved: Mapping[str, Any]
    """The policy as its author wrote it, `extends` resolved; what the report prints."""
    digest: str
    frameworks: tuple[Framework, ...]
    table: Table
    subject: Subject
    locate: Callable[..., str]
    """Keys of the policy -> `file:line:column`."""
    compared: Mapping[str, Compared] = field(default_factory=dict)
    """Other models of the policy's `compare`, and what they answered."""

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of policy, data files and models."""
        others = {f"compared {name}": other.digest for name, other in self.compared.items()}
        return {"policy": self.digest, **self.table.digests, "model": self.subject.digest, **others}


Tables = dict[str, Table]
"""Tables read in one call, so that many policies on one base read their data once."""


def prepare(path: Path, *, tables: Tables | None = None) -> Prepared:
    """Load the policy at `path` and open its data and model.

    Args:
        path: the policy file.
        tables: what was read for other policies of the same call; filled here. None reads afresh.

    Raises:
        PolicyError, DataError, ModelError, IntegrityError: with every complaint of its kind at once.
    """
    from auditkit.privacy.reserve_overlap import require_strangers
    from auditkit.subject.compared import open_compared
    from auditkit.subject.memberships import read_memberships
    from auditkit.subject.open import open_subject

    loaded, table = prepare_data(path, tables=tables)
    if loaded.policy.data.id is not None:
        require_no_ids(loaded.resolved, table, loaded.locate)
    frameworks = tuple(load_framework(name) for name in loaded.policy.frameworks)
    subject = open_subject(loaded.policy, table, loaded.base)
    require_enough(loaded.policy, table)
    require_strangers(loaded.policy, table, subject.features, loaded.locate)
    read_memberships(loaded.policy.memberships, table.frame.iloc[table.rows("evaluation")], locate=loaded.locate)
    require_outcomes(loaded.policy, table, loaded.locate)
    return Prepared(
        policy=loaded.policy, resolved=loaded.resolved, digest=loaded.digest, frameworks=frameworks, table=table,
        subject=subject, locate=loaded.locate, compared=open_compared(loaded.policy, table, loaded.base, loaded.locate),
    )  # fmt: skip


def require_enough(policy: Policy, table: Table) -> None:
    """A split of fewer persons than the minimum cell has no figure that may be published, not even its size.

    Raises:
        DataError: a split holds too few; all of them at once.
    """
    least, complaints = policy.report.minimum_cell, []
    for split in SPLITS:
        rows = table.rows(split)
        persons = len(rows) if table.persons is None else len(set(table.persons[rows].tolist()))
        if len(rows) and persons < least:
            message = f"the {split} records are of fewer than {least} persons, the policy's minimum cell"
            complaints.append(Complaint(message, f"data.{split}", "bring more records: nothing could be published"))
    if complaints:
        raise DataError(complaints)


def require_outcomes(policy: Policy, table: Table, locate: Callable[..., str]) -> None:
    """The columns of further outcomes are there and hold what their kind needs.

    Raises:
        DataError: all that is wrong with them, at once.
    """
    if policy.outcomes:
        from auditkit.fairness.outcomes.reading import read_all

        rows, least = table.rows("evaluation"), policy.report.minimum_cell
        read_all(
            policy.outcomes, table.frame.iloc[rows], persons=None, weights=None, minimum_cell=least, locate=locate
        )


def require_no_ids(resolved: Mapping[str, Any], table: Table, locate: Callable[..., str]) -> None:
    """The policy's free text is published, so it may name no record and no person; plain numbers are not looked at.

    Raises:
        PolicyError: texts name ids; all of them at once, by place.
    """
    known = {*table.ids, *(() if table.persons is None else table.persons)}
    complaints = [
        Complaint("this text names a record or a person by id", locate(*keys), "texts are published; use `cases`")
        for keys, text in _texts(resolved, ())
        if not known.isdisjoint(token for token in ID_LIKE.findall(text) if not token.isdigit())
    ]
    if complaints:
        raise PolicyError(complaints)


def _texts(value: Any, keys: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The policy's names and texts with their keys; cases and filters are withheld elsewhere, the rest is no text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in NOT_TEXT:
                yield (*keys, key), str(key)
                yield from _texts(inner, (*keys, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*keys, index))
    elif isinstance(value, str):
        yield keys, value


def prepare_data(path: Path, *, tables: Tables | None = None) -> tuple[LoadedPolicy, Table]:
    """Load the policy at `path` and read its data; the model may not exist yet.

    Raises:
        PolicyError, DataError: with every complaint of its kind at once.
    """
    from auditkit.subject.table import read_table

    loaded = load(path)
    read = {} if tables is None else tables
    key = loaded.policy.model_dump_json(include=set(READ_FOR_THE_TABLE))
    if key not in read:
        read[key] = read_table(loaded.policy, loaded.locate)
    return loaded, read[key]


def _unheard(frameworks: tuple[Framework, ...]) -> None:
    """Tell nobody."""


def check(
    path: Path, *, tables: Tables | None = None, heard: Callable[[tuple[Framework, ...]], None] = _unheard
) -> str:
    """Open everything, predict, resolve the slices; say in one sentence what is there.

    Args:
        path: the policy file.
        tables: what was read for other policies of the same call; filled here. None reads afresh.
        heard: handed the rule sets that the policy names, once everything else is in order.

    Raises:
        AuditError: what is wrong, all at once.
    """
    from auditkit.subject.predict import predict
    from auditkit.subject.slices import resolve

    prepared = prepare(path, tables=tables)
    table = prepared.table
    slices = resolve(prepared.policy, table, predict(prepared.subject, table), locate=prepared.locate)
    heard(prepared.frameworks)
    splits = [f"{len(table.rows(s)):,} {s}" for s in ("train", "reserve", "evaluation") if len(table.rows(s))]
    rules, named = len(prepared.policy.rules), len(slices)
    return f"{rules} rules, {named} slices; {', '.join(splits)} records; {prepared.subject.kind}"
