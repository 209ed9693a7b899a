"""Whether the groups, bins, references and intersections that a policy declares make sense by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from auditkit.errors import Complaint
from auditkit.policy.bins import bin_labels, group_label
from auditkit.policy.explain import Locate, did_you_mean, listed, shown
from auditkit.policy.schema import REFERENCES, Protected


def check_attributes(protected: Mapping[str, Protected], locate: Locate) -> Iterator[Complaint]:
    """Every complaint about the groups, bins and references of single attributes."""
    for name, part in protected.items():
        here = ("protected", name)
        if part.groups is not None and part.bins is not None:
            message = f"'{name}' has both groups and bins"
            yield Complaint(message, where=locate((*here, "bins")), hint="keep groups for texts, bins for numbers")
            continue
        labels: tuple[str, ...] = ()
        if part.bins is not None:
            if len(part.bins) < 2 or any(high <= low for low, high in pairwise(part.bins)):
                edges = ", ".join(f"{edge:g}".replace("inf", ".inf") for edge in part.bins)
                message = f"the bins of '{name}' are [{edges}]"
                hint = "write at least two edges, each above the one before, as in [18, 25, 40, .inf]"
                yield Complaint(message, where=locate((*here, "bins")), hint=hint)
                continue
            labels = bin_labels(part.bins)
        elif part.groups is not None:
            labels = tuple(group_label(group) for group in part.groups)
            yield from _groups(name, labels, part, locate)
        if part.reference is not None and labels and part.reference not in (*labels, *REFERENCES):
            close = did_you_mean(part.reference, labels)
            message = f"the reference {shown(part.reference)} of '{name}' is none of its groups"
            hint = f"did you mean '{close}'?" if close else f"its groups are {listed(labels)}"
            yield Complaint(message, where=locate((*here, "reference")), hint=hint)


def _groups(name: str, labels: tuple[str, ...], part: Protected, locate: Locate) -> Iterator[Complaint]:
    where = locate(("protected", name, "groups"))
    if len(labels) < 2:
        message = f"'{name}' declares {len(labels)} group{'' if len(labels) == 1 else 's'}"
        yield Complaint(message, where=where, hint="declare at least two groups")
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield Complaint(f"'{name}' declares the group '{label}' twice", where=where, hint="keep one")
    for value in part.unknown:
        if group_label(value) in labels:
            message = f"'{group_label(value)}' is both a group of '{name}' and a value that means unknown"
            yield Complaint(message, where=locate(("protected", name, "unknown")), hint="keep one")


def check_intersections(
    intersections: Mapping[int, tuple[str, ...]], attributes: tuple[str, ...], locate: Locate
) -> Iterator[Complaint]:
    """Every complaint about the combinations of attributes, by their place in the list."""
    seen: list[frozenset[str]] = []
    for index, names in intersections.items():
        where = locate(("intersections", index))
        for name in names:
            if name not in attributes:
                close = did_you_mean(name, attributes)
                hint = f"did you mean '{close}'?" if close else f"declared are {listed(attributes) or 'none'}"
                yield Complaint(f"the intersection names '{name}', which is not declared", where=where, hint=hint)
        if len(set(names)) < 2 or len(set(names)) < len(names):
            message = f"the intersection [{', '.join(names)}] does not name two different attributes"
            yield Complaint(message, where=where, hint="write it as [sex, age]")
        elif frozenset(names) in seen:
            yield Complaint(f"the intersection of {' and '.join(names)} stands twice", where=where, hint="keep one")
        seen.append(frozenset(names))
