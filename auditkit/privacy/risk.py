"""Record-level risk from retrained models: how surely an optimal attacker tells that a record was learned from.

R_i = Phi(|d_i| / 2) with d_i = (mean margin with the record - mean without it) / sigma_i: the probability of a right
guess at odds of one to one, for normal margins of equal variance (1/2 knows nothing). What is stated is that drawn to
what the likelihood ratio's success on models left out shows (`held_out`), for margins are neither quite normal nor of
equal variance. It belongs to the recipe and the population of models, not to the one audited model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from auditkit.privacy.held_out import FOLDS, LEAST_MODELS, NOTHING, Correction, correction, expected, guessed
from auditkit.privacy.membership import Retrained
from auditkit.privacy.mixture import AGAIN, Observed, grid_for, law, likelihood, posterior, starting
from auditkit.privacy.shrinkage import both_sides, shrink
from auditkit.result import Estimate
from auditkit.subject.types import Floats, Ints, Mask

AVERAGE_METHOD: Final = "mean over training records of empirical-Bayes risk; jackknife over groups of retrained models"
REPLICATES: Final = 40
"""Bootstrap samples of models, for what is not known of the law of distances."""
GROUPS: Final = 32
"""Groups of models that the jackknife leaves out one after another, where there are more models."""
FEWEST: Final = 20
"""Records below which no law of their distances can be estimated."""


@dataclass(frozen=True)
class Risk:
    """Risk [P] of each record with its two-sided interval; 1/2 where a side has no model."""

    value: Floats
    low: Floats
    high: Floats

    def first(self, count: int) -> Risk:
        """Of the first records only."""
        return Risk(self.value[:count], self.low[:count], self.high[:count])


def measure(known: Retrained, *, level: float, generator: np.random.Generator) -> Risk:
    """Risk of every record of the pool, drawn to what all records have in common.

    value_i = c(E[Phi(|d_i| / 2)]) under the record's posterior (`mixture`); sigma² is pooled over both sides and
    shrunken over records (`shrinkage`); c is the monotone map that models left out show to be due (`held_out`).
    Interval: c of the quantiles of the posterior, averaged over laws estimated on REPLICATES bootstrap samples of
    models and records.

    Too high where the retrained models learned from fewer records than the audited one.

    Args:
        known: margins and membership [B, P] of B models. level: coverage of each record's interval.
        generator: draws the bootstrap samples of models.
    """
    seen, kept = _observed(known)
    nothing = np.full(known.margin.shape[1], 0.5)
    if len(seen.t) < FEWEST:
        return Risk(nothing, nothing.copy(), np.ones_like(nothing))
    grid = grid_for(seen)
    given, success = likelihood(seen, grid), _risk(grid)
    fitted = law(given, start=starting(grid))
    laws = [fitted, *_resampled(known, grid, generator)]
    met = correct(known, fitted, grid)
    low, high = (met(end) for end in _quantiles(posterior(given, laws), success, level))
    value = met(posterior(given, [fitted]) @ success)
    return Risk(
        _entered(nothing, kept, value),
        _entered(nothing, kept, np.minimum(low, value)),
        _entered(np.ones_like(nothing), kept, np.maximum(high, value)),
    )


def correct(known: Retrained, fitted: Floats, grid: Floats) -> Correction:
    """The map from the formula's risk to what models left out show; that which changes nothing with few models."""
    models = len(known.margin)
    if models < LEAST_MODELS:
        return NOTHING
    fold = np.arange(models) % FOLDS
    stated, off = np.full(known.margin.shape, 0.5), np.zeros(known.margin.shape)
    for k in range(FOLDS):
        out = fold == k
        rest = Retrained(known.margin[~out], known.inside[~out])
        seen, kept = _observed(rest)
        if len(kept) < FEWEST:
            return NOTHING
        given = likelihood(seen, grid)
        own = posterior(given, [law(given, start=fitted, steps=AGAIN)])
        right = guessed(rest, Retrained(known.margin[out], known.inside[out]))[:, kept]
        stated[np.ix_(out, kept)] = own @ _risk(grid)
        off[np.ix_(out, kept)] = right - own @ expected(grid, float(seen.weight.mean()))
    return correction(stated, off)


def distances(known: Retrained) -> Floats:
    """Posterior mean [P] of each record's signed distance d_i; 0 where a side has no model or records are too few."""
    seen, kept = _observed(known)
    everyone = np.zeros(known.margin.shape[1])
    if len(seen.t) < FEWEST:
        return everyone
    grid = grid_for(seen)
    given = likelihood(seen, grid)
    return _entered(everyone, kept, posterior(given, [law(given, start=starting(grid), steps=AGAIN)]) @ grid)


def average(known: Retrained, *, members: int, level: float) -> Estimate:
    """Mean risk of the first records, with a jackknife interval over models (Efron & Tibshirani 1993, chapter 11)."""
    return averages(known, [np.ones(members, dtype=np.bool_)], level=level)[0]


