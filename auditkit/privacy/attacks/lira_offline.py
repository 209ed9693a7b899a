"""Offline likelihood-ratio attack: how unlike the record's margin is to that of models that never learned from it."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats

from auditkit.bank.margins import margins
from auditkit.errors import DataError
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
    if evidence.retrained is None:
        raise DataError("the likelihood-ratio attack needs retrained models")
    known = evidence.retrained
    target = margins(np.concatenate([evidence.loss_members, evidence.loss_nonmembers]))
    found = surprise(target, known)
    return Scores(members=found[: len(evidence.loss_members)], nonmembers=found[len(evidence.loss_members) :])


def surprise(target: Floats, known: Retrained) -> Floats:
    """Z [P] of the target's margins [P] under the predictive law of models without the record."""
    side = moments(known.margin, ~known.inside)
    spread = shrink(side.squares, np.maximum(side.n - 1, 0))
    n = np.maximum(side.n, 1)
    t = (target - np.nan_to_num(side.mean)) / np.sqrt(spread.variance * (1 + 1 / n))
    # Through the logarithm of the tail, so that far-out records keep their order.
    upper = -stats.norm.isf(stats.t.cdf(t, spread.freedom))
    lower = stats.norm.isf(stats.t.sf(t, spread.freedom))
    z = np.where(t < 0, upper, lower)
    extreme = ~np.isfinite(z)
    z = np.where(extreme, np.sign(t) * (40.0 + np.log1p(np.abs(t))), z)
    return np.where(side.n >= FEWEST, z, 0.0)
