"""The same recipe with a larger L2: parameters are held closer to zero, so that no record moves them far."""

from __future__ import annotations

from auditkit.policy.remedies import StrongerL2
from auditkit.policy.settings import Section
from auditkit.remedies.recipe import trained_with
from auditkit.remedies.types import Material, Trial


def propose(settings: Section | None, material: Material) -> Trial | str:
    """L2 times the stated factor; nothing to try where the recipe has none."""
    stated = settings if isinstance(settings, StrongerL2) else StrongerL2()
    l2 = material.subject.fitted.recipe.training.l2
    if l2 == 0:
        return "the recipe has no L2 that could be multiplied"
    return Trial(
        what=f"L2 of {l2 * stated.times:g} instead of {l2:g}; the rest of the recipe as it is.",
        train=trained_with(material, l2=l2 * stated.times),
    )
