"""The linear datamodelling score with its interval and its noise ceiling (Park et al. 2023, TRAK, section 2.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lds:
    """Linear datamodelling score with its 95 % interval, and what chance of training leaves to a perfect predictor."""

    value: float
    low: float
    high: float
    ceiling: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}), noise ceiling {self.ceiling:.3f}"


def lds(effects: Floats, masks: Tensor, actual: Floats) -> Lds:
    """Linear datamodelling score: Spearman of predicted and retrained values over the subsets, mean over the columns.

    predicted_ks = sum of effects_ns over the rows n that subset k leaves out; actual_ks = mean over the seeds.
    Interval: jackknife over the subsets of Fisher's z, bias-corrected, t quantiles. Ceiling: the score of a predictor
    that knows each subset's expected value, sqrt(1 - within / (J between)) by column, of the variances within and
    between subsets.

    Args:
        effects: [N, S] predicted change when a row is removed. masks: [K, N]. actual: [J, K, S].
    """
    predicted, values = (~masks).double().numpy() @ effects, actual.mean(0)
    each = _correlations(predicted, values)
    without = [_correlations(np.delete(predicted, k, 0), np.delete(values, k, 0)) for k in range(len(values))]
    value, left_out = float(each.mean()), np.array([np.mean(e) for e in without])
    n, z = len(values), np.arctanh(left_out)
    centre = n * math.atanh(value) - (n - 1) * z.mean()
    width = float(stats.t.ppf(0.975, n - 1)) * math.sqrt((n - 1) / n * float(np.square(z - z.mean()).sum()))
    return Lds(
        value, min(value, math.tanh(centre - width)), max(value, math.tanh(centre + width)), ceiling(actual)
    )  # fmt: skip


def ceiling(actual: Floats) -> float:
    """Mean over the columns of the correlation that chance of training leaves to a perfect predictor; NaN for J = 1."""
    if len(actual) < 2:
        return math.nan
    within = actual.var(axis=0, ddof=1).mean(axis=0) / len(actual)
    return float(np.sqrt(np.clip(1 - within / actual.mean(0).var(axis=0, ddof=1), 0, 1)).mean())


def _correlations(predicted: Floats, actual: Floats) -> Floats:
    """[S] Spearman by column; 0 where one of the columns is constant."""
    a, b = (stats.rankdata(values, axis=0) for values in (predicted, actual))
    a, b = a - a.mean(0), b - b.mean(0)
    length = np.sqrt(np.square(a).sum(0) * np.square(b).sum(0))
    return np.divide((a * b).sum(0), length, out=np.zeros(a.shape[1]), where=length > 0)
