"""Columns of the evaluation records as one outcome's answers; every breach is a complaint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import Complaint, DataError
from auditkit.fairness.outcomes.answers import Answers
from auditkit.fairness.outcomes.assess import assess
from auditkit.policy.outcomes import Outcome
from auditkit.policy.schema import FairnessSettings
from auditkit.result.outcomes import OutcomePart
from auditkit.subject.persons import person_codes
from auditkit.subject.types import Floats, Grouping, Ints
from auditkit.subject.values import closest, levels, listing, means, text_of

OTHER_CLASSES = "other classes"
"""What classes that the policy does not name, or that few persons have, are counted as together."""


def stated_at(*keys: str | int) -> str:
    """The place of a policy's key where there is no file."""
    return ".".join(str(key) for key in keys)


def outcome_parts(
    asked: Mapping[str, Outcome],
    frame: pd.DataFrame,
    *,
    groupings: Mapping[str, Grouping],
    persons: NDArray[np.object_] | None,
    weights: Floats | None,
    locate: Callable[..., str] = stated_at,
    settings: FairnessSettings,
    minimum_cell: int,
    generator: np.random.Generator,
) -> tuple[OutcomePart, ...]:
    """Every outcome that the policy names, on the evaluation records.

    Args:
        asked: outcomes by name. frame: [M] evaluation records. groupings: codes [M]. persons: [M] or None.
        weights: [M], or None where the policy names none. locate: keys of the policy -> their place, for complaints.
        generator: each outcome draws from a child of its own.

    Raises:
        DataError: `read` complains; of every outcome at once.
    """
    read_ = read_all(asked, frame, persons=persons, weights=weights, minimum_cell=minimum_cell, locate=locate)
    return tuple(
        assess(
            answers, name=name, columns=asked[name].columns, groupings=groupings, settings=settings,
            minimum_cell=minimum_cell, generator=child,
        )
        for (name, answers), child in zip(read_.items(), generator.spawn(len(read_)), strict=True)
    )  # fmt: skip


def read_all(
    asked: Mapping[str, Outcome],
    frame: pd.DataFrame,
    *,
    persons: NDArray[np.object_] | None,
    weights: Floats | None,
    minimum_cell: int,
    locate: Callable[..., str] = stated_at,
) -> dict[str, Answers]:
    """The answers of every outcome; also before any heavy work, so that nothing is found wrong after it.

    Raises:
        DataError: `read` complains; of every outcome at once.
    """
    complaints: list[Complaint] = []
    found: dict[str, Answers] = {}
    for name, outcome in asked.items():
        own = read(
            outcome, frame, persons=persons, weights=weights, minimum_cell=minimum_cell, complaints=complaints,
            where=partial(locate, "outcomes", name),
        )  # fmt: skip
        if own is not None:
            found[name] = own
    if complaints:
        raise DataError(complaints)
    return found


def read(
    outcome: Outcome,
    frame: pd.DataFrame,
    *,
    persons: NDArray[np.object_] | None,
    weights: Floats | None,
    minimum_cell: int,
    complaints: list[Complaint],
    where: Callable[[str], str],
) -> Answers | None:
    """One outcome's answers, or None and complaints: a column is missing, holds no numbers, or merit is negative."""
    lacking = [(key, column) for key, column in outcome.columns.items() if column not in frame.columns]
    for key, column in lacking:
        near = closest(column, (str(known) for known in frame.columns))
        hint = f"did you mean {near!r}?" if near else f"there are {listing([str(c) for c in frame.columns])}"
        message = f"no column {column!r} in the evaluation records, or not in every file that the model reads"
        complaints.append(Complaint(message, where(key), hint))
    if lacking:
        return None
    rows = len(frame)
    who = person_codes(persons, rows)
    own = np.ones(rows) if weights is None else weights
    truth = None if outcome.truth is None else frame[outcome.truth]
    before = len(complaints)
    if outcome.kind == "classes" and truth is not None:
        codes, classes = _classes(truth, frame[outcome.prediction], outcome.classes, who, minimum_cell)
        return Answers("classes", *codes, own, who, classes=classes, weighted=weights is not None)
    score = _numbers(frame[outcome.prediction], where("prediction"), complaints)
    real = np.full(rows, np.nan) if truth is None else _numbers(truth, where("truth"), complaints)
    if outcome.kind == "ranking" and (real < 0).any():
        message = f"{int((real < 0).sum()):,} records have a merit below 0"
        complaints.append(Complaint(message, where("truth"), "merit is a number of at least 0"))
    if len(complaints) > before:
        return None
    lists = None if outcome.within is None else person_codes(frame[outcome.within].to_numpy(dtype=object))
    kind = outcome.kind
    return Answers(
        kind, real, score, own, who, lists=lists, weighted=weights is not None,
        quantiles=tuple(sorted(outcome.quantiles)) if kind == "number" else (),
        top=tuple(sorted(outcome.top)) if kind == "ranking" else (),
    )  # fmt: skip


def _classes(
    truth: pd.Series,
    prediction: pd.Series,
    stated: Sequence[bool | int | float | str],
    persons: Ints,
    minimum: int,
) -> tuple[tuple[Floats, Floats], tuple[str, ...]]:
    """Truth and prediction as codes [M] of classes; those of few persons are told together, whose names are not."""
    read_ = [levels(column) for column in (truth, prediction)]
    met = sorted({text for _, names in read_ for text in names})
    if stated:
        place = {text: next((text_of(c) for c in stated if means(text, c)), OTHER_CLASSES) for text in met}
        classes = [text_of(value) for value in stated]
    else:
        place = {text: text if _held(text, read_, persons) >= minimum else OTHER_CLASSES for text in met}
        classes = [text for text in met if place[text] == text]
    if OTHER_CLASSES in place.values() and OTHER_CLASSES not in classes:
        classes.append(OTHER_CLASSES)
    found = []
    for codes, names in read_:
        to = np.array([*(classes.index(place[text]) for text in names), np.nan], dtype=np.float64)
        found.append(to[codes])
    return (found[0], found[1]), tuple(classes)


def _held(text: str, columns: Sequence[tuple[Ints, tuple[str, ...]]], persons: Ints) -> int:
    """Persons who truly are, or are predicted to be, of the class."""
    has = np.zeros(len(persons), dtype=np.bool_)
    for codes, names in columns:
        if text in names:
            has |= codes == names.index(text)
    return int(np.unique(persons[has]).size)


def _numbers(column: pd.Series, where: str, complaints: list[Complaint]) -> Floats:
    """[M] numbers, NaN where missing; texts that are none and infinities are complaints."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = int((np.isinf(numbers) | (np.isnan(numbers) & column.notna().to_numpy())).sum())
    if wrong:
        message = f"{wrong:,} records of the column {str(column.name)!r} hold no finite number"
        complaints.append(Complaint(message, where, "the outcome needs numbers; leave unknown ones empty"))
    return np.asarray(numbers, dtype=np.float64)