def averages(known: Retrained, cells: Sequence[Mask], *, level: float) -> list[Estimate]:
    """Mean risk of the records in each cell [N], N <= P the first records; a jackknife interval each on its own.

    The law of distances is that of all P records, so a cell's mean is drawn to it: differences between cells are rather
    understated. The interval speaks of these records; what other records of the same kind would have is wider. The map
    to held-out success is that of all models: the interval is that of the formula's mean, times the map's slope, and
    the map's own noise is not in it.
    """
    models = known.margin.shape[0]
    value, fitted, grid = every(known)
    if value is None or fitted is None or grid is None:
        few = f"fewer than {FEWEST} records"
        return [Estimate(value=None, level=level, n=int(c.sum()), method=AVERAGE_METHOD, withheld=few) for c in cells]
    groups = min(models, GROUPS)
    group = np.arange(models) % groups
    met, records = correct(known, fitted, grid), known.margin.shape[1]
    share = np.stack([np.pad(cell / max(int(cell.sum()), 1), (0, records - len(cell))) for cell in cells])
    others = np.stack([share @ _left_out(known, group != g, fitted, grid) for g in range(groups)])
    others *= met.slope(value)
    # A law taken up from a fitted one has had more EM steps; they are compared with each other, not with the value.
    error = np.sqrt((groups - 1) / groups * np.square(others - others.mean(axis=0)).sum(axis=0))
    width = float(stats.t.ppf(0.5 + level / 2, groups - 1)) * error
    return [
        Estimate(
            value=float(mean), low=max(0.5, float(mean - half)), high=min(1.0, float(mean + half)), level=level,
            n=int(cell.sum()), method=AVERAGE_METHOD,
        )
        for cell, mean, half in zip(cells, share @ met(value), width, strict=True)
    ]  # fmt: skip


def _left_out(known: Retrained, rest: Mask, fitted: Floats, grid: Floats) -> Floats:
    """Risk [P] by some of the models only; 1/2 where they are too few for a law."""
    found = every(Retrained(known.margin[rest], known.inside[rest]), start=fitted, grid=grid)[0]
    return np.full(known.margin.shape[1], 0.5) if found is None else found


def conformal(members: Floats, nonmembers: Floats) -> Floats:
    """P-value [N] of each member's score: (1 + non-members that score as high or higher) / (non-members + 1).

    Valid where a record that was not learned and the non-members are exchangeable, and jointly fit for
    Benjamini-Hochberg (Bates et al., Ann. Stat. 51 (2023) 149). Never below 1 / (non-members + 1).
    """
    ordered = np.sort(nonmembers)
    reached = len(ordered) - np.searchsorted(ordered, members, side="left")
    return np.asarray((1 + reached) / (len(ordered) + 1), dtype=np.float64)


def _observed(known: Retrained) -> tuple[Observed, Ints]:
    """Distances of the records that some models hold and others lack, and their positions."""
    inside, outside = both_sides(known.margin, known.inside)
    kept = np.flatnonzero((inside.n > 0) & (outside.n > 0))
    n, k = inside.n[kept], outside.n[kept]
    spread = shrink((inside.squares + outside.squares)[kept], np.maximum(n + k - 2, 0))
    weight = np.asarray(n * k / (n + k), dtype=np.float64)
    distance = (inside.mean - outside.mean)[kept] / np.sqrt(spread.variance)
    return Observed(distance * np.sqrt(weight), spread.freedom, weight), kept


def _resampled(known: Retrained, grid: Floats, generator: np.random.Generator) -> list[Floats]:
    """Laws of REPLICATES bootstrap samples of the models and of the records."""
    found = []
    for _ in range(REPLICATES):
        models = generator.integers(0, len(known.inside), len(known.inside))
        records = generator.integers(0, known.margin.shape[1], known.margin.shape[1])
        seen, _ = _observed(Retrained(known.margin[np.ix_(models, records)], known.inside[np.ix_(models, records)]))
        found.append(law(likelihood(seen, grid), start=starting(grid), steps=AGAIN))
    return found


def every(
    known: Retrained, *, start: Floats | None = None, grid: Floats | None = None
) -> tuple[Floats | None, Floats | None, Floats | None]:
    """Risk [P] of every record by the formula alone, the law and its grid; None where the records are too few."""
    seen, kept = _observed(known)
    if len(seen.t) < FEWEST:
        return None, None, None
    grid = grid_for(seen) if grid is None else grid
    given = likelihood(seen, grid)
    fitted = law(given, start=starting(grid)) if start is None else law(given, start=start, steps=AGAIN)
    everyone = np.full(known.margin.shape[1], 0.5)
    everyone[kept] = posterior(given, [fitted]) @ _risk(grid)
    return everyone, fitted, grid


def _quantiles(mixture: Floats, success: Floats, level: float) -> tuple[Floats, Floats]:
    """Both ends [P] of the interval of the success whose law is `mixture` [P, G]."""
    order = np.argsort(success, kind="stable")
    reached = np.cumsum(mixture[:, order], axis=1)
    tail = (1 - level) / 2
    ends = [np.minimum((reached < share).sum(axis=1), len(success) - 1) for share in (tail, 1 - tail)]
    return success[order][ends[0]], success[order][ends[1]]


def _entered(everyone: Floats, kept: Ints, values: Floats) -> Floats:
    found = everyone.copy()
    found[kept] = values
    return found


def _risk(distance: Floats) -> Floats:
    return np.asarray(stats.norm.cdf(np.abs(distance) / 2), dtype=np.float64)
