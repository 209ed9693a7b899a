"""Record-level risk from retrained models: how surely an optimal attacker tells that a record was learned from.

R_i = Phi(|d_i| / 2) with d_i = (mean margin with the record - mean without it) / sigma_i: the probability of a right
guess at odds of one to one, for normal margins of equal variance (1/2 knows nothing). It belongs to the recipe and the
population of models, not to the one audited model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from auditkit.privacy.membership import Retrained
from auditkit.privacy.shrinkage import Moments, Spread, moments, shrink
from auditkit.result import Estimate
from auditkit.subject.types import Floats

AVERAGE_METHOD: Final = "mean over training records; jackknife over retrained models"
GRID: Final = 4000
FOLDED_TO, FOLDED_STEPS = 8.0, 8001


@dataclass(frozen=True)
class Risk:
    """Risk [P] of each record with its two-sided interval; 1/2 where a side has no model."""

    value: Floats
    low: Floats
    high: Floats


def measure(known: Retrained, *, level: float) -> Risk:
    """Risk of every record of the pool.

    The estimate of |d| is biased upwards, by more the fewer the models. With h = n_in n_out / (n_in + n_out),
    d^ sqrt(h) is noncentral t about d sqrt(h) with f degrees of freedom. Hedges' factor 1 - 3 / (4f - 1) takes out its
    scale (J. Educ. Stat. 6 (1981) 107). Taking |.| folds it, so the distance reported is the one whose folded normal
    estimate has the mean observed (Leone et al., Technometrics 3 (1961) 543); 0 below that of no distance. Interval:
    models are the sample; the limits of d invert the normal approximation
    P(T < t) = Phi((t (1 - 1/4f) - d sqrt(h)) / sqrt(1 + t²/2f)) (Abramowitz & Stegun 26.7.10).
    sigma² is pooled over both sides and shrunken over records (`shrinkage`).

    Unbiased record by record, not among records picked for a high value: those lie too high on the mean (with 64 models
    of a logistic regression, records put at 0.6 to 0.7 had 0.54), so picked records are judged by `low`.
    Wrong where margins are far from normal, or vary much more over models without the record than over those with it;
    and too high where the retrained models learned from fewer records than the audited one.

    Args:
        known: margins and membership [B, P] of B models. level: coverage of each record's own interval.
    """
    sides = moments(known.margin, known.inside), moments(known.margin, ~known.inside)
    spread, weight = _pooled(*sides), _weight(*sides)
    distance, freedom = _distance(*sides, spread), spread.freedom
    t = distance * np.sqrt(weight)
    z = float(stats.norm.ppf(0.5 + level / 2))
    middle, half = t * (1 - 1 / (4 * freedom)), z * np.sqrt(1 + t**2 / (2 * freedom))
    root = np.sqrt(np.maximum(weight, 1e-12))
    known_at_all = weight > 0
    return Risk(
        np.where(known_at_all, _risk(_corrected(distance, freedom, weight)), 0.5),
        np.where(known_at_all, _risk(np.maximum(middle - half, 0.0) / root), 0.5),
        np.where(known_at_all, _risk((middle + half) / root), 1.0),
    )


def average(known: Retrained, *, level: float) -> Estimate:
    """Mean risk of the records given, with a jackknife interval over models (Efron & Tibshirani 1993, chapter 11)."""
    value = _mean(known)
    models = len(known.inside)
    kept = ~np.eye(models, dtype=np.bool_)
    others = np.array([_mean(Retrained(known.margin[rows], known.inside[rows])) for rows in kept])
    error = float(np.sqrt((models - 1) / models * np.square(others - others.mean()).sum()))
    width = float(stats.t.ppf(0.5 + level / 2, models - 1)) * error
    low, high = max(0.5, value - width), min(1.0, value + width)
    return Estimate(value=value, low=low, high=high, level=level, n=known.margin.shape[1], method=AVERAGE_METHOD)


def average_of_nothing(known: Retrained) -> float:
    """What `average` shows on the mean where membership changes no margin: chance leaves some distance, cut at 0."""
    sides = moments(known.margin, known.inside), moments(known.margin, ~known.inside)
    freedom = float(np.median(_pooled(*sides).freedom))
    weight = len(known.inside) / 4
    t = stats.t.ppf((np.arange(GRID) + 0.5) / GRID, freedom)
    return float(_risk(_corrected(np.abs(t) / np.sqrt(weight), np.asarray(freedom), np.asarray(weight))).mean())


def conformal(members: Floats, nonmembers: Floats) -> Floats:
    """P-value [N] of each member's score: (1 + non-members that score as high or higher) / (non-members + 1).

    Valid where a record that was not learned and the non-members are exchangeable, and jointly fit for
    Benjamini-Hochberg (Bates et al., Ann. Stat. 51 (2023) 149). Never below 1 / (non-members + 1).
    """
    ordered = np.sort(nonmembers)
    reached = len(ordered) - np.searchsorted(ordered, members, side="left")
    return np.asarray((1 + reached) / (len(ordered) + 1), dtype=np.float64)


def _mean(known: Retrained) -> float:
    sides = moments(known.margin, known.inside), moments(known.margin, ~known.inside)
    spread, weight = _pooled(*sides), _weight(*sides)
    found = _risk(_corrected(_distance(*sides, spread), spread.freedom, weight))
    return float(np.where(weight > 0, found, 0.5).mean())


def _pooled(inside: Moments, outside: Moments) -> Spread:
    return shrink(inside.squares + outside.squares, np.maximum(inside.n + outside.n - 2, 0))


def _weight(inside: Moments, outside: Moments) -> Floats:
    """Weights h [P]: 1/h is the variance of the difference of the two means in units of sigma²."""
    return np.asarray(inside.n * outside.n / (inside.n + outside.n), dtype=np.float64)


def _distance(inside: Moments, outside: Moments, spread: Spread) -> Floats:
    gap = np.nan_to_num(inside.mean - outside.mean)
    return np.asarray(np.abs(gap) / np.sqrt(spread.variance), dtype=np.float64)


def _corrected(distance: Floats, freedom: Floats, weight: Floats) -> Floats:
    """Distance whose folded estimate has the mean observed; 0 where no distance has one so small."""
    hedges = 1 - 3 / (4 * freedom - 1)
    root = np.sqrt(np.maximum(weight, 1e-12))
    grid = np.linspace(0.0, FOLDED_TO, FOLDED_STEPS)
    folded = np.sqrt(2 / np.pi) * np.exp(-(grid**2) / 2) + grid * (2 * stats.norm.cdf(grid) - 1)
    seen = hedges * distance * root
    # Beyond the grid folding changes nothing.
    return np.asarray(np.where(seen < FOLDED_TO, np.interp(seen, folded, grid), seen) / root, dtype=np.float64)


def _risk(distance: Floats) -> Floats:
    return np.asarray(stats.norm.cdf(distance / 2), dtype=np.float64)
