"""Simultaneous intervals of differences and ratios by a bootstrap of one's own, with their Monte-Carlo error.

The rule is the one that the report's method names: add z²/6 events and as many non-events to every group (z of one of
the family's simultaneous intervals), resample the records jointly, studentise every replicate, and take the `level`
quantile c of the largest absolute statistic over the family (never below the normal one); limits are centre ± c error,
ratios on the log scale, widened to the observed value. Replicates here are drawn anew, so a limit is known up to the
error of two quantiles: that of the audit's replicates and that of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.policies.real.claims import Near

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OWN_REPLICATES = 40_000
ERRORS = 4.5
"""Standard errors granted to a quantile: exceeded once in 150,000 quantiles, of which all audits have about 150."""
BAND = 0.01


@dataclass(frozen=True)
class Limits:
    """Both limits of one comparison, each known up to Monte-Carlo error."""

    low: Near
    high: Near


def added(level: float, family: int) -> float:
    """Events, and as many non-events, that every group is given: z²/6 at Šidák's level."""
    return float(stats.norm.ppf(0.5 + level ** (1 / max(family, 1)) / 2)) ** 2 / 6


def simultaneous(
    *, events: Ints, trials: Ints, base: int, family: Sequence[int], extra: float, ratio: bool, level: float,
    replicates: int, generator: np.random.Generator,
) -> dict[int, Limits]:  # fmt: skip
    """Limits of every group of the family against the base; `extra` from `added`."""
    if not family:
        return {}
    groups = len(events)
    kinds = np.concatenate([events + extra, trials - events + extra])
    draws = generator.multinomial(round(kinds.sum()), kinds / kinds.sum(), size=OWN_REPLICATES)
    drawn_events, drawn_trials = draws[:, :groups], draws[:, :groups] + draws[:, groups:]
    among = {"family": list(family), "base": base, "extra": extra, "ratio": ratio}
    centre, error = _contrast(events[None], trials[None], **among)
    moved, spread = _contrast(drawn_events, drawn_trials, **among)
    largest = np.abs((moved - centre) / spread).max(axis=1)
    least, most = _critical(largest, level, replicates)
    out = {}
    for k, g in enumerate(family):
        ends = [(centre[0, k] + sign * c * error[0, k]) for sign in (-1, 1) for c in (most, least)]
        out[int(g)] = _limits(ends, events, trials, int(g), base, ratio=ratio)
    return out


def _critical(largest: Floats, level: float, replicates: int) -> tuple[float, float]:
    """The quantile less and plus its Monte-Carlo error, neither below the normal one."""
    at = float(np.quantile(largest, level))
    below, above = np.quantile(largest, [level - BAND, level + BAND])
    density = 2 * BAND / (above - below)
    error = np.sqrt(level * (1 - level) * (1 / replicates + 1 / len(largest))) / density
    normal = float(stats.norm.ppf(0.5 + level / 2))
    return max(normal, at - ERRORS * error), max(normal, at + ERRORS * error)


def _limits(ends: list[float], events: Ints, trials: Ints, g: int, base: int, *, ratio: bool) -> Limits:
    own, other = events[g] / trials[g], events[base] / trials[base]
    if ratio:
        found = np.exp(ends)
        apart, (floor, ceiling) = own / other, (0.0, np.inf)
    else:
        found = np.array(ends)
        apart, (floor, ceiling) = own - other, (-1.0, 1.0)
    low = np.maximum(np.minimum(found[:2], apart), floor)
    high = np.minimum(np.maximum(found[2:], apart), ceiling)
    return Limits(Near(float(low.min()), float(low.max())), Near(float(high.min()), float(high.max())))


def _contrast(
    events: Ints, trials: Ints, *, family: list[int], base: int, extra: float, ratio: bool
) -> tuple[Floats, Floats]:
    """Comparisons [B, K] on their scale, and their standard errors."""
    rate = (events + extra) / (trials + 2 * extra)
    variance = rate * (1 - rate) / (trials + 2 * extra)
    value = np.log(rate) if ratio else rate
    variance = variance / rate**2 if ratio else variance
    return value[:, family] - value[:, [base]], np.sqrt(variance[:, family] + variance[:, [base]])
