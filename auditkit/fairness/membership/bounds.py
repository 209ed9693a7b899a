"""Bounds of a rate where only probabilities of membership are known, whatever group and decision have to do.

The probabilities say how large a group is among records that are alike in them, and the decisions how often such
records get one; they do not say whether it is the group's members who get it. By Fréchet and Hoeffding, in a bin with
mean probability p and share of events x, the members with an event are at least max(0, p + x - 1) and at most min(p, x)
of the bin. A rate rises in its events and falls in its other trials, and both ends are reached at once, so that its
bounds are the ratios of those sums over the bins. This is Kallus, Mao and Zhou, Manag. Sci. 68 (2022) 1959, with bins
of the probability in place of the proxies: finer proxies, where an auditor has them, narrow it. The bounds are those of
the population if the probabilities are calibrated in each bin. The weighted estimate always lies between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditkit.fairness.membership.sums import Rows
from auditkit.fairness.metrics import Metric, mask
from auditkit.subject.types import Floats, Ints, Mask

BINS = 20
LEAST = 50
"""Records of a bin: with few, the largest possible overlap is overstated."""


@dataclass(frozen=True)
class Ends:
    """Lowest and highest rate, and how each moves when a person is counted twice."""

    low: float
    high: float
    low_influence: Floats
    """[J]"""
    high_influence: Floats


def bins_of(probability: Floats, known: Mask) -> Ints:
    """[M] bin of each record by its probability: at most BINS, of about LEAST records; equal ones stay together."""
    wanted = min(BINS, max(1, int(known.sum()) // LEAST))
    cuts = np.arange(1, wanted) / wanted
    # Edges are records' own values, so that the last bits of an interpolation never part equal ones.
    edges = np.unique(np.quantile(probability[known], cuts, method="lower")) if wanted > 1 else np.empty(0)
    return np.searchsorted(edges, probability, side="right").astype(np.int64)


def ends(rows: Rows, metric: Metric, column: int) -> Ends | None:
    """Bounds of one column's rate; None where it may have no trial at all.

    The bins are taken as given, and so is which side of a minimum or maximum is the lesser: away from their meeting
    point that moves nothing, at it the region is a little too wide or too narrow by less than a standard error.
    """
    weight = rows.known.astype(np.float64)
    weight = weight if rows.weights is None else weight * rows.weights
    event, trial = (mask(cells)[rows.cell].astype(np.float64) for cells in (metric.events, metric.trials))
    share = rows.share[:, column]
    places = bins_of(share, rows.known)
    most = [_most(share, outcome, weight, places) for outcome in (event, trial - event)]
    least = [_least(share, outcome, weight, places) for outcome in (event, trial - event)]
    high, low = _rate(most[0], least[1]), _rate(least[0], most[1])
    if low is None or high is None:
        return None
    low_moves, high_moves = (rows.by_person(moves[:, None])[:, 0] for moves in (low[1], high[1]))
    return Ends(low[0], high[0], low_moves, high_moves)


def _most(share: Floats, outcome: Floats, weight: Floats, places: Ints) -> Floats:
    """[M] what each record adds to the most members that can have the outcome: min(share, outcome) bin by bin."""
    members, having = (np.bincount(places, weights=weight * part) for part in (share, outcome))
    return weight * np.where((members <= having)[places], share, outcome)


def _least(share: Floats, outcome: Floats, weight: Floats, places: Ints) -> Floats:
    """[M] the same for the fewest: max(0, share + outcome - 1)."""
    surplus = np.bincount(places, weights=weight * (share + outcome - 1))
    return weight * np.where((surplus > 0)[places], share + outcome - 1, 0.0)


def _rate(events: Floats, others: Floats) -> tuple[float, Floats] | None:
    """A / (A + B) of the sums of [M] parts, and its influence values [M]."""
    a, b = float(events.sum()), float(others.sum())
    if a + b <= 0:
        return None
    return a / (a + b), (events * b - others * a) / (a + b) ** 2
