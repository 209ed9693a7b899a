"""Which measures of an audit may show their n and value: none that isolates fewer persons than the minimum cell.

A mean over a slice gives a single record away when another published mean is over the same records but one: the mean
loss of all evaluation records, of a group, or of another slice. So a slice is withheld when it holds fewer persons
than the minimum cell, when it differs from a set already told of by so few, or when the two leave so few of the whole.
A gap's n is the count of a group; it is withheld where a group of its attribute, or unknown membership, is so small.

Limit: sets are compared two by two; what three or more slices tell together is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditkit.influence.targets import Target
from auditkit.subject.persons import person_codes, support
from auditkit.subject.types import Grouping, Ints, Mask


@dataclass(frozen=True)
class Release:
    """What may be told of one measure."""

    withheld: str = ""
    """Why neither n nor value nor composition is told; empty when they are."""
    count: bool = True
    """Whether n may be told."""


def releases(
    targets: Sequence[Target],
    groupings: Mapping[str, Grouping],
    rows: Ints,
    persons: NDArray[np.object_] | None,
    *,
    minimum: int,
) -> tuple[Release, ...]:
    """One release per target, in their order; of two slices that isolate few between them the later is withheld.

    Args:
        targets: weights [M]. groupings: membership of all rows. rows: [M] positions of the evaluation rows.
        persons: [M] persons, or None where every record is a person of its own. minimum: minimum cell in persons.
    """
    codes = person_codes(persons, len(rows))
    told = [np.ones(len(rows), dtype=np.bool_), *_groups(groupings, rows, codes, minimum)]
    found = []
    for target in targets:
        members = np.asarray(target.weights != 0, dtype=np.bool_)
        if target.kind == "gap":
            group = target.name.partition(": ")[0]
            found.append(_gap(members, groupings[group], rows, codes, minimum))
            continue
        reason = _why_not(members, told, codes, minimum)
        found.append(Release(reason, not reason))
        if not reason:
            told.append(members)
    return tuple(found)


def _groups(groupings: Mapping[str, Grouping], rows: Ints, codes: Ints, minimum: int) -> Iterator[Mask]:
    """Groups large enough to be told of."""
    for grouping in groupings.values():
        for code in range(len(grouping.labels)):
            members = np.asarray(grouping.codes[rows] == code, dtype=np.bool_)
            if support(members, codes) >= minimum:
                yield members


def _gap(members: Mask, grouping: Grouping, rows: Ints, codes: Ints, minimum: int) -> Release:
    if support(members, codes) < minimum:
        return Release(f"fewer than {minimum} persons", count=False)
    own = grouping.codes[rows]
    counts = (support(np.asarray(own == code, dtype=np.bool_), codes) for code in range(-1, len(grouping.labels)))
    return Release(count=not any(0 < count < minimum for count in counts))


def _why_not(members: Mask, told: Sequence[Mask], codes: Ints, minimum: int) -> str:
    if support(members, codes) < minimum:
        return f"fewer than {minimum} persons"
    for other in told:
        # Two sums differ by those over what is in one set alone; where that is many on either side, nobody is isolated.
        parts = [members ^ other]
        if not (members & other).any():
            parts.append(~members & ~other)  # what two disjoint sets leave of the whole
        if any(0 < support(part, codes) < minimum for part in parts):
            return f"fewer than {minimum} persons between it and a set that is told of"
    return ""
