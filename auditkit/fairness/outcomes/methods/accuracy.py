"""Share of records whose predicted class is the true one."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Hits among all records; sklearn.metrics.accuracy_score."""
    hit = answers.counted & (answers.truth == answers.prediction)
    return (Share(hit.astype(np.float64), answers.counted.astype(np.float64)),)
