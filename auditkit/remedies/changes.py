"""One measure over pairs of models that learned the same half, without and with the remedy.

A group measure's change has two sources of chance: which half and seed a pair drew, and which persons the evaluation
records are of. With D_k the change in pair k, V = Var_k(D_k) / K + P / (P - 1) sum_p U_p^2, U_p the influence of person
p's records on the mean change (linearisation of the ratios); t with Welch-Satterthwaite degrees of freedom. The pool
itself, of which the halves are drawn, is taken as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from auditkit.fairness.metrics import DECISIONS, METRICS, MISSING, mask
from auditkit.privacy import risk
from auditkit.privacy.attacks.lira_offline import surprise
from auditkit.privacy.membership import Retrained
from auditkit.result import Estimate
from auditkit.subject.decisions import decisions_at
from auditkit.subject.types import Floats, Ints, Mask

GROUPS: Final = 16
"""Groups of pairs that the jackknife leaves out one after another."""
BOTH: Final = "mean over pairs of retrained models; t interval over pairs and evaluation persons (linearised)"
PAIRS: Final = "mean over pairs of retrained models, each attacked with the help of the others; t interval over pairs"
JACKKNIFE: Final = (
    "mean over training records of empirical-Bayes risk; jackknife that leaves the same pairs of models out on both "
    "sides"
)


@dataclass(frozen=True)
class Answered:
    """A measure by model [K], and each evaluation row's influence [M] on its mean over models."""

    value: Floats
    influence: Floats

    def less(self, other: Answered) -> Answered:
        """The paired difference."""
        return Answered(self.value - other.value, self.influence - other.influence)


def cells(score: Floats, truth: Floats, threshold: float) -> Ints:
    """Cell [K, M] of every model and row, truth x decision as `fairness.metrics` counts them."""
    state = np.where(np.isnan(truth), MISSING, truth).astype(np.int64)
    return np.asarray(state * DECISIONS + decisions_at(score, threshold), dtype=np.int64)


def rate(metric: str, cell: Ints, rows: Mask) -> Answered | None:
    """A metric of METRICS on some rows [M]; None where a model's denominator is empty."""
    row = METRICS[metric]
    events, trials = mask(row.events)[cell] * rows, mask(row.trials)[cell] * rows
    total = trials.sum(axis=1)
    if not (total > 0).all():
        return None
    value = events.sum(axis=1) / total
    influence = ((events - value[:, None] * trials) / total[:, None]).mean(axis=0)
    return Answered(value, influence)


def compared(metric: str, cell: Ints, own: Mask, reference: Mask, *, scale: str) -> Answered | None:
    """A group's rate less the reference's (`difference`), or divided by it (`ratio`)."""
    row = METRICS[metric]
    parts = []
    for rows in (own, reference):
        events, trials = mask(row.events)[cell] * rows, mask(row.trials)[cell] * rows
        total = trials.sum(axis=1)
        if not (total > 0).all():
            return None
        value = events.sum(axis=1) / total
        parts.append((value, (events - value[:, None] * trials) / total[:, None]))
    (one, moved), (base, moved_base) = parts
    if scale == "difference":
        return Answered(one - base, (moved - moved_base).mean(axis=0))
    if not (base > 0).all():
        return None
    ratio = one / base
    return Answered(ratio, ((moved - ratio[:, None] * moved_base) / base[:, None]).mean(axis=0))


def estimate(found: Answered, persons: Ints, *, level: float) -> Estimate:
    """Mean over models with the interval of both sources of chance; exact where nothing varies."""
    k = len(found.value)
    own = np.bincount(persons, weights=found.influence)
    p = int((np.bincount(persons) > 0).sum())
    spread = float(found.value.var(ddof=1)) / k
    sampled = p / max(p - 1, 1) * float(np.square(own).sum())
    mean, total = float(found.value.mean()), spread + sampled
    half = 0.0
    if total > 0:
        freedom = total**2 / (spread**2 / (k - 1) + sampled**2 / max(p - 1, 1))
        half = float(stats.t.ppf(0.5 + level / 2, freedom)) * total**0.5
    return Estimate(value=mean, low=mean - half, high=mean + half, level=level, n=k, method=BOTH)


def over_pairs(value: Floats, *, level: float, method: str = PAIRS) -> Estimate:
    """Mean [K] with Student's t interval over models."""
    k, mean = len(value), float(value.mean())
    half = float(stats.t.ppf(0.5 + level / 2, k - 1)) * float(value.std(ddof=1)) / k**0.5
    return Estimate(value=mean, low=mean - half, high=mean + half, level=level, n=k, method=method)


def risks(before: Retrained, after: Retrained, *, level: float) -> tuple[Estimate, Estimate, Estimate]:
    """Average risk without and with the remedy and its change; intervals by jackknife over groups of pairs.

    Both sides hold the same records in the same models. n is the number of pairs. The same groups of models are left
    out on both sides, so that what their halves have in common cancels (Efron & Tibshirani 1993, chapter 11).
    """
    sides = [_jackknifed(before), _jackknifed(after)]
    k = len(before.inside)
    if sides[0] is None or sides[1] is None:
        none = Estimate(value=None, level=level, withheld=f"fewer than {risk.FEWEST} records")
        return none, none, none
    (value, others), (value_after, others_after) = sides[0], sides[1]

    def told(mean: float, left_out: Floats, lowest: float, highest: float) -> Estimate:
        groups = len(left_out)
        error = float(np.sqrt((groups - 1) / groups * np.square(left_out - left_out.mean()).sum()))
        half = float(stats.t.ppf(0.5 + level / 2, groups - 1)) * error
        low, high = max(lowest, mean - half), min(highest, mean + half)
        return Estimate(value=mean, low=low, high=high, level=level, n=k, method=JACKKNIFE)

    return (
        told(value, others, 0.5, 1.0),
        told(value_after, others_after, 0.5, 1.0),
        told(value_after - value, others_after - others, -0.5, 0.5),
    )


def _jackknifed(known: Retrained) -> tuple[float, Floats] | None:
    """Mean risk, and means [G] with one group of models left out."""
    value, fitted, grid = risk.every(known)
    if value is None or fitted is None or grid is None:
        return None
    met = risk.correct(known, fitted, grid)
    groups = min(len(known.inside), GROUPS)
    group = np.arange(len(known.inside)) % groups
    others = []
    for g in range(groups):
        rest = group != g
        found = risk.every(Retrained(known.margin[rest], known.inside[rest]), start=fitted, grid=grid)[0]
        if found is None:
            return None
        others.append(float(found.mean()))
    # As in `risk.averages`: the map is that of all models, and only its slope is in the interval.
    return float(met(value).mean()), met.slope(value) * np.array(others)


def attacked(known: Retrained, targets: Sequence[int]) -> Floats:
    """AUC [T] of the offline likelihood ratio on some models, each with the help of all others (mean ranks)."""
    found = []
    for k in targets:
        rest = np.arange(len(known.inside)) != k
        score = surprise(known.margin[k], Retrained(known.margin[rest], known.inside[rest]))
        inside = known.inside[k]
        n, m = int(inside.sum()), int((~inside).sum())
        found.append((stats.rankdata(score)[inside].sum() - n * (n + 1) / 2) / (n * m))
    return np.array(found)
