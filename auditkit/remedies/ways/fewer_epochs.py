"""The same recipe stopped earlier: what is memorised late in training is not memorised.

Source: Tan et al., Parameters or Privacy, 2022, arXiv 2205.14055, on stopping and width together.
"""

from __future__ import annotations

from auditkit.policy.remedies import FewerEpochs
from auditkit.policy.settings import Section
from auditkit.remedies.recipe import trained_with
from auditkit.remedies.types import Material, Trial


def propose(settings: Section | None, material: Material) -> Trial | str:
    """The stated share of the epochs, at least one; nothing to try where training has no epochs."""
    stated = settings if isinstance(settings, FewerEpochs) else FewerEpochs()
    training = material.subject.fitted.recipe.training
    if training.module == "logistic":
        return "the model is solved to its optimum, so that there are no epochs to leave out"
    epochs = max(1, round(training.epochs * stated.share))
    if epochs == training.epochs:
        return "the recipe has a single epoch"
    return Trial(
        what=f"{epochs} epochs instead of {training.epochs}; the learning rate falls over these.",
        train=trained_with(material, epochs=epochs),
    )
