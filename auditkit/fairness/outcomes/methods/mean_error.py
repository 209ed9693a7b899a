"""Mean of prediction - truth: residual parity asks that it be the same for all groups."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Signed errors over records."""
    return (Share(answers.error, answers.counted.astype(np.float64)),)
