"""Who the most influential records are, as shares of levels beside the base, without telling of few persons.

For one measure and one direction, the top share (1 % and 5 %) of the training records is split by every column. A level
is named only if at least `minimum` persons of it are among the top, and so many (or none) are not; else it joins
"other levels". Where one level holds all but a few, that is said as a band. The 1 % lie inside the 5 %, so a level is
named in both only if the ring between them passes too. Where a column's rare levels hold fewer than `minimum` persons
together, its base shares are rounded to a step of several records: what is left of the whole would tell of them.

Wrong when: shares are read as simultaneous (intervals are one by one), or as what causes the effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from auditkit.influence.columns import Levels
from auditkit.result import Composition, CompositionRow, Estimate
from auditkit.stats.intervals import wilson
from auditkit.stats.rounding import STEPS, rate_step
from auditkit.subject.persons import support
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
            if support(top, persons) >= minimum:
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
        yield (top, tops[i + 1] & ~top, ~top) if i + 1 < len(tops) else (top, ~top)


def _rows(
    top: Mask, rings: tuple[Mask, ...], columns: Sequence[Levels], persons: Ints | None, *, minimum: int, level: float
) -> tuple[CompositionRow, ...]:
    always, differing = [], []
    for column in columns:
        masks = [column.codes == code for code in range(len(column.labels))]
        named = _named(masks, rings, persons, minimum)
        rest = _union(masks, named)
        base = _base_step(masks, persons, minimum)
        rows = [_row(column.column, column.labels[i], masks[i], top, base=base, level=level) for i in named]
        if named and _large(rest, rings, persons, minimum):
            rows.append(_row(column.column, OTHER, rest, top, base=base, level=level))
        elif len(named) == 1:
            # All but a few are of one level: the strongest finding there is, told without telling of the few.
            few = (minimum - 1) * rows_per_person(persons)
            rows = _band(column.column, column.labels[named[0]], masks[named[0]], top, few, base=base, level=level)
        if column.always:
            always += rows
        else:
            differing += [row for row in rows if _differs(row)]
    differing.sort(key=lambda row: -abs(_centre(row) - row.base_share))
    return (*always, *differing[:_MOST_DIFFERENT])


def _named(masks: Sequence[Mask], rings: tuple[Mask, ...], persons: Ints | None, minimum: int) -> list[int]:
    """Levels that may be named, so that the rest is nobody, large enough, or the few beside a single level."""
    named = [i for i, mask in enumerate(masks) if _large(mask, rings, persons, minimum)]
    rest = _union(masks, named)
    while len(named) > 1 and (rest & rings[0]).any() and not _large(rest, rings, persons, minimum):
        named.remove(min(named, key=lambda i: int((masks[i] & rings[0]).sum())))
        rest = _union(masks, named)
    return named


def _union(masks: Sequence[Mask], named: Sequence[int]) -> Mask:
    """[N] everyone outside the named levels."""
    rest = np.ones_like(masks[0])
    for i in named:
        rest &= ~masks[i]
    return rest


def _large(members: Mask, rings: tuple[Mask, ...], persons: Ints | None, minimum: int) -> bool:
    """Whether enough persons of these members are at the top, and enough or none in the ring around it."""
    inside, *outside = (support(members & ring, persons) for ring in rings)
    return inside >= minimum and all(count == 0 or count >= minimum for count in outside)


def _base_step(masks: Sequence[Mask], persons: Ints | None, minimum: int) -> float:
    """What the base shares of a column are rounded to; 0, not at all, where its rare levels hide each other."""
    counts = [support(mask, persons) for mask in masks]
    rare = sum(count for count in counts if count < minimum)
    return (rate_step(trials=len(masks[0]), minimum=minimum) or STEPS[-1]) if 0 < rare < minimum else 0.0


def _base(members: Mask, step: float) -> float:
    share = float(members.mean())
    return round(round(share / step) * step, 6) if step else share


def _row(column: str, name: str, members: Mask, top: Mask, *, base: float, level: float) -> CompositionRow:
    share = wilson(events=int((members & top).sum()), n=int(top.sum()), level=level)
    whole = _base(members, base)
    lift = None if share.value is None or whole == 0 else share.value / whole
    return CompositionRow(column=column, level=name, share=share, base_share=whole, lift=lift)


def _band(
    column: str, name: str, members: Mask, top: Mask, few: int, *, base: float, level: float
) -> list[CompositionRow]:
    """One row that says `all but at most few`, the same whether those few are none or some."""
    n = int(top.sum())
    if n - few < few:
        return []
    low = wilson(events=n - few, n=n, level=level).low
    share = Estimate(
        value=None,
        low=low,
        high=1.0,
        level=level,
        n=n,
        method="Wilson score interval, banded",
        withheld=f"all of them but at most {few}; the interval covers every such number",
    )
    return [CompositionRow(column=column, level=name, share=share, base_share=_base(members, base), lift=None)]


def _centre(row: CompositionRow) -> float:
    if row.share.value is not None:
        return row.share.value
    return 1.0 if row.share.low is None else row.share.low


def rows_per_person(persons: Ints | None) -> int:
    """The most training records that one person has."""
    return 1 if persons is None else int(np.unique(persons, return_counts=True)[1].max(initial=1))


def _differs(row: CompositionRow) -> bool:
    low, high = row.share.low, row.share.high
    return low is not None and high is not None and not low <= row.base_share <= high
