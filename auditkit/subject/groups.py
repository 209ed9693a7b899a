"""Who belongs to which group: every row gets one group of every protected attribute and intersection, or is unknown.

Unknown is: a missing cell, a value that the policy lists as unknown, a value outside the stated groups or bins. It is
counted, never dropped. An intersection is unknown where any of its attributes is.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from auditkit.errors import Complaint
from auditkit.policy.bins import UNKNOWN, assign_bins, bin_labels, group_label
from auditkit.policy.schema import REFERENCES, Policy, Protected
from auditkit.subject.columns import Locate, Stack, as_numbers
from auditkit.subject.labels import group_levels
from auditkit.subject.types import ALL_RECORDS, Check, Grouping, Ints
from auditkit.subject.values import closest, listing, means

JOIN = " · "
OTHER_VALUES = "other values"
"""The one group of all values that the policy does not declare and that too few persons have to be named."""


def read_groupings(stack: Stack, policy: Policy, locate: Locate, complaints: list[Complaint]) -> dict[str, Grouping]:
    """Membership of every row in every protected attribute, then in every intersection, in the policy's order."""
    found: dict[str, Grouping] = {}
    for name, rule in policy.protected.items():
        if rule.column in stack.frame.columns:
            grouping = _attribute(stack, name, policy, locate, complaints)
            if grouping is not None:
                found[name] = grouping
    for parts in policy.intersections:
        if all(part in found for part in parts):
            grouping = intersect([found[part] for part in parts])
            found[grouping.name] = grouping
    return found


def _attribute(stack: Stack, name: str, policy: Policy, locate: Locate, complaints: list[Complaint]) -> Grouping | None:
    """One attribute's grouping; None with a complaint when no row can be placed."""
    rule = policy.protected[name]
    place = locate("protected", name, "column")
    before = len(complaints)
    if rule.bins is not None:
        labels = bin_labels(rule.bins)
        codes = _binned(stack, rule, complaints)
        values: tuple[str, ...] = ()
    else:
        labels, codes, values = _listed(stack, name, policy, locate, complaints)
    if len(complaints) > before:
        return None
    evaluation = codes[stack.split == "evaluation"]
    if not (evaluation != UNKNOWN).any():
        hint = f"the values are {listing(values)}" if values else "check the column and the bins"
        complaints.append(Complaint(f"no evaluation record falls in a group of {name!r}", place, hint))
        return None
    reference = rule.reference if rule.reference is not None else _largest(labels, evaluation)
    chosen = reference if reference in REFERENCES and reference not in labels else ""
    if chosen:
        reference = ALL_RECORDS if chosen == "overall" else _largest(labels, evaluation)
    elif reference not in labels:
        near = closest(reference, labels if rule.bins is not None or rule.groups is not None else values)
        hint = f"did you mean {near!r}?" if near else f"the groups are {listing(labels)}"
        message = f"the reference {reference!r} is no group of {name!r}"
        complaints.append(Complaint(message, locate("protected", name, "reference"), hint))
    return Grouping(
        name=name, labels=labels, codes=codes, reference=reference,
        reference_stated=rule.reference is not None, columns=(rule.column,), chosen=chosen,
    )  # fmt: skip


def _binned(stack: Stack, rule: Protected, complaints: list[Complaint]) -> Ints:
    """Codes of `edge[i] <= value < edge[i + 1]`; values outside all bins and the unknown ones are UNKNOWN."""
    cells = stack.frame[rule.column]
    codes, names = group_levels(cells)
    hidden = np.array([any(means(text, value) for value in rule.unknown) for text in names] + [True], dtype=bool)
    masked = Stack(stack.frame.assign(**{rule.column: cells.mask(hidden[codes])}), stack.split, stack.row, stack.files)
    numbers = as_numbers(masked, rule.column, complaints)
    return assign_bins(numbers, rule.bins or ())


