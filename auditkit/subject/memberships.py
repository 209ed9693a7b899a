"""Membership in several groups at once, or by probability: what the columns of the evaluation file say of each record.

Unknown is never dropped: a record whose columns say nothing, or something that the policy does not list, is unknown and
counted. Legend: M evaluation rows, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from auditkit.errors import Complaint, DataError
from auditkit.policy.membership import LARGEST, OTHERS
from auditkit.policy.membership import Membership as Rule
from auditkit.policy.schema import Policy
from auditkit.subject.types import Floats, Mask, Predictions, Slice, Table
from auditkit.subject.values import closest, counted, levels, listing, means

Kind = Literal["several", "probabilities"]
Locate = Callable[..., str]
SLACK = 1e-6
"""By how much probabilities may leave [0, 1], and their sum exceed 1, for the rounding of a file."""


@dataclass(frozen=True)
class Membership:
    """How far every evaluation record belongs to each group of one attribute."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    """[G]"""
    share: Floats
    """[M, G] 1 or 0, or a probability; 0 where unknown."""
    known: Mask
    """[M]"""
    reference: str
    """A group's label; empty where each group is compared with everybody outside it."""
    reference_stated: bool
    undeclared: int = 0
    """Known records that also hold a label that the policy does not declare."""


def read_memberships(rules: Mapping[str, Rule], frame: pd.DataFrame, *, locate: Locate) -> dict[str, Membership]:
    """Every membership of the policy over the evaluation rows.

    Args:
        rules: the policy's section. frame: [M] evaluation rows. locate: keys of the policy -> place.

    Raises:
        DataError: columns are missing, hold no probability, or place no record in any group; all at once.
    """
    complaints: list[Complaint] = []
    found: dict[str, Membership] = {}
    for name, rule in rules.items():
        lacking = [column for column in rule.stands_in if column not in frame.columns]
        for column in lacking:
            near = closest(column, (str(known) for known in frame.columns))
            hint = f"did you mean {near!r}?" if near else f"the evaluation file has {listing(list(frame.columns))}"
            where = locate("memberships", name)
            complaints.append(Complaint(f"no column {column!r} in the evaluation records", where, hint))
        if lacking:
            continue
        before = len(complaints)
        one = _read(name, rule, frame, complaints)
        if len(complaints) == before and not one.share.any():
            message = f"no evaluation record belongs to a group of {name!r}"
            complaints.append(Complaint(message, locate("memberships", name), "check the columns and the labels"))
        found[name] = one
    if complaints:
        raise DataError(complaints)
    return found


def membership_of(
    name: str, *, kind: Kind, labels: Sequence[str], share: Floats, known: Mask, reference: str | None,
    undeclared: int = 0,
) -> Membership:  # fmt: skip
    """A membership with its reference settled: a label, the largest group, or everybody else."""
    share = np.where(known[:, None], share, 0.0)
    if reference is not None and reference in labels:
        chosen = reference
    elif reference == OTHERS:
        chosen = ""
    else:
        chosen = labels[int(share.sum(axis=0).argmax())]
    stated = reference is not None and not (reference == LARGEST and reference not in labels)
    return Membership(name, kind, tuple(labels), share, known, chosen, stated, undeclared)


def as_probabilities(name: str, share: Floats, known: Mask) -> Floats:
    """Probabilities [M, G] cut to [0, 1].

    Raises:
        DataError: one lies outside [0, 1], or those of a record exceed 1 together.
    """
    inside = share[known]
    if inside.size and (inside.min() < -SLACK or inside.max() > 1 + SLACK):
        message = f"a probability of {name!r} lies outside 0 to 1"
        raise DataError(Complaint(message, "", "write probabilities, not percent"))
    if inside.size and inside.sum(axis=1).max() > 1 + len(share.T) * SLACK:
        message = f"the probabilities of a record add up to more than 1 in {name!r}"
        raise DataError(Complaint(message, "", "for groups that overlap, state yes/no columns"))
    return np.clip(share, 0.0, 1.0)


