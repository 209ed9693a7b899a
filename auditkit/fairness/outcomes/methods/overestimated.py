"""Share of records whose prediction lies above the truth."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Records with prediction > truth among all records."""
    above = answers.counted & (answers.error > 0)
    return (Share(above.astype(np.float64), answers.counted.astype(np.float64)),)
