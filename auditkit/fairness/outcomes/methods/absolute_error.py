"""Mean of |prediction - truth|: how far off predictions are, whichever way."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Sizes of errors over records; sklearn.metrics.mean_absolute_error."""
    return (Share(np.abs(answers.error), answers.counted.astype(np.float64)),)