def public_texts(rules: Mapping[str, Rule], frame: pd.DataFrame) -> set[str]:
    """Cells of label columns that are made of declared labels: a rare combination of public words is no id."""
    found: set[str] = set()
    for rule in rules.values():
        if rule.column is not None and rule.column in frame.columns:
            _, names = levels(frame[rule.column])
            found |= {name for name in names if set(_labels(name, rule)) <= set(rule.labels)}
    return found


def memberships_of(policy: Policy, table: Table, predictions: Predictions) -> tuple[Slice, ...]:
    """Each group as sets of evaluation records, for the guard of later releases.

    Members, or those likely to be, and what they were decided by label: a release that differs by a few of any of them
    tells of these few.
    """
    if not policy.memberships:
        return ()
    frame = table.frame.iloc[table.rows("evaluation")]
    found = read_memberships(policy.memberships, frame, locate=lambda *keys: ".".join(keys))
    masks: dict[str, Mask] = {}
    for one in found.values():
        for g, label in enumerate(one.labels):
            own = one.known & (one.share[:, g] >= 0.5)
            masks[f"{one.name}: {label}"] = own
            for t in (0, 1):
                for d in (0, 1):
                    inside = own & (predictions.truth == t) & (predictions.decision == d)
                    masks[f"{one.name}: {label}, label {t} decision {d}"] = inside
    return tuple(Slice(name=name, kind="slice", mask=mask, where="", why="") for name, mask in masks.items())


def _read(name: str, rule: Rule, frame: pd.DataFrame, complaints: list[Complaint]) -> Membership:
    undeclared = 0
    kind: Kind = "several"
    if rule.column is not None:
        share, known, undeclared = _parted(rule, frame[rule.column])
    elif rule.columns:
        share, known = _yes_no(rule, frame)
    else:
        kind = "probabilities"
        share, known = _numbers(name, rule, frame, complaints)
    return membership_of(
        name, kind=kind, labels=rule.labels, share=share, known=known, reference=rule.reference, undeclared=undeclared
    )


def _labels(cell: str, rule: Rule) -> list[str]:
    return [text for part in cell.split(rule.separator) if (text := part.strip())]


def _parted(rule: Rule, column: pd.Series) -> tuple[Floats, Mask, int]:
    """One column of labels: a record is known if one of its labels is declared."""
    codes, names = levels(column)
    table = np.zeros((len(names) + 1, len(rule.labels)))
    more = np.zeros(len(names) + 1, dtype=bool)
    for row, name in enumerate(names):
        own = _labels(name, rule)
        table[row] = [label in own for label in rule.labels]
        more[row] = bool(table[row].any()) and not set(own) <= set(rule.labels)
    share = table[codes]
    return share, np.asarray(share.any(axis=1), dtype=np.bool_), int(more[codes].sum())


def _yes_no(rule: Rule, frame: pd.DataFrame) -> tuple[Floats, Mask]:
    """A record is known if every column says yes or no."""
    share = np.zeros((len(frame), len(rule.columns)))
    known = np.ones(len(frame), dtype=np.bool_)
    for g, column in enumerate(rule.columns.values()):
        codes, names = levels(frame[column])
        said = {sign: np.array([*(any(means(text, value) for value in values) for text in names), False])
                for sign, values in ((1, rule.yes), (0, rule.no))}  # fmt: skip
        share[:, g] = said[1][codes]
        known &= said[1][codes] | said[0][codes]
    return share, known


def _numbers(name: str, rule: Rule, frame: pd.DataFrame, complaints: list[Complaint]) -> tuple[Floats, Mask]:
    cells = frame[list(rule.probabilities.values())]
    share = np.column_stack([pd.to_numeric(cells[column], errors="coerce") for column in cells]).astype(np.float64)
    for g, column in enumerate(cells):
        wrong = cells[column].notna().to_numpy() & ~np.isfinite(share[:, g])
        if wrong.any():
            what = counted(int(wrong.sum()), "cell is", "cells are")
            complaints.append(Complaint(f"{what} no number", f"evaluation, column {column!r}", "write probabilities"))
    known = np.asarray(np.isfinite(share).all(axis=1), dtype=np.bool_)
    share = np.where(known[:, None], share, 0.0)
    try:
        return as_probabilities(name, share, known), known
    except DataError as error:
        complaints += error.complaints
        return share, known
