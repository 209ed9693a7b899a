"""Offline likelihood-ratio attack: how unlike the record's margin is to that of models that never learned from it."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats
from scipy.special import ndtri_exp

from auditkit.bank.margins import margins
from auditkit.privacy.membership import Evidence, Retrained, Scores
from auditkit.privacy.shrinkage import moments, shrink
from auditkit.subject.types import Floats

FEWEST: Final = 2
"""Models without the record below which nothing is said of it: its score is 0, the middle of the null law."""


def score(evidence: Evidence) -> Scores:
    """Score each record by its place among models without it, on the scale of the standard normal.

    s_i = z with Phi(z) = T((phi_i - mu_out) / (s_out sqrt(1 + 1/n_out))), phi the margin logit, T Student's t with the
    degrees of freedom of the variance, which is shrunken over records (`shrinkage`). For a record that was not learned
    s follows one law, the standard normal, whatever the record: unlike the two-sided ratio, scores of different records
    can be compared under the null, so that records picked for their risk beforehand keep valid p-values.

    Source: Carlini et al. 2022, algorithm 1, offline form (equation 4). Wrong where the retrained models differ from
    the audited one in recipe or size, and where margins without the record are far from normal over models.

    Raises:
        DataError: the evidence holds no retrained models.
    """
    known = evidence.known("offline likelihood-ratio")
    return evidence.split(surprise(margins(evidence.losses), known))


def surprise(target: Floats, known: Retrained) -> Floats:
    """Z [P] of the target's margins [P] under the predictive law of models without the record."""
    side = moments(known.margin, ~known.inside)
    spread = shrink(side.squares, np.maximum(side.n - 1, 0))
    n = np.maximum(side.n, 1)
    t = (target - np.nan_to_num(side.mean)) / np.sqrt(spread.variance * (1 + 1 / n))
    return np.where(side.n >= FEWEST, normal_scale(t, spread.freedom), 0.0)


def normal_scale(t: Floats, freedom: Floats) -> Floats:
    """Z [P] with Phi(z) = T(t; freedom), by the logarithm of the smaller tail.

    Where that tail lies below the least float64, it is the density over the hazard, and of the hazard the leading term
    (freedom + 1) t / (freedom + t²) is taken: near enough to keep the order of records so far out.
    """
    far = np.abs(t)
    tail = stats.t.sf(far, freedom)
    with np.errstate(divide="ignore"):
        beyond = stats.t.logpdf(far, freedom) - np.log((freedom + 1) * far / (freedom + far**2))
        log_tail = np.where(tail > 0, np.log(tail), beyond)
    found: Floats = -np.sign(t) * ndtri_exp(log_tail)
    return found
