"""Share of a class that is recognised (true-positive rate of the class against the rest), and its mean over classes."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Records of the class that are given it, among records of the class."""
    own = answers.counted & (answers.truth == version)
    return (Share((own & (answers.prediction == version)).astype(np.float64), own.astype(np.float64)),)


def macro(answers: Answers, version: int) -> tuple[Share, ...]:
    """The shares of every class, whose mean is macro recall (balanced accuracy)."""
    return tuple(share for c in range(len(answers.classes)) for share in shares(answers, c))
