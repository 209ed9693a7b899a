"""How the model's owner holds the data: frames untouched, files as pandas reads them, and what may change that.

Who says how a column of a file is read, the strongest first: what the model itself records of it (`recorded`), what the
policy states (`sources`), pandas. Where the policy's statements change what the model decides and the model records
nothing of the columns, both readings are tried on records whose label is known: a model that is given another reading
than its owner's fits them worse. What that shows is followed and told; where it shows nothing, the audit is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError, ModelError
from auditkit.policy.schema import Data
from auditkit.subject.inputs import Answers, Views, view_of
from auditkit.subject.recorded import Levels, is_text
from auditkit.subject.sources import NOTHING_STATED, Statements
from auditkit.subject.types import Check, Floats, Ints, Split, Table

MOST: Final = 10_000
"""Records that are looked at to compare two readings."""
DECIDES: Final = 4.0
"""Standard errors by which the mean loss under one reading must exceed that under the other."""


@dataclass(frozen=True)
class Reading:
    """How the owner's data are read for the model."""

    stated: Statements
    views: Views
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Asked:
    """The model, asked about frames: scores [B] and losses [B] under the labels [B]."""

    score: Callable[[pd.DataFrame], Answers]
    loss: Callable[[pd.DataFrame, Floats], Floats]
    columns: tuple[str, ...]
    """Those that it reads; empty where that is not known."""


def owner_views(table: Table, stated: Statements = NOTHING_STATED) -> Views:
    """Every split as its owner holds it, with the columns that all splits have.

    Raises:
        DataError: pandas reads another number of records than auditkit does.
    """
    read: dict[Split, pd.DataFrame] = {split: source.read(stated) for split, source in table.sources.items()}
    for split, frame in read.items():
        if len(frame) != len(table.rows(split)):
            message = f"pandas reads {len(frame):,} records where the file has {len(table.rows(split)):,}"
            raise DataError(Complaint(message, table.sources[split].name, "look for broken quotes"))
    shared = set.intersection(*(set(frame.columns) for frame in read.values())) if read else set()
    return {
        split: frame if shared == set(frame.columns) else frame[[c for c in frame.columns if c in shared]]
        for split, frame in read.items()
    }


def stated_of(data: Data, recorded: Levels) -> Statements:
    """The policy's statements where the model records nothing else of a column."""
    own = Statements.of(data)
    texts = {column for column, levels in recorded.items() if is_text(levels)}
    others = set(recorded) - texts
    return Statements((own.text | texts) - others, own.numbers - texts, own.missing)


def chosen_reading(table: Table, data: Data, recorded: Levels, asked: Asked) -> Reading:
    """The reading that the model is given, and what there is to tell of the choice.

    Args:
        table: the data and where they are from. data: the policy's section. recorded: what the model itself says.
        asked: the model.

    Raises:
        ModelError: the statements change what the model decides, and nothing shows which reading its owner's was.
    """
    stated = stated_of(data, recorded)
    first = Reading(stated, owner_views(table, stated))
    bare = replace(stated, text=frozenset(recorded) & stated.text, numbers=frozenset(), missing=())
    if bare == stated or all(source.frame is not None for source in table.sources.values()):
        return first
    plain = Reading(bare, owner_views(table, bare))
    differing = _differing(first.views, plain.views, asked.columns)
    return _better(table, first, plain, differing, asked) if differing else first


def _differing(one: Views, other: Views, columns: tuple[str, ...]) -> list[str]:
    """The columns read by the model whose type or values differ in some split."""
    met = dict.fromkeys(str(name) for frame in one.values() for name in frame.columns)
    return [
        name for name in met
        if (not columns or name in columns) and not all(one[s][name].equals(other[s][name]) for s in one)
    ]  # fmt: skip


def _better(table: Table, first: Reading, plain: Reading, differing: list[str], asked: Asked) -> Reading:
    """Of two readings the one under which the model answers at all, or fits the known labels better."""
    evaluation = sample(table.rows("evaluation"))
    scores = [_tried(asked.score, view_of(one.views, table, evaluation)) for one in (first, plain)]
    if scores[1] is None or (scores[0] is not None and np.array_equal(scores[0], scores[1], equal_nan=True)):
        return first
    text = (
        "columns of which data states how they are read, and which the model fits only as pandas alone reads them; it "
        "was given them so"
    )
    other = replace(plain, checks=(Check("columns read as pandas reads them", len(differing), text),))
    if scores[0] is None:
        return other
    rows = sample(table.rows("train") if len(table.rows("train")) else table.rows("evaluation"))
    rows = rows[np.isfinite(table.label[rows])]
    losses = [asked.loss(view_of(one.views, table, rows), table.label[rows]) for one in (first, plain)]
    excess = losses[1] - losses[0]
    error = float(excess.std(ddof=1)) / len(excess) ** 0.5 if len(excess) > 1 else np.inf
    if abs(float(excess.mean())) <= DECIDES * error:
        count = int((scores[0] != scores[1]).sum())
        raise ModelError(_undecided(first.views["evaluation"], plain.views["evaluation"], differing, count))
    return first if float(excess.mean()) > 0 else other


def _tried(question: Callable[[pd.DataFrame], Answers], frame: pd.DataFrame) -> Answers | None:
    """The answers, or None where the model cannot take the frame."""
    try:
        return question(frame)
    except ModelError:
        return None


def _undecided(stated: pd.DataFrame, plain: pd.DataFrame, differing: list[str], count: int) -> Complaint:
    """Two readings, two answers, and nothing that shows which one is the owner's."""
    types = ", ".join(f"{name!r} ({plain[name].dtype} to pandas, {stated[name].dtype} by the policy)"
                      for name in differing[:5])  # fmt: skip
    message = (
        f"the model scores {count:,} of {min(MOST, len(stated)):,} evaluation records otherwise when columns are read "
        f"as the policy states than when pandas alone reads them: {types}"
    )
    hint = (
        "remove them from data.categorical, data.numeric or data.missing if the model was fitted on pandas' own "
        "reading, or bring Parquet files with the types that it was fitted on"
    )
    return Complaint(message, "data", hint)


def sample(rows: Ints) -> Ints:
    """All rows, or `MOST` of them at even distances."""
    return rows if len(rows) <= MOST else rows[np.linspace(0, len(rows) - 1, MOST).astype(np.int64)]
