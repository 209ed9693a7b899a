"""Lower limits of epsilon: what no honest claim of differential privacy can go below, and the claim beside them."""

from __future__ import annotations

from typing import Literal

from auditkit.result.estimate import Estimate, Fact, Quality, Record, Status

Relation = Literal["replace", "add-or-remove"]
"""How the two data sets differ that the attack tells apart."""


class EpsilonBound(Record):
    """One lower limit of epsilon, at a threshold or at numbers of guesses that were stated beforehand."""

    name: str
    """`privacy.epsilon_lower_bound` and the like: the measure that a rule may judge."""
    title: str
    status: Status
    reason: str = ""
    about: str
    """What the limit speaks of: the audited model, or its recipe."""
    attack: str = ""
    relation: Relation
    unit: Literal["record", "person"]
    """Whose inclusion is told; a person where some have several records."""
    delta: float
    bound: Estimate
    """The limit as value and as lower end; an attack shows no upper end."""
    aimed_fpr: float | None = None
    true_positives: Estimate | None = None
    false_positives: Estimate | None = None
    models: int | None = None
    """Retrained models that measured, besides those that the attack and its threshold rest on."""
    most: float | None = None
    """The largest limit that so many canaries and guesses could have shown, every guess being right."""
    form: str = ""
    """Which of the two forms gave the limit."""
    assumes: tuple[str, ...] = ()


class GuessCount(Record):
    """One number of guesses that was stated beforehand, and what it shows at its part of the level."""

    guesses: int
    right: int
    level: float
    bound: float
    most: float
    """What it would show if every guess were right."""


class CanaryPart(Record):
    """The one-run audit: made-up records inserted by coin into one retraining."""

    status: Status
    reason: str = ""
    rule: str = ""
    """How canaries are made and guessed."""
    canaries: int | None = None
    guesses: int | None = None
    """Of the number of guesses that gives the limit."""
    right: int | None = None
    counts: tuple[GuessCount, ...] = ()
    """Every number of guesses that was looked at."""
    inserted_into: int | None = None
    """Training records that the canaries were put among."""


class ClaimPart(Record):
    """A claim of differential privacy as the policy states it, and whether a measured limit contradicts it."""

    epsilon: float
    delta: float
    unit: Literal["record", "person"]
    neighbours: Relation
    points: tuple[Fact, ...]
    """What a reader needs to weigh the claim, stated or not."""
    held: tuple[Quality, ...]
    """One row a limit; `warns` where it lies above what the claim allows."""


class EpsilonPart(Record):
    """Every lower limit of epsilon, the canaries behind one of them, and the claim they are held against."""

    bounds: tuple[EpsilonBound, ...] = ()
    canaries: CanaryPart | None = None
    claim: ClaimPart | None = None
