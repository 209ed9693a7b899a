"""The decision echo: what the model decides through auditkit, held against its plain answers on its owner's own rows.

The rows are taken afresh from where the user has them, the frame that was given or the file as pandas reads it, and
pass through nothing of auditkit but the choice of the model's columns. A difference means that the audit would be of
another model than the owner's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, ModelError
from auditkit.subject.importing import WHERE
from auditkit.subject.inputs import ask, inputs
from auditkit.subject.sources import Statements
from auditkit.subject.types import Floats, Ints, Subject, Table
from auditkit.subject.values import listing
from auditkit.subject.views import sample


def echo_decisions(
    subject: Subject, table: Table, stated: Statements, decide: Callable[[pd.DataFrame], Floats]
) -> None:
    """Compare decisions on a sample of the evaluation rows.

    Args:
        subject: the model as the audit asks it. table: its data.
        stated: how its files are read. decide: the model's plain decisions on a frame of its owner's.

    Raises:
        ModelError: some decisions differ: how many, on which records, and which columns differ in type.
    """
    source = table.sources.get("evaluation")
    if source is None:
        return
    rows = sample(table.rows("evaluation"))
    own = source.read(stated).iloc[rows - rows[0]]
    asked = ask(lambda frame, _: subject.decide(frame), subject, table, rows, "decision")
    plain = decide(own)
    if np.array_equal(asked, plain):
        return
    again = int((decide(own) != plain).sum())
    if again:
        message = f"the model decides {again:,} of {len(rows):,} records otherwise when it is asked again"
        raise ModelError(Complaint(message, WHERE, "fix its random numbers: its answers must be repeatable"))
    raise ModelError(_difference(np.flatnonzero(asked != plain), rows, own, inputs(subject, table, rows)))


def _difference(at: Ints, rows: Ints, own: pd.DataFrame, given: pd.DataFrame) -> Complaint:
    """How many decisions differ, on which evaluation records (1-based), and by which columns that can be."""
    columns = [
        f"{name} ({own[name].dtype} to its owner, {given[name].dtype} here)"
        for name in own.columns
        if name not in given.columns or own[name].dtype != given[name].dtype
    ]
    first = ", ".join(str(int(row)) for row in rows[at[:5]] - rows[0] + 1)
    why = "differing types: " + listing(columns) if columns else "no column differs in type"
    message = (
        f"{len(at):,} of {len(rows):,} evaluation records are decided otherwise through the audit than by the model "
        f"alone (records {first}; {why})"
    )
    hint = "bring the data with the types that the model was fitted on, as Parquet or as frames"
    return Complaint(message, WHERE, hint)
