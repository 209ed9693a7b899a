"""Share of records to which one class is given: demographic parity, one class against the rest."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Records given the class among all records."""
    given = answers.counted & (answers.prediction == version)
    return (Share(given.astype(np.float64), answers.counted.astype(np.float64)),)