def _listed(
    stack: Stack, name: str, policy: Policy, locate: Locate, complaints: list[Complaint]
) -> tuple[tuple[str, ...], Ints, tuple[str, ...]]:
    """Labels, codes and the values met; a stated group that only a misspelling can explain is a complaint."""
    rule = policy.protected[name]
    codes, names = group_levels(stack.frame[rule.column])
    hidden = [any(means(text, value) for value in rule.unknown) for text in names]
    if rule.groups is None:
        rare = _rare(stack, codes, len(names), policy)
        group_of = {
            text: OTHER_VALUES if few and text != rule.reference else text
            for text, few, hide in zip(names, rare, hidden, strict=True)
            if not hide
        }
        labels = tuple(sorted(set(group_of.values()), key=lambda label: (label == OTHER_VALUES, label)))
        mapped = [labels.index(group_of[text]) if text in group_of else UNKNOWN for text in names]
    else:
        labels = tuple(group_label(group) for group in rule.groups)
        mapped = [
            UNKNOWN if hide else next((i for i, group in enumerate(rule.groups) if means(text, group)), UNKNOWN)
            for text, hide in zip(names, hidden, strict=True)
        ]
        free = [text for text, code, hide in zip(names, mapped, hidden, strict=True) if code == UNKNOWN and not hide]
        for index, label in enumerate(labels):
            near = closest(label, free) if index not in mapped else None
            if near is not None:
                message = f"no record has the group {label!r} of {name!r}"
                where = locate("protected", name, "groups", index)
                complaints.append(Complaint(message, where, f"did you mean {near!r}?"))
    return labels, np.array([*mapped, UNKNOWN], dtype=np.int64)[codes], names


def _rare(stack: Stack, codes: Ints, levels: int, policy: Policy) -> list[bool]:
    """Whether fewer persons than the minimum cell have each value: its name alone would tell of them."""
    known = codes >= 0
    person, rows = policy.data.person, np.arange(len(codes))
    who = stack.frame[person] if person in stack.frame.columns else pd.Series(rows)
    persons = pd.Series(who.to_numpy()[known]).groupby(codes[known]).nunique()
    return [bool(few) for few in persons.reindex(range(levels), fill_value=0) < policy.report.minimum_cell]


def _largest(labels: tuple[str, ...], codes: Ints) -> str:
    """The group with most rows; the first of them where several are equally large."""
    return labels[int(np.bincount(codes[codes != UNKNOWN], minlength=len(labels)).argmax())]


def intersect(parts: list[Grouping]) -> Grouping:
    """The intersection of several attributes: every combination of their labels, the last attribute fastest."""
    codes = np.zeros(len(parts[0].codes), dtype=np.int64)
    unknown = np.zeros(len(codes), dtype=bool)
    for part in parts:
        codes = codes * len(part.labels) + part.codes
        unknown |= part.codes == UNKNOWN
    overall = any(part.chosen == "overall" for part in parts)
    best = any(part.chosen == "best" for part in parts)
    return Grouping(
        name=" x ".join(part.name for part in parts),
        labels=tuple(JOIN.join(combination) for combination in product(*(part.labels for part in parts))),
        codes=np.where(unknown, UNKNOWN, codes),
        reference=ALL_RECORDS if overall else JOIN.join(part.reference for part in parts),
        reference_stated=all(part.reference_stated for part in parts),
        columns=tuple(column for part in parts for column in part.columns),
        of=tuple(part.name for part in parts),
        chosen="overall" if overall else "best" if best else "",
    )


def unknown_checks(groupings: dict[str, Grouping], evaluation: Ints) -> tuple[Check, ...]:
    """How many evaluation rows belong to no known group, for each attribute (not for intersections)."""
    return tuple(
        Check(
            f"unknown {name}",
            int((grouping.codes[evaluation] == UNKNOWN).sum()),
            f"evaluation records whose group of {name} is missing, unknown or not among the stated groups",
        )
        for name, grouping in groupings.items()
        if not grouping.of
    )
