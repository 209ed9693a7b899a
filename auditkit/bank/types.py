"""What the bank's files hand to each other and to the assessing rooms.

Legend: R rows of the table, P pool rows, M evaluation rows, K models, D parameters of one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditkit.bank.margins import margins
from auditkit.subject.types import Floats, Ints, Mask

HELD_PARAMETERS: Final = 10_000_000
"""Parameters of all models of a bank that are kept as evidence at most; 80 MB. Masks and seeds give them again."""
Kind: TypeAlias = Literal["train-halves", "pool-halves"]


@dataclass(frozen=True)
class Size:
    """How many models; a subset is learned once, a repeated one twice, with another seed."""

    fitting: int
    """Subsets on which something may be fitted: damping, the weights of an ensemble."""
    measuring: int
    """Subsets on which that is measured; disjoint models."""
    repeated: int
    """Measuring subsets that are learned a second time, which shows how much chance of training alone changes."""

    @property
    def models(self) -> int:
        """All models."""
        return self.fitting + self.measuring + self.repeated


@dataclass(frozen=True)
class Plan:
    """Who is in which subset; drawn before anything is trained."""

    kind: Kind
    rows: Ints
    """[P] positions of the pool in the table, ascending."""
    masks: Mask
    """[K, P] whether model k learns from the row."""
    subset: Ints
    """[K] number of the model's subset; equal numbers are equal rows with another seed."""
    measuring: Mask
    """[K] the part for measuring; the others are the part for fitting."""
    seeds: Ints
    """[K] seed of each model's own generator (initial parameters, shuffles)."""

    @property
    def first(self) -> Ints:
        """The first model of each measuring subset: independent draws of subset and seed."""
        at = np.flatnonzero(self.measuring)
        return at[np.unique(self.subset[at], return_index=True)[1]]


@dataclass(frozen=True)
class Bank:
    """The retrained models' answers; restricted evidence, never public."""

    plan: Plan
    evaluation: Ints
    """[M] positions of the evaluation rows in the table."""
    loss_evaluation: Floats
    """[K, M] nats."""
    score_evaluation: Floats
    """[K, M] score of the favourable outcome in [0, 1]."""
    loss_pool: Floats
    """[K, P] members and non-members alike; `plan.masks` tells them apart."""
    score_pool: Floats
    """[K, P]"""
    parameters: Floats | None
    """[K, D] in the order of the module's parameters; None where the models were fitted by a subject of their own."""
    deterministic: bool
    """Whether the recipe draws nothing at random, so that a seed changes nothing."""
    recipe: str
    """How the models were fitted, for the report; and how many diverged and what leaving them out means."""
    diverged: int = 0
    """Models that were trained and left out because they diverged; they are in none of these arrays."""

    @property
    def margin_pool(self) -> Floats:
        """[K, P] margin logits of the pool, log p / (1 - p) for the probability p of the true label."""
        return margins(self.loss_pool)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """For restricted evidence, by name: `bank_...` or `pool_bank_...`, models that diverged not among them.

        `rows` [P], `masks` [K, P], `subset`, `measuring` and `seeds` [K], `loss` and `margin` of the pool [K, P];
        `parameters` [K, D] where they are known and no more than HELD_PARAMETERS in all. Of halves of the training
        rows also the answers on evaluation rows and the scores, on which fidelity rests.
        """
        plan, head = self.plan, "pool_bank" if self.plan.kind == "pool-halves" else "bank"
        found: dict[str, NDArray[np.generic]] = {
            "rows": plan.rows, "masks": plan.masks, "subset": plan.subset, "measuring": plan.measuring,
            "seeds": plan.seeds, "loss": self.loss_pool, "margin": self.margin_pool,
        }  # fmt: skip
        if self.parameters is not None and self.parameters.size <= HELD_PARAMETERS:
            found["parameters"] = self.parameters
        if plan.kind == "train-halves":
            found |= {
                "loss_evaluation": self.loss_evaluation, "score_evaluation": self.score_evaluation,
                "loss_pool": found.pop("loss"), "score_pool": self.score_pool,
            }  # fmt: skip
        return {f"{head}_{name}": array for name, array in found.items()}
