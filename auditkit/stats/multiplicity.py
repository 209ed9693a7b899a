"""Many intervals of one family that hold together: with probability `level` every one covers its value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import NumericsError
from auditkit.stats.intervals import critical

Floats = NDArray[np.float64]


def sidak(*, level: float, family: int) -> float:
    """Level of each of `family` independent intervals that together cover with probability `level`.

    level^(1/family); Šidák, JASA 62 (1967) 626. Exact for independent estimates such as the rates of disjoint
    groups, conservative for positively dependent ones.

    Raises:
        NumericsError: the family is empty or the level is not inside (0, 1).
    """
    if family < 1 or not 0 < level < 1:
        message = f"no level for {family} intervals at {level!r} together"
        raise NumericsError(message)
    return float(level ** (1 / family))


def max_t(statistics: Floats, *, level: float) -> float:
    """Common critical value c of a family of intervals estimate ± c error, from a joint bootstrap.

    c is the `level` quantile over replicates b of max_k |t[b, k]|, with t = (replicate - centre) / error of
    that very replicate (Westfall and Young 1993; Romano and Wolf, JASA 100 (2005) 94; the studentised form
    of Hall, Ann. Stat. 16 (1988) 927). Comparisons with one reference share its error, and joint replicates
    carry that dependence, so c is below Šidák's and Bonferroni's. It is never below the normal value for one
    interval: with few events the bootstrap distribution has few points, and its quantile can fall far short.

    Studentising matters in families, where c reaches into the tails: for 8 groups of 30 at p = 0.5
    replicates scaled by one common standard error cover 0.88 of the time instead of 0.95.

    Args:
        statistics: [B, K] studentised replicates, finite.
        level: family-wise coverage.

    Raises:
        NumericsError: a statistic is not finite, or there are none.
    """
    if statistics.size == 0 or not np.isfinite(statistics).all():
        message = "the bootstrap statistics of a family are empty or not finite"
        raise NumericsError(message)
    return max(critical(level), float(np.quantile(np.abs(statistics).max(axis=1), level)))
