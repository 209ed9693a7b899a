"""How well a score tells positives from negatives: AUC with interval, rates at a threshold, a ROC curve.

Larger scores point to positives. In `threshold_at_fpr` "above" is strictly above, so that a tied score never counts as
a hit; the true-positive rate at a fixed false-positive rate, which tosses a coin among ties, stands in `operating`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from auditkit.errors import NumericsError
from auditkit.result import Estimate, Point
from auditkit.stats.clusters import variance
from auditkit.stats.intervals import critical

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def auc(
    *, positives: ArrayLike, negatives: ArrayLike, level: float, persons: tuple[Ints, Ints] | None = None
) -> Estimate:
    """Area under the ROC curve, P(positive > negative) + P(tie) / 2, with an interval.

    The variance is DeLong's (Biometrics 44 (1988) 837; computed from midranks as Sun and Xu, IEEE SPL 21
    (2014) 1389), the interval is symmetric on the logit scale, which keeps it inside (0, 1). Where that
    variance is zero (the scores separate completely, or are all tied) DeLong would give a point as interval;
    there the score-type interval of Newcombe (Stat. Med. 25 (2006) 559, method 5) stands instead, and
    `method` says so.

    Args:
        positives: [P] scores of the positives (members, for a membership attack).
        negatives: [Q] scores of the negatives.
        level: coverage of the interval.
        persons: codes [P] and [Q] from 0 where persons have several records: DeLong's variance is then summed person
            by person (Obuchowski, Biometrics 53 (1997) 567).

    Raises:
        NumericsError: a score is NaN.
    """
    hits, misses = _scores(positives), _scores(negatives)
    n = hits.size + misses.size
    if min(hits.size, misses.size) < 2:
        why = "fewer than two positives or fewer than two negatives"
        return Estimate(value=None, level=level, n=n, method="DeLong", withheld=why)
    above, below = _placements(hits, misses)
    area = float(np.clip(above.mean(), 0.0, 1.0))
    if persons is None:
        deviation = math.sqrt(above.var(ddof=1) / hits.size + below.var(ddof=1) / misses.size)
    else:
        moved = np.concatenate([(above - area) / hits.size, (below - area) / misses.size])
        deviation = math.sqrt(variance(moved, persons=np.concatenate(persons)))
    z = critical(level)
    if deviation < 1e-12 or min(area, 1 - area) < 1e-12:
        low, high = _newcombe(area=area, positives=hits.size, negatives=misses.size, z=z)
        method = "Newcombe score-type interval (DeLong's variance is zero here)"
    else:
        half = z * deviation / (area * (1 - area))
        centre = math.log(area / (1 - area))
        low, high = _expit(centre - half), _expit(centre + half)
        by = "" if persons is None else " over persons"
        method = f"DeLong variance{by}, interval on the logit scale"
    return Estimate(value=area, low=low, high=high, level=level, n=n, method=method)


def auc_pulls(*, positives: ArrayLike, negatives: ArrayLike) -> tuple[Floats, Floats]:
    """How far each positive [P] and each negative [Q] pulls the AUC: its centred placement over its side's size.

    The linear terms of DeLong's variance, for how much the AUCs of several scores of the same records err together.
    """
    hits, misses = _scores(positives), _scores(negatives)
    above, below = _placements(hits, misses)
    return (above - above.mean()) / hits.size, (below - below.mean()) / misses.size


def _placements(hits: Floats, misses: Floats) -> tuple[Floats, Floats]:
    """Share of negatives below each positive, and of positives above each negative; ties by half."""
    return _share_below(hits, misses), 1 - _share_below(misses, hits)


def _share_below(values: Floats, others: Floats) -> Floats:
    """Share of the others below each value, ties by half."""
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(counts / (2 * others.size), dtype=np.float64)


def threshold_at_fpr(negatives: ArrayLike, fpr: float) -> float:
    """The lowest observed threshold above which at most the share `fpr` of these negatives lies.

    With ties at the threshold the realised share is smaller, never larger. Set it on one split and measure
    on another: on the split that set it the false-positive rate is optimistic.

    Raises:
        NumericsError: no negatives, a NaN among them, or `fpr` outside (0, 1).
    """
    scores = _scores(negatives)
    if scores.size == 0 or not 0 < fpr < 1:
        message = f"a threshold at false-positive rate {fpr!r} cannot be set on {scores.size} negatives"
        raise NumericsError(message)
    # The small addend keeps 0.29 * 100 = 28.999999999999996 from losing the 29th record.
    allowed = math.floor(fpr * scores.size + 1e-9)
    position = scores.size - 1 - min(allowed, scores.size - 1)
    return float(np.partition(scores, position)[position])


def curve(*, positives: ArrayLike, negatives: ArrayLike, max_points: int, minimum_count: int) -> tuple[Point, ...]:
    """ROC curve whose every step covers none or at least `minimum_count` records of each class.

    So no point, nor the difference of two points, tells where fewer than `minimum_count` records lie. Points
    thin out towards high false-positive rates, because the low ones are what an audit reads. Empty when a
    class has fewer than `minimum_count` records.

    Raises:
        NumericsError: a score is NaN, or fewer than two points are asked for.
    """
    hits, misses = _scores(positives), _scores(negatives)
    if max_points < 2:
        message = f"a curve of {max_points} points cannot run from (0, 0) to (1, 1)"
        raise NumericsError(message)
    if min(hits.size, misses.size) < max(minimum_count, 1):
        return ()
    values = np.unique(np.concatenate([hits, misses]))[::-1]
    # Counts at or above each distinct value: the curve's corners, from the highest value down.
    tp = hits.size - np.searchsorted(np.sort(hits), values, side="left")
    fp = misses.size - np.searchsorted(np.sort(misses), values, side="left")
    kept = _cuts(tp=tp, fp=fp, minimum=minimum_count)
    chosen = np.unique(np.round(np.linspace(0, 1, max_points) ** 2 * (len(kept) - 1)).astype(int))
    return tuple(Point(x=kept[i][1] / misses.size, y=kept[i][0] / hits.size) for i in chosen)


def _cuts(*, tp: NDArray[np.int64], fp: NDArray[np.int64], minimum: int) -> list[tuple[int, int]]:
    """Greedy cuts (tp, fp) from (0, 0) to the totals; joining neighbouring steps keeps every step valid."""

    def valid(last: tuple[int, int], now: tuple[int, int]) -> bool:
        steps = (now[0] - last[0], now[1] - last[1])
        return any(steps) and all(step == 0 or step >= minimum for step in steps)

    kept = [(0, 0)]
    end = (int(tp[-1]), int(fp[-1]))
    for now in zip(tp.tolist(), fp.tolist(), strict=True):
        if valid(kept[-1], now):
            kept.append(now)
    if kept[-1] != end:
        while len(kept) > 1 and not valid(kept[-1], end):
            kept.pop()
        kept.append(end)
    return kept


def _newcombe(*, area: float, positives: int, negatives: int, z: float) -> tuple[float, float]:
    """Limits t with |area - t| = z sqrt(V(t)), V of the bi-exponential model at equal sizes (P + Q) / 2."""
    mean = (positives + negatives) / 2

    def excess(t: float) -> float:
        spread = 1 + (mean - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return (area - t) ** 2 - z * z * t * (1 - t) * spread / (positives * negatives)

    # `excess` is also 0 at t = area when the area is 0 or 1; the search starts just inside.
    low = 0.0 if area <= 0 else float(optimize.brentq(excess, 0.0, min(area, 1 - 1e-9)))
    high = 1.0 if area >= 1 else float(optimize.brentq(excess, max(area, 1e-9), 1.0))
    return low, high


def _expit(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def _scores(values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64).ravel()
    if np.isnan(scores).any():
        message = f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN"
        raise NumericsError(message)
    return scores
