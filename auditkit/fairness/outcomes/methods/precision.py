"""Share of the records given a class that are of it, and its mean over classes."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Records of the class among those that are given it."""
    given = answers.counted & (answers.prediction == version)
    return (Share((given & (answers.truth == version)).astype(np.float64), given.astype(np.float64)),)


def macro(answers: Answers, version: int) -> tuple[Share, ...]:
    """The shares of every class, whose mean is macro precision."""
    return tuple(share for c in range(len(answers.classes)) for share in shares(answers, c))
