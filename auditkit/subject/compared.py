"""Other models of the policy's `compare`, opened and asked about the evaluation records once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from auditkit.errors import Complaint, DataError, ModelError
from auditkit.policy.compare import ComparedRule
from auditkit.policy.schema import Model, Policy
from auditkit.subject.predict import decide_rows
from auditkit.subject.types import Floats, Subject, Table
from auditkit.subject.values import closest, listing

Locate = Callable[..., str]


@dataclass(frozen=True)
class Compared:
    """A model beside the audited one, as it answered."""

    decision: Floats
    """[M] evaluation rows, 1.0 favourable."""
    source: str
    """What it is, in words."""
    threshold: float | None
    digest: str
    """Of the model's files, or of its recorded answers."""


def open_compared(policy: Policy, table: Table, base: Path, locate: Locate) -> dict[str, Compared]:
    """Every model of `policy.compare` with its answers, in the policy's order.

    Args:
        policy, table: as for `open_subject`. base: folder of the policy file. locate: keys -> `file:line:column`.

    Raises:
        ModelError: a folder holds no model, or one that reads other columns or learned another label.
        DataError: recorded answers lack, or are not what they should be.
        IntegrityError: a stored model's files do not belong together.
    """
    found = {}
    for name, rule in policy.compare.items():
        if rule.path is None:
            subject = _recorded(policy, table, name, rule, locate)
        else:
            subject = _stored(policy, table, base / rule.path, name, rule.threshold)
        found[name] = _asked(subject, table)
    return found


def _asked(subject: Subject, table: Table) -> Compared:
    """The decisions, by the score where there is one, as the audited model's are made."""
    _, decision = decide_rows(subject, table, table.rows("evaluation"))
    return Compared(decision, subject.kind, subject.threshold, subject.digest)


def _stored(policy: Policy, table: Table, folder: Path, name: str, threshold: float) -> Subject:
    """A tabular model; it may be trained otherwise, on other columns of the same file, but on the same label."""
    from auditkit.subject.adapters.tabular import as_subject, unfamiliar
    from auditkit.subject.store import load

    fitted, digest = load(folder)
    label, where = policy.data.label, f"compare.{name}"
    if fitted.recipe.label != label.column or str(fitted.recipe.favourable) != str(label.favourable):
        message = (
            f"the model learned {fitted.recipe.favourable!r} of {fitted.recipe.label!r}, and the policy's favourable "
            f"label is {label.favourable!r} of {label.column!r}"
        )
        raise ModelError(Complaint(message, where, "compare models of one outcome"))
    lacking = [column for column in fitted.encoding.columns if column not in table.frame.columns]
    if lacking:
        message = f"the model reads {listing(lacking)}, which the data have not"
        raise ModelError(Complaint(message, where, "record its decisions in the evaluation file, and name decision:"))
    return as_subject(fitted, threshold=threshold, digest=digest, checks=unfamiliar(fitted, table))


def _recorded(policy: Policy, table: Table, name: str, rule: ComparedRule, locate: Locate) -> Subject:
    """Recorded answers, read as the adapter `predictions` reads those of the audited model."""
    from auditkit.subject.adapters.predictions import open_subject

    known = [str(column) for column in table.frame.columns]
    if rule.score is not None and rule.score not in known:
        near = closest(rule.score, known)
        hint = f"did you mean {near!r}?" if near else f"there are {listing(known)}"
        raise DataError(Complaint(f"no column {rule.score!r} in the data", locate("compare", name, "score"), hint))
    model = Model(adapter="predictions", decision=rule.decision, score=rule.score, threshold=rule.threshold)
    asked = policy.model_copy(update={"model": model})
    try:
        return open_subject(asked, table, Path())
    except (DataError, ModelError) as error:
        placed: Mapping[str, str] = {
            f"model.{key}": locate("compare", name, key) for key in ("decision", "score")
        }
        raise type(error)([
            Complaint(c.message, placed.get(c.where, c.where), c.hint) for c in error.complaints
        ]) from error
