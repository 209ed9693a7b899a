"""The bank's own training with another recipe, or on halves that lack some rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from auditkit.bank.fit import train
from auditkit.bank.types import Bank, Plan
from auditkit.remedies.types import Material
from auditkit.subject.types import Mask


def trained_with(material: Material, **settings: Any) -> Callable[[Plan], Bank]:
    """Training of a plan with these settings of the recipe; halves, seeds and encoding stay."""
    fitted = material.subject.fitted
    training = fitted.recipe.training.model_copy(update=settings)
    other = replace(material.subject, fitted=replace(fitted, recipe=replace(fitted.recipe, training=training)))
    return lambda plan: train(other, material.table, plan)


def trained_without(material: Material, removed: Mask) -> Callable[[Plan], Bank]:
    """Training of a plan whose halves lack the removed rows [P]; seeds stay."""
    return lambda plan: train(material.subject, material.table, replace(plan, masks=plan.masks & ~removed))
