"""What may leave the room: small counts withheld, and no withheld count left to be had by subtraction.

A cell is the set of training records of one group. It is published only if the persons in it, those flagged
and those not flagged each number 0 or at least the minimum cell; and what is not published in a line of the
table (everything else that adds up to a published total) must pass the same test, otherwise the next smallest
cell goes too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditkit.privacy.clustered import exact_limits, rate
from auditkit.result import Estimate
from auditkit.subject.persons import support
from auditkit.subject.types import Ints, Mask


def small(count: int, minimum: int) -> bool:
    """Whether a count is too small to print: 1 to minimum - 1."""
    return 0 < count < minimum


def isolates(one: Mask, other: Mask, persons: Ints | None, minimum: int) -> bool:
    """Whether the two sets differ by a few persons only."""
    return small(support(one & ~other, persons), minimum) or small(support(other & ~one, persons), minimum)


def safe_cell(cell: Mask, flagged: Mask, persons: Ints | None, *, minimum: int) -> bool:
    """Whether a cell [N], its flagged and its unflagged each hold nobody or at least `minimum` persons."""
    parts = (cell, cell & flagged, cell & ~flagged)
    return not any(small(support(part, persons), minimum) for part in parts)


def publishable(
    cells: Sequence[Mask], lines: Sequence[Mask], flagged: Mask, persons: Ints | None, *, minimum: int
) -> list[bool]:
    """Which cells may be published, given the lines whose totals are published too.

    Args:
        cells: disjoint masks [N].
        lines: masks [N]: all rows for a plain attribute; each level of each part too for an intersection.
        flagged: [N] what is counted inside the cells.
        persons: [N] person codes, or None.
        minimum: minimum cell.

    A greedy complementary suppression: it withholds enough, not always the fewest.
    """
    open_ = [safe_cell(cell, flagged, persons, minimum=minimum) for cell in cells]
    changed = True
    while changed:
        changed = False
        for line in lines:
            rest = line.copy()
            for cell, shown in zip(cells, open_, strict=True):
                if shown:
                    rest &= ~cell
            if safe_cell(rest, flagged, persons, minimum=minimum):
                continue
            inside = [i for i, shown in enumerate(open_) if shown and bool((cells[i] & line).any())]
            if inside:
                open_[min(inside, key=lambda i: int((cells[i] & flagged).sum()))] = False
                changed = True
    return open_


def published_rate(hits: Mask, persons: Ints | None, *, level: float, minimum: int) -> Estimate:
    """Share of hits [n] as it may be printed: a band when fewer than `minimum` persons are hit (or missed).

    The band's interval runs from the lower limit of the smallest count to the upper limit of the largest
    count that it stands for, taking persons as the independent units: it covers at least as often as the
    exact interval. With fewer than `minimum` persons in all there is neither value nor n.
    """
    everyone = np.ones(len(hits), dtype=np.bool_)
    total = support(everyone, persons)
    if total < minimum:
        return Estimate(value=None, level=level, withheld=f"fewer than {minimum} persons or records")
    exact = rate(hits, persons, level=level)
    few, nearly_all = (small(support(part, persons), minimum) for part in (hits, ~hits))
    if not few and not nearly_all:
        return exact
    most = min(float((minimum - 1) * rows_per_person(persons)), float(total))
    edge = exact_limits(most, float(total), level=level)[1]
    reason = f"fewer than {minimum} {'are' if few else 'are not'} counted; the interval covers every such number"
    return Estimate(
        value=None,
        low=0.0 if few else 1 - edge,
        high=edge if few else 1.0,
        level=level,
        n=len(hits),
        method=f"{exact.method}, banded",
        withheld=reason,
    )


def rows_per_person(persons: Ints | None) -> int:
    """The most records that one person has."""
    return 1 if persons is None else int(np.unique(persons, return_counts=True)[1].max(initial=1))
