"""How the model's owner holds the data: frames untouched, files as pandas reads them, and what may change that.

Who says how a column of a file is read, the strongest first: what the model itself records of it (`recorded`), what the
policy states (`sources`), pandas. Where the policy's statements change what the model answers and the model records
nothing of the columns, both readings are tried on records whose label is known: a model that is given another reading
than its owner's fits them worse. What that shows is followed and told; where it shows nothing, the audit is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError, ModelError
from auditkit.policy.schema import Data
from auditkit.subject.inputs import Answers, Views
from auditkit.subject.recorded import Levels, is_text
from auditkit.subject.sources import NOTHING_STATED, Statements
from auditkit.subject.types import Check, Floats, Ints, Mask, Split, Table

MOST: Final = 10_000
"""Records that are looked at to compare two ways to ask the model."""
DECIDES: Final = 3.0
"""Standard errors by which the mean squared error of every other way must exceed that of the one chosen."""
PANDAS_READING: Final = (
    "columns of which data states how they are read, and which the model fits only as pandas alone reads them; it was "
    "given them so"
)
ROUNDING: Final = 1e-5
"""Scores that differ by no more than this share are alike: another order of sums, in single precision."""
Way: TypeAlias = Callable[[Ints], Answers]
"""One way to ask the model: rows of the table [B] -> scores [B]."""


@dataclass(frozen=True)
class Reading:
    """How the owner's data are read for the model."""

    stated: Statements
    views: Views
    checks: tuple[Check, ...] = ()
    types: str = ""
    """The columns that are read otherwise without the policy's statements, with both types, in words."""


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


def statements_of(data: Data, recorded: Levels) -> Statements:
    """The policy's statements where the model records nothing else of a column."""
    own = Statements.of(data)
    texts = {column for column, levels in recorded.items() if is_text(levels)}
    others = set(recorded) - texts
    return Statements((own.text | texts) - others, own.numbers - texts, own.missing)


def readings(table: Table, data: Data, recorded: Levels, columns: Sequence[str]) -> tuple[Reading, ...]:
    """The reading that the policy states, and pandas' own where it differs in a column that may be read.

    Args:
        table: the data and where they are from. data: the policy's section. recorded: what the model itself says.
        columns: those that the model reads; empty where that is not known.
    """
    stated = statements_of(data, recorded)
    first = Reading(stated, owner_views(table, stated))
    # That a text is missing can be meant in one way only; levels may also be written as numbers.
    bare = replace(stated, text=frozenset(recorded) & stated.text, numbers=frozenset())
    if bare == stated or all(source.frame is not None for source in table.sources.values()):
        return (first,)
    plain = owner_views(table, bare)
    differing = [
        name
        for name in first.views["evaluation"].columns
        if not columns or name in columns
        if not all(own[name].equals(plain[split][name]) for split, own in first.views.items())
    ]
    if not differing:
        return (first,)
    types = ", ".join(
        f"{name!r} ({plain['evaluation'][name].dtype} to pandas, {first.views['evaluation'][name].dtype} by the policy)"
        for name in differing[:5]
    )
    told = (Check("columns read as pandas reads them", len(differing), PANDAS_READING),)
    return replace(first, types=types), Reading(bare, plain, told, types)


def choose_way(table: Table, ways: Sequence[Way]) -> tuple[int | None, int]:
    """Which of several ways to ask the model is its owner's, and how many evaluation scores hang on it.

    Ways that fail are left out. The first is chosen where all others answer alike; else the one whose mean squared
    error, (score - label)^2 over the training records (over the evaluation records where there are none), is lower than
    that of every way that answers otherwise by `DECIDES` standard errors of the paired difference. A model fits the
    records that it learned from if it is asked as it was trained. None where no way is that much better.
    """
    if len(ways) == 1:
        return 0, 0
    evaluation, known = sample(table.rows("evaluation")), table.rows("train")
    known = sample(known if len(known) else table.rows("evaluation"))
    known = known[np.isfinite(table.label[known])]
    tried = {k: _attempt(way, np.concatenate([evaluation, known])) for k, way in enumerate(ways)}
    answers = {k: answer.astype(np.float64) for k, answer in tried.items() if answer is not None}
    if not answers:
        return 0, 0
    m, first = len(evaluation), next(iter(answers.values()))
    count = max(int((~_alike(answer[:m], first[:m])).sum()) for answer in answers.values())
    errors = {k: np.square(answer[m:] - table.label[known]) for k, answer in answers.items()}
    least = answers[min(errors, key=lambda k: float(errors[k].mean()))]
    alike = {k: bool(_alike(answer, least).all()) for k, answer in answers.items()}
    best = next(k for k in answers if alike[k])
    others = [k for k in answers if not alike[k]]
    return (best if all(_exceeds(errors[k] - errors[best]) for k in others) else None), count


def _alike(one: Floats, other: Floats) -> Mask:
    return np.isclose(one, other, rtol=ROUNDING, equal_nan=True)


def _exceeds(difference: Answers) -> bool:
    """Whether the mean of paired differences is more than `DECIDES` standard errors above 0."""
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5 if len(difference) > 1 else np.inf
    return float(difference.mean()) > DECIDES * error


def _attempt(way: Way, rows: Ints) -> Answers | None:
    """The answers, or None where the model cannot take the rows so."""
    try:
        return way(rows)
    except ModelError:
        return None


def ambiguity(count: int, total: int, types: str, orders: str = "") -> Complaint:
    """Several ways to ask the model, several answers, and nothing that shows which one is its owner's."""
    ways = [f"as the policy states or as pandas alone does: {types}"] if types else []
    ways += [f"in another order or form: {orders}"] if orders else []
    message = (
        f"the model scores {count:,} of {total:,} evaluation records otherwise when its columns are read "
        f"{'; and '.join(ways)}"
    )
    hint = (
        "remove them from data.categorical or data.numeric if the model was fitted on pandas' own reading, or bring "
        "Parquet files with the types that it was fitted on"
    )
    if orders:
        hint = "list all its columns in its own order in one of data.numeric and data.categorical, or fit it on a frame"
    return Complaint(message, "data", hint)


def sample(rows: Ints) -> Ints:
    """All rows, or `MOST` of them at even distances."""
    return rows if len(rows) <= MOST else rows[np.linspace(0, len(rows) - 1, MOST).astype(np.int64)]
