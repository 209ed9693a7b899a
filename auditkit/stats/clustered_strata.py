"""Two groups compared within strata where persons have several records: Mantel and Haenszel's figures, by person.

The values are those of `stratified`; their errors come from the persons. Differences and odds ratios by the jackknife
that leaves out one person at a time, with all of the person's records in whatever strata and groups they lie (Efron
and Stein, Ann. Stat. 9 (1981) 586; for clustered tables Gladen, JASA 74 (1979) 885): it overstates the variance a
little, and more with few persons. The test by the variance that the persons' own contributions show (Boos, Am. Stat. 46
(1992) 327; Begg, Biometrics 55 (1999) 302).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from auditkit.stats.mover import Bounded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Statistic = Callable[[Floats, Floats], Floats]
"""Of events and trials [B, K, 2]."""
_CHUNK = 2_000_000


@dataclass(frozen=True)
class Persons:
    """What one person of each kind adds to each stratum: `events` and `trials` [T, K, 2], group then reference."""

    events: Ints | Floats
    trials: Ints | Floats
    counts: Ints
    """[T] persons of the kind."""

    def compared(self) -> Persons:
        """The same without strata that lack one of the two, and without persons who have no record in the others."""
        total = np.tensordot(self.counts, self.trials, axes=1)
        used = (total > 0).all(axis=1)
        inside = self.trials[:, used].any(axis=(1, 2)) & (self.counts > 0)
        return Persons(self.events[inside][:, used], self.trials[inside][:, used], self.counts[inside])

    @property
    def number(self) -> int:
        """Persons."""
        return int(self.counts.sum())


def risk_difference(found: Persons, *, z: float) -> Bounded:
    """Pooled difference of the rates, weights n1 n0 / N, cut to [-1, 1]; `found` from `compared`."""
    value, error = _jackknife(found, _difference)
    return Bounded(value, max(-1.0, value - z * error), min(1.0, value + z * error))


def odds_ratio(found: Persons, *, z: float) -> Bounded | None:
    """Pooled odds ratio with limits on its logarithm; None where it, or without some person it, is 0 or infinite."""
    value, error = _jackknife(found, _log_odds)
    if not math.isfinite(value) or not math.isfinite(error):
        return None
    return Bounded(math.exp(value), math.exp(value - z * error), math.exp(value + z * error))


def cmh(found: Persons) -> float | None:
    """p-value that the two are alike within strata; None where nothing varies.

    T = sum over strata of (x1 - n1 (x1 + x0) / N) is a sum over records of (a - n1 / N)(y - h / N), a whether the
    record is the group's, y whether it has the event, h = x1 + x0. T² over the sum of the squares of the persons' own
    parts is chi-squared with one degree of freedom. A stratum's parts are scaled by N / (N - 1), squared that is what
    the hypergeometric variance has over the plain one, so that with one record a person the test is
    Cochran–Mantel–Haenszel's up to sampling error.
    """
    x, n = (np.tensordot(found.counts, part, axes=1).astype(np.float64) for part in (found.events, found.trials))
    size = n.sum(axis=1)
    share, hits = n[:, 0] / size, x.sum(axis=1) / size
    scale = np.sqrt(size / np.maximum(size - 1, 1))
    apart = found.events - hits[:, None] * found.trials
    parts = (1 - share) * apart[:, :, 0] - share * apart[:, :, 1]
    excess = float((x[:, 0] - hits * n[:, 0]).sum())
    spread = float(found.counts @ (parts * scale).sum(axis=1) ** 2)
    if spread <= 0:
        return None
    return float(stats.chi2.sf(excess**2 / spread, 1))


def _jackknife(found: Persons, statistic: _Statistic) -> tuple[float, float]:
    """The statistic, and its standard error from its values without each person in turn."""
    x, n = (np.tensordot(found.counts, part, axes=1).astype(np.float64) for part in (found.events, found.trials))
    value = float(statistic(x[None], n[None])[0])
    step = max(1, _CHUNK // max(1, x.size))
    chunks = [slice(start, start + step) for start in range(0, len(found.counts), step)]
    without = np.concatenate([statistic(x - found.events[c], n - found.trials[c]) for c in chunks])
    persons = found.number
    mean = float(found.counts @ without) / persons
    squares = float(found.counts @ (without - mean) ** 2)
    return value, math.sqrt(squares * (persons - 1) / persons)


def _difference(x: Floats, n: Floats) -> Floats:
    size = np.maximum(n.sum(axis=2), 1.0)
    above = (x[..., 0] * n[..., 1] - x[..., 1] * n[..., 0]) / size
    weight = (n[..., 0] * n[..., 1] / size).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above.sum(axis=1) / weight, dtype=np.float64)


def _log_odds(x: Floats, n: Floats) -> Floats:
    size, other = np.maximum(n.sum(axis=2), 1.0), n - x
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.log((x[..., 0] * other[..., 1] / size).sum(axis=1))
        return np.asarray(r - np.log((x[..., 1] * other[..., 0] / size).sum(axis=1)), dtype=np.float64)
