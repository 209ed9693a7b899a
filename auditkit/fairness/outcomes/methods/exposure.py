"""Mean exposure in a ranking: how much of the readers' attention a group's places are worth."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Relative exposures over records."""
    return (Share(answers.exposure, answers.counted.astype(np.float64)),)


def per_merit(answers: Answers, version: int) -> tuple[Share, ...]:
    """Relative exposures over merit; records without merit are left out, and without any merit there is no share."""
    known = answers.merited
    if not known.any():
        return ()
    merit = np.where(known, answers.truth, 0.0)
    return (Share(np.where(known, answers.exposure, 0.0), np.asarray(merit, dtype=np.float64)),)
