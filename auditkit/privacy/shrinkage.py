"""Per-record means and variances over retrained models, with variances drawn to what records have in common.

Half of the models have learned a record and half have not, so a record's own variance rests on some thirty numbers or
fewer. Its estimate is combined with a prior fitted to all records: s²_i | sigma²_i ~ sigma²_i chi²_df / df,
1/sigma²_i ~ chi²_d0 / (d0 s0²), which is the normal-inverse-gamma model with a flat prior on the mean. Then
shrunk = (d0 s0² + df s²) / (d0 + df) with d0 + df degrees of freedom (Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004),
equations 3 to 8: moments of log s²). Wrong when the margins of one record are far from normal over models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from auditkit.subject.types import Floats, Ints, Mask

MOST_FREEDOM: Final = 1e6
"""Degrees of freedom that stand for a prior without spread: all records share one variance."""
LEAST_VARIANCE: Final = 1e-24
"""Squared margins; below it models that answer alike differ by rounding only."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of each record's margins over some of the models."""

    n: Ints
    """[P] models."""
    mean: Floats
    """[P] NaN where there is no model."""
    squares: Floats
    """[P]"""


@dataclass(frozen=True)
class Spread:
    """Shrunken variances and their degrees of freedom."""

    variance: Floats
    """[P]"""
    freedom: Floats
    """[P]"""


def moments(margin: Floats, chosen: Mask) -> Moments:
    """Moments of margins [K, P] over the models chosen [K, P] for each record."""
    n = chosen.sum(axis=0)
    # About one of the record's own answers: where all are alike, the squares are 0 and not rounding of a large mean.
    centre = np.take_along_axis(margin, chosen.argmax(axis=0)[None], axis=0)[0]
    off = np.where(chosen, margin - centre, 0.0)
    with np.errstate(invalid="ignore"):
        shift = off.sum(axis=0) / n
    squares = np.where(chosen, np.square(off - shift), 0.0).sum(axis=0)
    return Moments(n.astype(np.int64), centre + shift, squares)


def both_sides(margin: Floats, inside: Mask) -> tuple[Moments, Moments]:
    """`moments` of the models inside and of those outside, in one pass: what is outside is all less what is inside."""
    centre = margin.mean(axis=0)
    off = margin - centre
    held = inside.astype(np.float64)
    n = inside.sum(axis=0)
    sums, powers = np.einsum("kp,kp->p", off, held), np.einsum("kp,kp,kp->p", off, off, held)
    others = (len(margin) - n, off.sum(axis=0) - sums, np.einsum("kp,kp->p", off, off) - powers)
    return _about(centre, n, sums, powers), _about(centre, *others)


def _about(centre: Floats, n: Ints, sums: Floats, powers: Floats) -> Moments:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / n
        squares = np.where(n > 0, np.maximum(powers - sums * mean, 0.0), 0.0)
    return Moments(n.astype(np.int64), centre + mean, squares)


def shrink(squares: Floats, freedom: Ints) -> Spread:
    """Shrunken variances [P] from sums of squares [P] with their own degrees of freedom [P], 0 allowed."""
    own = np.divide(squares, freedom, out=np.full(len(squares), np.nan), where=freedom > 0)
    usable = (freedom > 0) & (own > LEAST_VARIANCE)
    if int(usable.sum()) < 2:
        return Spread(np.full(len(squares), LEAST_VARIANCE), np.full(len(squares), MOST_FREEDOM))
    prior, centre = _prior(own[usable], freedom[usable].astype(np.float64))
    total = prior + freedom
    return Spread(np.maximum((prior * centre + squares) / total, LEAST_VARIANCE), total.astype(np.float64))


def _prior(variance: Floats, freedom: Floats) -> tuple[float, float]:
    """Degrees of freedom d0 and scale s0² of the prior, by the mean and variance of log s²."""
    e = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(np.var(e, ddof=1) - np.mean(polygamma(1, freedom / 2)))
    low, high = polygamma(1, MOST_FREEDOM / 2), polygamma(1, 0.005)
    if excess <= low:
        prior = MOST_FREEDOM
    elif excess >= high:
        prior = 0.01
    else:
        prior = 2 * float(brentq(lambda x: polygamma(1, x) - excess, 0.005, MOST_FREEDOM / 2))
    return prior, float(np.exp(np.mean(e) + digamma(prior / 2) - np.log(prior / 2)))
