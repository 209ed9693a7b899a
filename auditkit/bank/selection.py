"""Which retrained models stand in the bank: those that did not diverge.

The audited model did not diverge: `fit` and the adapters refuse one that did. So the models to hold it against are the
retrained ones that did not either; a diverged model answers nothing that could be compared. Leaving them out is a
selection, and where divergence depends on who was learned from, the halves of those that remain are no longer even
odds. How far off they can be is bounded whatever the cause: with a share s left out, a record that every diverged
model held is inside (1/2 - s) / (1 - s) of the rest, and one that none held inside (1/2) / (1 - s) of it. Up to a
quarter (MOST_DIVERGED) that is one third to two thirds; beyond, the bank is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from auditkit.bank.size import LEAST
from auditkit.bank.types import Plan
from auditkit.errors import NumericsError
from auditkit.subject.types import Mask

MOST_DIVERGED: Final = 0.25
"""Largest share of diverged models that may be left out."""


def remaining(drawn: Plan, diverged: Mask) -> Plan:
    """The plan of the models that did not diverge.

    Args:
        drawn: all models. diverged: [K] which of them diverged.

    Raises:
        NumericsError: too many diverged for the rest to be called halves, or too few of those that measure remain.
    """
    left, models = int(diverged.sum()), len(diverged)
    if not left:
        return drawn
    said = f"{left} of {models} retrained models diverged"
    cure = "lower model.training.learning-rate, and train and audit again"
    if left > MOST_DIVERGED * models:
        raise NumericsError(f"{said}, more than the {MOST_DIVERGED:.0%} that may be left out; {cure}")
    stays = ~diverged
    measuring = int((drawn.measuring & stays).sum())
    if measuring < min(LEAST, int(drawn.measuring.sum())):
        raise NumericsError(f"{said}, and of those that measure {measuring} remain, fewer than {LEAST}; {cure}")
    return replace(
        drawn, masks=drawn.masks[stays], subset=drawn.subset[stays], measuring=drawn.measuring[stays],
        seeds=drawn.seeds[stays],
    )  # fmt: skip


def statement(diverged: Mask) -> str:
    """What was left out and what that means, for the report, after another sentence; empty where nothing was."""
    left, models = int(np.sum(diverged)), len(diverged)
    if not left:
        return ""
    share = left / models
    low, high = (0.5 - share) / (1 - share), 0.5 / (1 - share)
    return (
        f" {left} of {models} retrained models ({share:.1%}) diverged and are left out (at most {MOST_DIVERGED:.0%} "
        f"may be): the audited model did not diverge, and those that remain are like it in that. Their records are "
        f"random halves up to that selection: at worst a record is inside {low:.1%} or {high:.1%} of them instead of "
        f"half."
    )
