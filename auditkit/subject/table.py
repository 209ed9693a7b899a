"""The policy's data files as one `Table`, with every complaint about them at once.

Files are read as they are (`reading`), stacked, and only then judged column by column (`columns`, `groups`), so that
the splits cannot disagree about types. What is odd but allowed is counted (`overlaps`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError
from auditkit.policy.schema import Policy
from auditkit.subject.columns import (
    Locate,
    Stack,
    as_numbers,
    check_numeric,
    read_ids,
    read_label,
    read_persons,
    read_weights,
)
from auditkit.subject.groups import read_groupings, unknown_checks
from auditkit.subject.overlaps import overlaps
from auditkit.subject.reading import DataFile, read_file, settle
from auditkit.subject.sources import Source, Statements
from auditkit.subject.types import Check, Floats, Split, Table
from auditkit.subject.values import closest, listing

SPLITS: tuple[Split, ...] = ("train", "reserve", "evaluation")
OWNER_READS = ("python", "estimator")
"""Adapters of models that auditkit did not train: they are given the data as their owner reads them."""
KeyPath = tuple[str | int, ...]


def read_table(policy: Policy, locate: Locate) -> Table:
    """Read, check and stack the files of `policy.data`.

    Args:
        policy: the policy; its data paths are taken as they are.
        locate: keys of the policy -> `file:line:column`, for complaints that the policy's author has to answer.

    Raises:
        DataError: everything that is wrong with the files, at once.
    """
    complaints: list[Complaint] = []
    return table_of(policy, _read_files(policy, locate, complaints), locate, complaints)


def table_of(
    policy: Policy, files: dict[Split, DataFile], locate: Locate, complaints: list[Complaint] | None = None
) -> Table:
    """Check and stack files that were read; `complaints` are those that reading gave already.

    Raises:
        DataError: everything that is wrong with the files, at once.
    """
    complaints = [] if complaints is None else complaints
    lacking = _lacking(policy, files, locate, complaints)
    if not files or "evaluation" not in files:
        raise DataError(complaints)
    stack, dropped = _stack(policy, files)
    table = _table(policy, stack, lacking, locate, complaints)
    if complaints:
        raise DataError(complaints)
    counted = _file_checks(files, dropped)
    return Table(**{**vars(table), "checks": (*table.checks, *counted)})


def _read_files(policy: Policy, locate: Locate, complaints: list[Complaint]) -> dict[Split, DataFile]:
    """Every split's file that can be read and has a record."""
    files: dict[Split, DataFile] = {}
    for split in SPLITS:
        path = getattr(policy.data, split)
        if path is None:
            continue
        where = locate("data", split)
        file = read_file(path, missing=policy.data.missing, where=where, complaints=complaints)
        if file is not None and file.frame.empty:
            complaints.append(Complaint("the file has a header and no records", file.name))
        elif file is not None:
            files[split] = file
    return files


def required_columns(policy: Policy) -> Iterator[tuple[str, KeyPath]]:
    """The columns that the policy names and every split must have, with the keys that name them."""
    data = policy.data
    for key in ("id", "person", "weight"):
        column = getattr(data, key)
        if column is not None:
            yield column, ("data", key)
    yield data.label.column, ("data", "label", "column")
    for key in ("numeric", "categorical"):
        for index, column in enumerate(getattr(data, key)):
            yield column, ("data", key, index)
    for name, rule in policy.protected.items():
        yield rule.column, ("protected", name, "column")
    if policy.model.adapter == "predictions":
        if policy.model.score is not None:
            yield policy.model.score, ("model", "score")
        # Anything but a bare name is a SQL expression, whose columns the predicate checks.
        if policy.model.decision is not None and re.fullmatch(r"\w+", policy.model.decision):
            yield policy.model.decision, ("model", "decision")


def _lacking(
    policy: Policy, files: dict[Split, DataFile], locate: Locate, complaints: list[Complaint]
) -> frozenset[str]:
    """Columns that a file lacks though the policy names them; one complaint per column."""
    lacking: set[str] = set()
    for column, keys in required_columns(policy):
        without = [file for file in files.values() if column not in file.frame.columns]
        if not without or column in lacking:
            continue
        lacking.add(column)
        names = list(dict.fromkeys(file.name for file in without))
        near = closest(column, (str(known) for known in without[0].frame.columns))
        hint = f"did you mean {near!r}?" if near else f"{names[0]} has {listing(list(without[0].frame.columns))}"
        complaints.append(Complaint(f"no column {column!r} in {' and '.join(names)}", locate(*keys), hint))
    return frozenset(lacking)


