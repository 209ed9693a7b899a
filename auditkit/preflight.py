"""Everything that can be wrong, found before any heavy work: policy, rule sets, data, model, slices.

`prepare` opens what an audit needs; `check` also asks the model for its decisions and resolves the slices, so that what
passes `check` can be run. Both raise one AuditError with every complaint that could be found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.policy.frameworks import Framework, load_framework
from auditkit.policy.load import LoadedPolicy, load
from auditkit.policy.schema import Policy
from auditkit.subject.types import Subject, Table


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


def prepare(path: Path) -> Prepared:
    """Load the policy at `path` and open its data and model.

    Raises:
        PolicyError, DataError, ModelError, IntegrityError: with every complaint of its kind at once.
    """
    from auditkit.subject.open import open_subject

    loaded, table = prepare_data(path)
    frameworks = tuple(load_framework(name) for name in loaded.policy.frameworks)
    subject = open_subject(loaded.policy, table, loaded.base)
    return Prepared(
        policy=loaded.policy, resolved=loaded.resolved, digest=loaded.digest, frameworks=frameworks, table=table,
        subject=subject, locate=loaded.locate,
    )  # fmt: skip


def prepare_data(path: Path) -> tuple[LoadedPolicy, Table]:
    """Load the policy at `path` and read its data; the model may not exist yet.

    Raises:
        PolicyError, DataError: with every complaint of its kind at once.
    """
    from auditkit.subject.table import read_table

    loaded = load(path)
    return loaded, read_table(loaded.policy, loaded.locate)


def check(path: Path) -> str:
    """Open everything, predict, resolve the slices; say in one sentence what is there.

    Raises:
        AuditError: what is wrong, all at once.
    """
    from auditkit.subject.predict import predict
    from auditkit.subject.slices import resolve

    prepared = prepare(path)
    table = prepared.table
    slices = resolve(prepared.policy, table, predict(prepared.subject, table), locate=prepared.locate)
    splits = [f"{len(table.rows(s)):,} {s}" for s in ("train", "reserve", "evaluation") if len(table.rows(s))]
    rules, named = len(prepared.policy.rules), len(slices)
    return f"{rules} rules, {named} slices; {', '.join(splits)} records; {prepared.subject.kind}"
