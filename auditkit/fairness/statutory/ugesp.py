"""The four-fifths rule of thumb, 29 CFR 1607.4(D), as practical x statistical.

A ratio below four fifths may rest on a handful of people (3 of 10 against 4 of 10), and one above it may be far more
than chance (4,750 of 10,000 against 5,000 of 10,000). So each group falls in one of four cells, and neither half is
printed without the other.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy import stats

from auditkit.fairness.statutory.released import Categories, Category, highest, ratio_to, told
from auditkit.result import FourCells, FourFifthsRow, FourFifthsTable

FOUR_FIFTHS: Final = 0.8
TWO_DEVIATIONS: Final = 2.0
FISHER_LEVEL: Final = 0.05
FEW_EXPECTED: Final = 5
NOT_EXACT: Final = "counts of this group or of the highest are rounded or withheld"
REPEATS: Final = "persons have several records, and the tests would take these as independent"
CELLS: Final[dict[tuple[bool, bool], FourCells]] = {
    (True, True): "below-and-significant",
    (True, False): "below-not-significant",
    (False, True): "not-below-but-significant",
    (False, False): "not-below-not-significant",
}
"""(below four fifths, more than chance explains) -> the cell."""


def table(found: Categories) -> FourFifthsTable:
    """Every group of one attribute against the group with the highest published selection rate."""
    most = highest(found.rows)
    return FourFifthsTable(
        on=found.on, highest=most.label if most else "",
        rows=tuple(_row(row, most, repeats=found.repeats) for row in found.rows),
        notes=told(found.rows, most, word="The highest group"),
    )  # fmt: skip


def pooled_z(one: tuple[int, int], other: tuple[int, int]) -> float | None:
    """The statistic z = (p − q) / sqrt(r (1 − r) (1/n + 1/m)), r the rate of both; None where all or none are selected.

    The two-standard-deviation rule (Castaneda v. Partida; Hazelwood) looks at |z| above 2. A normal approximation:
    wrong for small counts, where Fisher's exact test stands in.
    """
    (a, n), (b, m) = one, other
    pooled = (a + b) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return (a / n - b / m) / spread if spread else None


def fisher(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Two-sided p of Fisher's exact test that both are selected alike."""
    (a, n), (b, m) = one, other
    return float(stats.fisher_exact(np.array([[a, n - a], [b, m - b]])).pvalue)


def fewest_expected(one: tuple[int, int], other: tuple[int, int]) -> float:
    """The smallest count of the two-by-two table that equal rates would lead one to expect."""
    (a, n), (b, m) = one, other
    selected = a + b
    return min(n, m) * min(selected, n + m - selected) / (n + m)


def _row(row: Category, most: Category | None, *, repeats: bool) -> FourFifthsRow:
    blank = FourFifthsRow(
        group=row.label, n=row.n, selected=row.rate.events, rate=row.rate, ratio=ratio_to(row, most, repeats=repeats),
        is_highest=row is most,
    )  # fmt: skip
    if row is most:
        return blank
    if most is None or not (row.exact and most.exact):
        return blank.model_copy(update={"reason": NOT_EXACT})
    if repeats:
        return blank.model_copy(update={"reason": REPEATS})
    return blank.model_copy(update=judged(row.counts, most.counts))


def judged(own: tuple[int, int], best: tuple[int, int]) -> dict[str, object]:
    """z, both p, the cell, and whether one selection would move the ratio across four fifths.

    Args:
        own: selected and records of the group. best: the same of the group with the highest rate.
    """
    z, p = pooled_z(own, best), fisher(own, best)
    by_fisher = z is None or fewest_expected(own, best) < FEW_EXPECTED
    significant = p < FISHER_LEVEL if by_fisher or z is None else abs(z) > TWO_DEVIATIONS
    below = is_below(own, best)
    moved = own[0] + 1 if below else own[0] - 1
    flipped = (moved, own[1])
    possible = 0 <= moved <= own[1]
    return {
        "z": z, "p_z": None if z is None else float(2 * stats.norm.sf(abs(z))), "p_fisher": p,
        "by_fisher": by_fisher, "cell": CELLS[below, significant],
        "flip_to": moved if possible else None,
        "flip_ratio": _ratio(flipped, best) if possible else None,
        "flips": is_below(flipped, best) != below if possible else None,
    }  # fmt: skip


def is_below(own: tuple[int, int], best: tuple[int, int]) -> bool:
    """Whether a / n < 4/5 b / m, in whole numbers, so that exactly four fifths is not below."""
    (a, n), (b, m) = own, best
    return 5 * a * m < 4 * b * n


def _ratio(own: tuple[int, int], best: tuple[int, int]) -> float:
    return (own[0] / own[1]) / (best[0] / best[1])
