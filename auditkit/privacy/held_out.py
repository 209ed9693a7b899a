"""Stated risk held against the attack's success on models that were left out, and drawn to it.

The formula of the risk supposes normal margins of equal variance on both sides, and an attacker uses more than that:
on an overfit network of digits stated risks of 0.62 to 0.81 were met by successes of 0.69 to 0.89. So the models are
parted into FOLDS; the other parts state every record's risk, and with it the success that an attack with so few models
would have if the formula held (`expected`); their likelihood ratio guesses who is inside the models of this part. In
bins of stated risk the mean difference c_k of success and expected success, with the standard error e_k of its
variation over models, is drawn to nothing by max(0, 1 - e_k² / c_k²) (James & Stein 1961); stated risk and difference
together are made monotone (isotonic regression, Barlow et al. 1972) and joined by lines. What an attack with few models
loses by its own noise is thus not taken off: the risk is that of an attacker who knows both laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats
from scipy.optimize import isotonic_regression

from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Floats

FOLDS: Final = 8
LEAST_MODELS: Final = 8
"""Models below which nothing is left out: what remains states no risk."""
BINS: Final = 24
LEAST_RECORDS: Final = 30
"""Records of a bin, on average over models; the highest risks are few and are what matters."""


@dataclass(frozen=True)
class Correction:
    """A monotone map of stated risk, by straight lines between points."""

    stated: Floats
    """[M] ascending."""
    met: Floats
    """[M] never descending, at least 1/2."""

    def __call__(self, stated: Floats) -> Floats:
        """The corrected risk; beyond the last points the correction is that of the last point."""
        if not len(self.stated):
            return stated
        ends = np.clip(stated, self.stated[0], self.stated[-1])
        return np.clip(np.interp(stated, self.stated, self.met) + stated - ends, 0.5, 1.0)


    def slope(self, stated: Floats) -> float:
        """By how much the corrected risk rises with the stated one, over these records (least squares); 1 for none.

        A mean of corrected risks moves with the mean stated risk by this factor. The map itself has steps, each the
        mean of one bin: moved records that cross one would pass the bins' noise for a change.
        """
        spread = float(np.var(stated))
        if spread == 0.0 or not len(self.stated):
            return 1.0
        return float(np.mean((self(stated) - self(stated).mean()) * (stated - stated.mean()))) / spread


NOTHING: Final = Correction(np.zeros(0), np.zeros(0))


def expected(distance: Floats, weight: float) -> Floats:
    """Success at distances [G] of an attack that knows both means from n and k models only, 1/weight = 1/n + 1/k.

    Its threshold, the middle of both means, errs by sigma / (2 sqrt(weight)), and it takes the wrong side for the
    inside where the estimated distance is below 0; independent errors where n = k. Normal margins of equal variance.
    """
    near = stats.norm.cdf(np.abs(distance) / 2 / np.sqrt(1 + 1 / (4 * weight)))
    way = 2 * stats.norm.cdf(np.abs(distance) * np.sqrt(weight)) - 1
    return np.asarray(0.5 + (near - 0.5) * way, dtype=np.float64)


def guessed(rest: Retrained, out: Retrained) -> Floats:
    """Whether the likelihood ratio of `rest` guesses [K, P] rightly who is inside each of the models left out."""
    right: Floats = ((log_ratio(out.margin, rest) > 0) == out.inside).astype(np.float64)
    return right


def correction(stated: Floats, off: Floats) -> Correction:
    """The map from stated risks [B, P], each by models without this one, to them with the mean of `off` [B, P].

    `off` is whether the guess was right, less the success expected.
    """
    models, records = stated.shape
    order = np.sort(stated.ravel())
    sizes = _sizes(records)
    edges = order[np.minimum(np.cumsum(sizes)[:-1] * models, len(order) - 1)]
    at = np.searchsorted(np.unique(edges), stated, side="right")
    bins = int(at.max()) + 1
    count, sums, more = (np.zeros((models, bins)) for _ in range(3))
    for k in range(models):
        count[k] = np.bincount(at[k], minlength=bins)
        sums[k] = np.bincount(at[k], weights=stated[k], minlength=bins)
        more[k] = np.bincount(at[k], weights=off[k], minlength=bins)
    total = count.sum(axis=0)
    mean, change = sums.sum(axis=0) / total, more.sum(axis=0) / total
    # Ratio estimate: each model's own sum of differences about its share of the mean one.
    error = np.sqrt(models / (models - 1) * np.square(more - change * count).sum(axis=0)) / total
    drawn = change * np.maximum(0.0, 1 - np.square(error) / np.maximum(np.square(change), 1e-300))
    met = isotonic_regression(np.clip(mean + drawn, 0.5, 1.0), weights=total).x
    # A record of no risk at all stays one.
    return Correction(np.append(0.5, mean), np.append(0.5, met))


def _sizes(records: int) -> list[int]:
    """Records a bin, from the lowest risk: BINS alike, the highest halved as long as the halves are large enough."""
    size = max(LEAST_RECORDS, records // BINS)
    found = [size] * max(1, records // size)
    while found[-1] >= 2 * LEAST_RECORDS:
        last = found.pop()
        found += [last - last // 2, last // 2]
    return found
