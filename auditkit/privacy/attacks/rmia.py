"""RMIA: has the audited model made the record likelier than usual, by more than it did other people's records?"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from auditkit.privacy.membership import Evidence, Scores
from auditkit.subject.types import Floats, Mask


def score(evidence: Evidence) -> Scores:
    """Score each record by the share of population records z that it dominates.

    s_i = Pr_z [ratio_i / ratio_z >= 1],   ratio_x = p(x | audited) / p(x),   p(x) = mean over retrained models of p(x)

    Each record's p(x) is the mean of the average over models with it and of that over models without it (the online
    form), so that a member gains nothing from being in more than half of them. The population is the reserve; a record
    of the reserve is not compared with itself.

    Source: Zarifzadeh, Liu & Shokri, Low-Cost High-Power Membership Inference Attacks, ICML 2024, equations 2 to 4 with
    gamma 1. With one reserve for all, it ranks by the ratio alone; ties count half.

    Raises:
        DataError: the evidence holds no retrained models.
    """
    known = evidence.known("RMIA")
    log_p = -np.logaddexp(0.0, -known.margin)
    ratio = evidence.split(-evidence.losses - _usual(log_p, known.inside))
    members, others = ratio.members, ratio.nonmembers
    # A reserve record stands once among those it is compared with; taking it out leaves K - 1 others.
    own = _dominated(others, others) * len(others) - 0.5
    return Scores(members=_dominated(members, others), nonmembers=own / max(1, len(others) - 1))


def _usual(log_p: Floats, inside: Mask) -> Floats:
    """Log [P] of the mean of both sides' averages; of one side alone where the other has no model."""
    sides = []
    for chosen in (inside, ~inside):
        count = chosen.sum(axis=0)
        held = np.where(chosen, log_p, -np.inf)
        sides.append(logsumexp(held, axis=0) - np.log(np.maximum(count, 1)))
    both = np.isfinite(sides[0]) & np.isfinite(sides[1])
    found: Floats = np.logaddexp(sides[0], sides[1]) - np.where(both, np.log(2.0), 0.0)
    return found


def _dominated(values: Floats, population: Floats) -> Floats:
    """Share [.] of the population that lies below each value, ties by half."""
    ordered = np.sort(population)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    found: Floats = (below + upto) / (2 * len(ordered))
    return found
