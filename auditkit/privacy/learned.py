"""What being learned from would do to a record's margin under the audited model, by models with and without it."""

from __future__ import annotations

import numpy as np

from auditkit.privacy import risk
from auditkit.privacy.membership import Retrained
from auditkit.privacy.shrinkage import both_sides, shrink
from auditkit.subject.types import Floats


def gain(known: Retrained, target: Floats) -> Floats:
    """By how much each record's margin [P] would rise if the model, which does not hold it, had learned from it.

    gain_i = d_i sigma_i + (phi_i - mu_out_i) (s_in_i / s_out_i - 1): the margin moves from its place among models
    without the record to the same place among models with it, d_i the posterior mean distance (`risk.distances`),
    standard deviations shrunken over records. 0 where a side has no model.

    Args:
        known: margins and membership [B, P]. target: [P] margins phi of the audited model.
    """
    inside, outside = both_sides(known.margin, known.inside)
    usable = (inside.n > 1) & (outside.n > 1)
    freedom = np.maximum(inside.n + outside.n - 2, 0)
    pooled = np.sqrt(shrink(inside.squares + outside.squares, freedom).variance)
    one, other = (np.sqrt(shrink(side.squares, np.maximum(side.n - 1, 0)).variance) for side in (inside, outside))
    narrower = (target - np.where(usable, outside.mean, target)) * (one / other - 1)
    return np.asarray(np.where(usable, risk.distances(known) * pooled + narrower, 0.0), dtype=np.float64)
