"""Online likelihood-ratio attack (LiRA): each record judged by how models with and without it answer about it."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats

from auditkit.bank.margins import margins
from auditkit.privacy.membership import Evidence, Retrained, Scores
from auditkit.privacy.shrinkage import moments, shrink
from auditkit.subject.types import Floats

FEWEST: Final = 2
"""Models on either side below which nothing is said of a record: its score is 0, neither in nor out."""


def score(evidence: Evidence) -> Scores:
    """Score each record by the log likelihood ratio of its margin under the audited model.

    s_i = log t(phi_i; in_i) - log t(phi_i; out_i), phi the margin logit, t the Student-t predictive of a next model of
    the side: mean of the side's models, scale sqrt(s² (1 + 1/n)), s² shrunken over records, its degrees of freedom.
    Members are the audited model's training records, non-members its reserve; the retrained models held both in turn,
    so that an audited model that learned nothing of its records scores both alike. Larger is more like a member.

    Sources: Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022, algorithm 1; the
    normal-inverse-gamma predictive in place of plain Gaussians for few models. Wrong where the retrained models differ
    from the audited one in recipe or size: a common shift of all margins costs power, not validity.

    Raises:
        DataError: the evidence holds no retrained models.
    """
    known = evidence.known("likelihood-ratio")
    return evidence.split(log_ratio(margins(evidence.losses), known))


def log_ratio(target: Floats, known: Retrained) -> Floats:
    """Log likelihood ratio of targets' margins [P] or [T, P], in over out; 0 where a side has few models."""
    sides = []
    enough = np.ones(target.shape[-1], dtype=np.bool_)
    for chosen in (known.inside, ~known.inside):
        side = moments(known.margin, chosen)
        spread = shrink(side.squares, np.maximum(side.n - 1, 0))
        n = np.maximum(side.n, 1)
        scale = np.sqrt(spread.variance * (1 + 1 / n))
        sides.append(stats.t.logpdf(target, spread.freedom, loc=np.nan_to_num(side.mean), scale=scale))
        enough &= side.n >= FEWEST
    return np.where(enough, sides[0] - sides[1], 0.0)
