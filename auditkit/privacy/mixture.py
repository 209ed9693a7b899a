"""The law that distances of many records follow, and what it says of each one: nonparametric empirical Bayes.

A record's estimated distance is noisy, and of the records that look most exposed many owe it to chance. What is known
of all records corrects each: with t_i the estimate in units of its standard error, theta the distance and G its law,

    posterior_i(theta) ∝ L_i(theta) G(theta),      L_i(theta) = phi((t_i c_i - theta sqrt(h_i)) / v_i),
    c_i = 1 - 1 / 4f_i,   v_i² = 1 + t_i² / 2f_i

the normal approximation to the noncentral t with f_i degrees of freedom (Abramowitz & Stegun 26.7.10). G is estimated
by maximum likelihood over a grid (Kiefer & Wolfowitz 1956; Laird 1978) with a stated number of EM steps from a start
that is flat but for a share at 0, which keeps it smooth. Posterior means are calibrated among records picked for a
high value, which an estimate record by record never is (Efron, Tweedie's formula and selection bias, JASA 106 (2011)).

Wrong when: records are few (G rests on all of them), or strongly dependent (G is right on average, its spread is not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from auditkit.subject.types import Floats

STEPS: Final = 200
AGAIN: Final = 50
"""EM steps to the law of a bootstrap sample, which needs no more than its own noise allows."""
SPACING: Final = 0.1
LOWEST: Final = -1.5
"""Learning a record rarely makes the model worse at it; below stands noise."""
LEAST_TOP, GREATEST_TOP = 4.0, 12.0


@dataclass(frozen=True)
class Observed:
    """Estimated distances in units of their standard error."""

    t: Floats
    """[P] d sqrt(h)."""
    freedom: Floats
    """[P] degrees of freedom of the variance."""
    weight: Floats
    """[P] h: 1/h is the variance of the estimated distance in units of sigma²."""


def grid_for(seen: Observed) -> Floats:
    """Distances [G] on which the law is estimated; 0 is one of them."""
    largest = float(np.max(seen.t / np.sqrt(seen.weight), initial=0.0))
    top = float(np.clip(np.ceil(largest) + 1, LEAST_TOP, GREATEST_TOP))
    return np.round(np.arange(LOWEST, top + SPACING / 2, SPACING), 10)


def likelihood(seen: Observed, grid: Floats) -> Floats:
    """L [P, G], each row scaled to a largest value of 1."""
    centre = seen.t * (1 - 1 / (4 * seen.freedom))
    spread = 1 + np.square(seen.t) / (2 * seen.freedom)
    away = np.square(centre[:, None] - np.sqrt(seen.weight)[:, None] * grid) / spread[:, None]
    found: Floats = np.exp(-(away - away.min(axis=1, keepdims=True)) / 2)
    return found


def starting(grid: Floats) -> Floats:
    """A law [G] that holds every distance possible, and none at all for half of the records."""
    return np.asarray(0.5 * (grid == 0.0) + 0.5 / len(grid), dtype=np.float64)


def law(given: Floats, *, start: Floats, steps: int = STEPS) -> Floats:
    """G [G] after `steps` EM steps on likelihoods [P, G]."""
    g = start
    for _ in range(steps):
        g = g * ((1 / (given @ g)) @ given) / len(given)
    return g


def posterior(given: Floats, laws: Sequence[Floats]) -> Floats:
    """[P, G] posterior of each record, averaged over several laws.

    Averaging over laws of bootstrap samples brings the uncertainty of G into the posterior (Laird & Louis, JASA 82
    (1987) 739).
    """
    total = np.zeros_like(given)
    for g in laws:
        own = given * g
        total += own / own.sum(axis=1, keepdims=True)
    return total / len(laws)
