"""Share of a group's records that stand among the first places of their list."""

from __future__ import annotations

import numpy as np

from auditkit.fairness.outcomes.answers import Answers, Share


def shares(answers: Answers, version: int) -> tuple[Share, ...]:
    """Chances of standing among the first places, over records."""
    return (Share(answers.inside(answers.top[version]), answers.counted.astype(np.float64)),)
