"""The policy's row filters and cases as frozen sets of evaluation rows.

A filter is SQL over the record columns as the files hold them (the label column too) plus `decision` (1 favourable, 0
not) and `score` under the audited model. A row for which it is NULL is unknown: counted, not a member.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from auditkit.errors import AuditError, Complaint, DataError
from auditkit.policy.predicate import Predicate, parse
from auditkit.policy.schema import Policy
from auditkit.subject.columns import Locate
from auditkit.subject.decisions import native_precision
from auditkit.subject.types import Floats, Mask, Predictions, Slice, Table
from auditkit.subject.values import listing, text_of

ANSWERS = ("decision", "score")


def resolve(
    policy: Policy, table: Table, predictions: Predictions, *, locate: Locate | None = None
) -> tuple[Slice, ...]:
    """The policy's slices, then one slice per case, in the policy's order.

    Args:
        policy: slices and cases.
        table: the data; only evaluation rows can be members.
        predictions: the audited model's answers on the evaluation rows.
        locate: keys -> `file:line:column`, for complaints; without it the keys are named.

    Raises:
        PolicyError: a filter is not an allowed expression.
        DataError: a filter names a column that does not exist or hides an answer's name, or a case is not among the
            evaluation records; all of them at once.
    """
    place = locate or (lambda *keys: ".".join(map(str, keys)))
    frame = answered(table, predictions)
    complaints: list[Complaint] = []
    found: list[Slice] = []
    for name, rule in policy.slices.items():
        where = place("slices", name, "where")
        predicate = parse(rule.where, where=where, name=f"slice '{name}'")
        clash = _hidden(predicate, table, policy)
        if clash is not None:
            complaints.append(Complaint(clash, where, "rename the column of the file"))
            continue
        try:
            mask, unknown = predicate.evaluate(frame)
        except AuditError as error:
            complaints += error.complaints
            continue
        text = rule.where if _publishable(predicate, mask, table, policy) else ""
        found.append(Slice(name, "slice", mask, text, rule.why, measure=rule.measure, unknown=int(unknown.sum())))
    found += _cases(policy, table, place, complaints)
    if complaints:
        raise DataError(complaints)
    return tuple(found)


def answered(table: Table, predictions: Predictions) -> pd.DataFrame:
    """The evaluation records [M] with `decision` and, where there are scores, `score`."""
    frame = table.frame.iloc[table.rows("evaluation")].reset_index(drop=True)
    frame["decision"] = predictions.decision.astype(np.int64)
    if predictions.score is not None:
        frame["score"] = native_precision(predictions.score)
    return frame


def on_training(
    policy: Policy, table: Table, decision: Floats | None, score: Floats | None
) -> tuple[tuple[str, str, Mask | None, str], ...]:
    """(name, why, mask [N] or None, why there is no mask) of the policy's slices put to the training records.

    A filter on `decision` or `score` reads the audited model's answers on training records, where it can be asked.

    Args:
        decision, score: [N] the audited model's answers on the training rows, or None.
    """
    frame = table.frame.iloc[table.rows("train")].reset_index(drop=True)
    answers = {name: values for name, values in zip(ANSWERS, (decision, score), strict=True) if values is not None}
    for name in ANSWERS:
        frame = frame.drop(columns=name, errors="ignore")
    frame = frame.assign(
        **{name: v.astype(np.int64) if name == "decision" else native_precision(v) for name, v in answers.items()}
    )
    found: list[tuple[str, str, Mask | None, str]] = []
    for name, rule in policy.slices.items():
        predicate = parse(rule.where, name=f"slice '{name}'")
        if predicate.missing(str(column) for column in frame.columns):
            reason = "the filter reads what is not known of training records"
            found.append((name, rule.why, None, reason))
            continue
        found.append((name, rule.why, predicate.evaluate(frame)[0], ""))
    return tuple(found)


def _publishable(predicate: Predicate, mask: Mask, table: Table, policy: Policy) -> bool:
    """Whether the filter's text may be printed: it names no id, and enough persons pass it and are left out by it."""
    keys = {name.casefold() for name in (policy.data.id, policy.data.person) if name is not None}
    if keys & {name.casefold() for name in predicate.columns}:
        return False
    rows, minimum = table.rows("evaluation"), policy.report.minimum_cell
    persons = rows if table.persons is None else table.persons[rows]
    passing, left = (len(set(persons[part].tolist())) for part in (mask, ~mask))
    return passing >= minimum and (left == 0 or left >= minimum)


def _hidden(predicate: Predicate, table: Table, policy: Policy) -> str | None:
    """The complaint about a file's own column of the name of an answer; None when there is no doubt what is meant."""
    for name in ANSWERS:
        own = policy.model.adapter == "predictions" and name in (policy.model.decision, policy.model.score)
        if name in predicate.columns and name in table.frame.columns and not own:
            return f"{predicate.name} names {name!r}, which is both the model's answer and a column of the file"
    return None


def _cases(policy: Policy, table: Table, place: Locate, complaints: list[Complaint]) -> list[Slice]:
    """One slice per case. Its name is its number in the policy: an id must not reach what is made public."""
    ids = table.ids[table.rows("evaluation")]
    found, absent = [], []
    for number, case in enumerate(policy.cases, start=1):
        wanted = text_of(case)
        mask = np.equal(ids, wanted).astype(bool)
        if not mask.any():
            absent.append(wanted)
            continue
        key = policy.data.id or "row"
        where = "{} = '{}'".format(key, wanted.replace("'", "''"))
        found.append(Slice(f"case {number}", "case", mask, where, "A case named by the policy"))
    if absent:
        counts = f"{len(absent):,} of {len(policy.cases):,} cases"
        message = f"{counts} are not among the evaluation records: {listing(absent)}"
        complaints.append(Complaint(message, place("cases"), "name ids of the evaluation file"))
    return found
