"""Margin logits: on this scale the losses of one record over retrained models are close to normal."""

from __future__ import annotations

from typing import Final

import numpy as np

from auditkit.subject.types import Floats

LEAST_LOSS: Final = 1e-15
"""Nats; below it 1 - p is lost to float64, so that no margin exceeds 34.5."""


def margins(loss: Floats) -> Floats:
    """Phi = log(p / (1 - p)) with p = exp(-loss) the probability of the true label; any shape.

    Source: Carlini et al., Membership Inference Attacks From First Principles, 2022, section IV.C. Wrong for losses
    that are not minus the logarithm of a probability.
    """
    kept = np.maximum(loss, LEAST_LOSS)
    found: Floats = -kept - np.log(-np.expm1(-kept))
    return found
