"""A claim of differential privacy beside the measured lower limits, by the points of NIST SP 800-226.

A claim is contradicted where a limit lies above what it allows. What it allows depends on how neighbouring data differ:
a training that is (epsilon, delta)-private under adding or removing a record is (2 epsilon, (1 + e^epsilon) delta)-
private under replacing one (group privacy for two changes; Dwork & Roth, The Algorithmic Foundations of Differential
Privacy, 2014, theorem 2.2 and its form with delta). A limit that is not contradicted proves nothing for the claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

from auditkit.policy.settings import Claimed
from auditkit.privacy.epsilon import Limits, at
from auditkit.privacy.one_run import canaries_needed
from auditkit.result import NOT_STATED, ClaimPart, EpsilonBound, Fact, Quality

NEIGHBOURS: Final = {"add-or-remove": "with or without one unit (unbounded)", "replace": "one unit replaced (bounded)"}
UNITS: Final = {"record": "one record", "person": "all records of one person"}


@dataclass(frozen=True)
class Held:
    """A limit as measured, and what it takes to state it at another delta."""

    bound: EpsilonBound
    limits: Limits | None = None


def against(claim: Claimed, held: Sequence[Held]) -> ClaimPart:
    """The claim's points, stated or not, and one row for each measured limit."""
    return ClaimPart(
        epsilon=claim.epsilon, delta=claim.delta, unit=claim.unit, neighbours=claim.neighbours, points=_points(claim),
        held=tuple(_row(claim, one) for one in held if one.bound.status == "assessed"),
    )  # fmt: skip


def allowed(claim: Claimed, bound: EpsilonBound) -> tuple[float, float] | None:
    """(epsilon, delta) that the claim implies for what the limit tells apart; None where it says nothing of that."""
    if claim.unit == "record" and bound.unit == "person":
        return None
    if claim.neighbours == bound.relation:
        return claim.epsilon, claim.delta
    if claim.neighbours == "replace":
        return None
    # exp overflows beyond 700, where any delta above 0 is vacuous.
    wider = (1 + exp(claim.epsilon)) * claim.delta if claim.delta and claim.epsilon < 700 else float(claim.delta > 0)
    return 2 * claim.epsilon, wider


def _row(claim: Claimed, one: Held) -> Quality:
    name, found = one.bound.title, allowed(claim, one.bound)
    if found is None:
        return Quality(name=name, value=None, text=f"Not comparable: the limit tells {_apart(one.bound)} apart.")
    epsilon, delta = found
    value = one.bound.bound.value if delta == one.bound.delta else at(one.limits, delta)
    if value is None:
        return Quality(name=name, value=None, text=f"Not comparable: the claim implies a delta of {delta:.3g} here.")
    says = f"The claim allows at most {epsilon:.4g} at a delta of {delta:.3g} for {_apart(one.bound)}"
    level = f"{100 * one.bound.bound.level:g} %"
    if value > epsilon:
        return Quality(name=name, value=value, text=f"{says}: contradicted at the level of {level}.", warns=True)
    return Quality(name=name, value=value, text=f"{says}: not contradicted, {_proof(one.bound, epsilon)}.")


def _proof(bound: EpsilonBound, epsilon: float) -> str:
    """What a claim that stands is worth: nothing at all where the canaries could not have contradicted it."""
    if bound.most is None or bound.most > epsilon:
        return "which is no proof of the claim"
    needed = canaries_needed(epsilon, level=bound.bound.level)
    return (
        f"and could not have been: so many canaries and guesses show at most {bound.most:.4g}, and a claim of "
        f"{epsilon:.4g} needs at least {needed:,} canaries"
    )


def _apart(bound: EpsilonBound) -> str:
    what = "a person's records" if bound.unit == "person" else "a record"
    return f"{what} replaced" if bound.relation == "replace" else f"{what} added or not"


def _points(claim: Claimed) -> tuple[Fact, ...]:
    """What SP 800-226 asks of a claim, as far as the policy states it."""
    stated = {
        "Privacy parameters": f"epsilon {claim.epsilon:g}, delta {claim.delta:g}",
        "Unit of privacy": UNITS[claim.unit],
        "Neighbouring data sets": NEIGHBOURS[claim.neighbours],
        "Accountant": claim.accountant,
        "Sampling of batches": claim.sampling,
        "Choice of settings on the same data": claim.tuning,
    }
    return tuple(Fact(name=name, value=text or NOT_STATED, stated=text is not None) for name, text in stated.items())
