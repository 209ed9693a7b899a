"""Share of the records of other classes to which a class is given wrongly."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Records of other classes that are given the class, among records of other classes."""
    other = answers.counted & (answers.truth != version)
    return (Share((other & (answers.prediction == version)).astype(np.float64), other.astype(np.float64)),)
