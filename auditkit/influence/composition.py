"""Who the most influential records are, as shares of levels beside the base, without telling of few persons.

For one measure and one direction, the top share (1 % and 5 %) of the training records is split by every column. A level
is named only if at least `minimum` persons of it are among the top, and so many (or none) are not; else it joins
"other levels". The 1 % lie inside the 5 %, so a level is named in both only if the ring between them passes too.

Wrong when: shares are read as simultaneous (intervals are one by one), or as what causes the effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from auditkit.influence.columns import Levels
from auditkit.result import Composition, CompositionRow
from auditkit.stats.intervals import wilson
from auditkit.subject.types import Floats, Ints, Mask

TOP_SHARES = (0.01, 0.05)
OTHER = "other levels"
_MOST_DIFFERENT = 12


def compose(
    effects: Floats, columns: Sequence[Levels], *, persons: Ints | None, minimum: int, level: float
) -> tuple[Composition, ...]:
    """Compositions of the top records of one measure, in both directions and for each top share.

    Args:
        effects: [N] predicted change of the measure if the record is removed.
        columns: each with codes [N]. persons: [N] person codes, None where every record is a person of its own.
        minimum: minimum cell in persons. level: of the Wilson intervals.
    """
    found = []
    directions: tuple[tuple[Literal["raises", "lowers"], Floats], ...] = (("raises", effects), ("lowers", -effects))
    for direction, signed in directions:
        tops = [_top(signed, share) for share in TOP_SHARES]
        for share, top, rings in zip(TOP_SHARES, tops, _rings(tops), strict=True):
            if _persons(top, persons) >= minimum:
                rows = _rows(top, rings, columns, persons, minimum=minimum, level=level)
                found.append(Composition(direction=direction, top_share=share, n=int(top.sum()), rows=rows))
    return tuple(found)


def _top(signed: Floats, share: float) -> Mask:
    """The records with the largest effects in this direction; never one whose effect goes the other way."""
    count = int(np.ceil(share * len(signed)))
    top = np.zeros(len(signed), dtype=np.bool_)
    # A stable sort on the negated effects: ties are taken in row order, so the same input gives the same records.
    top[np.argsort(-signed, kind="stable")[:count]] = True
    return top & (signed > 0)


def _rings(tops: Sequence[Mask]) -> Iterator[tuple[Mask, ...]]:
    """For each nested top: the sets that its counts, and differences to the next, would tell of."""
    for i, top in enumerate(tops):
        outer = tops[i + 1] & ~top if i + 1 < len(tops) else ~top
        yield top, outer


def _rows(
    top: Mask, rings: tuple[Mask, ...], columns: Sequence[Levels], persons: Ints | None, *, minimum: int, level: float
) -> tuple[CompositionRow, ...]:
    always, differing = [], []
    for column in columns:
        for name, members in _pooled(column, rings, persons, minimum=minimum):
            row = _row(column.column, name, members, top, level=level)
            if column.always:
                always.append(row)
            elif _differs(row):
                differing.append(row)
    differing.sort(key=lambda row: -abs((row.share.value or 0.0) - row.base_share))
    return (*always, *differing[:_MOST_DIFFERENT])


def _pooled(
    column: Levels, rings: tuple[Mask, ...], persons: Ints | None, *, minimum: int
) -> Iterator[tuple[str, Mask]]:
    """Levels that may be named with their members [N], then the rest as one; nothing if only one row were left."""
    masks = [column.codes == code for code in range(len(column.labels))]
    named = [i for i, mask in enumerate(masks) if _large(mask, rings, persons, minimum)]
    rest = _union(masks, named)
    while named and rest.any() and not _large(rest, rings, persons, minimum):
        named.remove(min(named, key=lambda i: int((masks[i] & rings[0]).sum())))
        rest = _union(masks, named)
    if len(named) + int(rest.any()) > 1:
        for i in named:
            yield column.labels[i], masks[i]
        if rest.any():
            yield OTHER, rest


def _union(masks: Sequence[Mask], named: Sequence[int]) -> Mask:
    """[N] everyone outside the named levels."""
    rest = np.ones_like(masks[0])
    for i in named:
        rest &= ~masks[i]
    return rest


def _large(members: Mask, rings: tuple[Mask, ...], persons: Ints | None, minimum: int) -> bool:
    """Whether enough persons of these members are at the top, and enough or none in the ring around it."""
    inside, outside = (_persons(members & ring, persons) for ring in rings)
    return inside >= minimum and (outside == 0 or outside >= minimum)


def _persons(rows: Mask, persons: Ints | None) -> int:
    return int(rows.sum()) if persons is None else len(np.unique(persons[rows]))


def _row(column: str, name: str, members: Mask, top: Mask, *, level: float) -> CompositionRow:
    share = wilson(events=int((members & top).sum()), n=int(top.sum()), level=level)
    base = float(members.mean())
    lift = None if share.value is None or base == 0 else share.value / base
    return CompositionRow(column=column, level=name, share=share, base_share=base, lift=lift)


def _differs(row: CompositionRow) -> bool:
    low, high = row.share.low, row.share.high
    return low is not None and high is not None and not low <= row.base_share <= high