def _stack(policy: Policy, files: dict[Split, DataFile]) -> tuple[Stack, int]:
    """The files under each other, typed, and how many columns were left out (the evaluation file lacks them)."""
    kept = list(files["evaluation"].frame.columns)
    everywhere = set(kept).intersection(*(file.frame.columns for file in files.values()))
    if policy.model.adapter in OWNER_READS:
        # Such a model may read any column: one that a split lacks must not reach it as missing values.
        kept = [column for column in kept if column in everywhere]
    met = {column for file in files.values() for column in file.frame.columns}
    dropped = len(met - set(kept))
    parts = [file.frame.reindex(columns=kept) for file in files.values()]
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0].reset_index(drop=True)
    texts = {policy.data.id, policy.data.person}
    settled = {column: frame[column] if column in texts else settle(frame[column]) for column in kept}
    stack = Stack(
        frame=pd.DataFrame(settled),
        split=np.repeat(list(files), [len(part) for part in parts]).astype(np.str_),
        row=np.concatenate([np.arange(len(part)) for part in parts]).astype(np.int64),
        files=files,
    )
    return stack, dropped


def _table(policy: Policy, stack: Stack, lacking: frozenset[str], locate: Locate, complaints: list[Complaint]) -> Table:
    """Judge every column that is there; the result counts only if no complaint was added."""
    data = policy.data
    for column in dict.fromkeys(data.numeric):
        if column not in lacking:
            numbers = _numbers(policy, stack, column, complaints)
            check_numeric(stack, column, numbers, complaints)
            stack.frame[column] = numbers
    label = data.label.column in lacking
    rows = len(stack.frame)
    no_label, ones = np.full(rows, np.nan), np.ones(rows)
    labels = no_label if label else read_label(stack, data.label, locate, complaints)
    weighted = data.weight is not None and data.weight not in lacking
    weights = read_weights(stack, str(data.weight), complaints) if weighted else ones
    ids = read_ids(stack, None if data.id in lacking else data.id, complaints)
    persons = None if data.person in lacking else read_persons(stack, data, locate, complaints)
    groupings = read_groupings(stack, policy, locate, complaints)
    features, stated = _compared(policy, stack.frame)
    checks = overlaps(
        split=stack.split, ids=None if data.id is None else ids, persons=persons, features=features,
        features_stated=stated,
    )  # fmt: skip
    evaluation = np.flatnonzero(stack.split == "evaluation")
    return Table(
        frame=stack.frame, split=stack.split, ids=ids, persons=persons, label=labels, weights=weights,
        groupings=groupings, digests={split: file.digest for split, file in stack.files.items()},
        checks=(*checks, *unknown_checks(groupings, evaluation)), sources=_sources(policy, stack.files),
    )  # fmt: skip


def _numbers(policy: Policy, stack: Stack, column: str, complaints: list[Complaint]) -> Floats:
    """A numeric feature [R]; where the model's owner has numbers (`NA` that pandas reads, `True`), it is those."""
    wrong: list[Complaint] = []
    numbers = as_numbers(stack, column, wrong)
    if wrong:
        views = [source.read(Statements.of(policy.data)) for source in _sources(policy, stack.files).values()]
        cells = [view[column] for view in views if column in view.columns]
        if len(cells) == len(stack.files) and all(pd.api.types.is_numeric_dtype(part) for part in cells):
            return np.concatenate([part.to_numpy(dtype=np.float64, na_value=np.nan) for part in cells])
    complaints += wrong
    return numbers


def _sources(policy: Policy, files: dict[Split, DataFile]) -> dict[Split, Source]:
    """Where the rows are from, kept for the models whose owner reads them by code of his own."""
    if policy.model.adapter not in OWNER_READS:
        return {}
    return {split: file.source for split, file in files.items() if file.source is not None}


def _compared(policy: Policy, frame: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The columns by which records count as identical: the stated features, else all but keys, label and weight."""
    stated = [column for column in (*policy.data.numeric, *policy.data.categorical) if column in frame.columns]
    if stated:
        return frame[list(dict.fromkeys(stated))], True
    keys = {policy.data.id, policy.data.person, policy.data.label.column, policy.data.weight}
    return frame[[column for column in frame.columns if column not in keys]], False


def _file_checks(files: dict[Split, DataFile], dropped: int) -> tuple[Check, ...]:
    """What was left out of the files, where anything was."""
    found = []
    repeated = sum(len(file.repeated) for file in files.values())
    if repeated:
        text = "columns that a header repeats with the same values; each was read once"
        found.append(Check("repeated columns", repeated, text))
    if dropped:
        text = "columns that not every file has; they were left out"
        found.append(Check("columns left out", dropped, text))
    return tuple(found)
