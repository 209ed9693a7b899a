"""Calibrated loss: the record's loss under the audited model against its usual loss under models without it."""

from __future__ import annotations

import numpy as np

from auditkit.privacy.membership import Evidence, Scores
from auditkit.privacy.shrinkage import moments


def score(evidence: Evidence) -> Scores:
    """Score each record by the mean loss of the models that never learned from it, minus the audited model's loss.

    s_i = mean over models without i of l_i - l_i(audited), nats; 0 for a record that every model learned from. It takes
    out how hard a record is, and not how much its loss varies between models, so hard records decide the tail.

    Source: Watson, Guo, Cormode & Sablayrolles, On the Importance of Difficulty Calibration in Membership Inference
    Attacks, ICLR 2022, equation 3. Wrong where the retrained models differ from the audited one in recipe or size.

    Raises:
        DataError: the evidence holds no retrained models.
    """
    known = evidence.known("calibrated-loss")
    usual = moments(np.logaddexp(0.0, -known.margin), ~known.inside)
    return evidence.split(np.where(usual.n > 0, np.nan_to_num(usual.mean) - evidence.losses, 0.0))
