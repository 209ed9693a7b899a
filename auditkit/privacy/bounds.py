"""Every lower limit of epsilon of one audit, the claim beside them, the rows that rules may judge, and what was run."""

from __future__ import annotations

from collections.abc import Mapping

from auditkit.policy.settings import PrivacySettings
from auditkit.privacy import dp_claim, one_run
from auditkit.privacy.epsilon import RECIPE, Asked, audited, pooled, recipe
from auditkit.privacy.membership import Retrained
from auditkit.privacy.one_run import CANARIES, Planted
from auditkit.privacy.strength import Sides
from auditkit.privacy.threat import Ran
from auditkit.privacy.trial import Tried
from auditkit.result import EpsilonPart, Exposure, InferencePart, Measurement
from auditkit.subject.types import Ints


def bounds(
    attacked: Tried,
    retrained: Retrained | None,
    planted: Planted | None,
    *,
    codes: Mapping[str, Ints],
    settings: PrivacySettings,
    absent: tuple[str, str],
    level: float,
    minimum: int,
) -> EpsilonPart:
    """The audited model's limit, the recipe's on held-out models, the recipe's by canaries, and the claim.

    Args:
        attacked: what the attacks gave. retrained: models on halves of the pool. planted: canaries of one retraining.
        codes: person codes by split. settings: false-positive rate, delta, share of guesses, claim.
        absent: why there are no retrained models, and why no canaries. level: of each limit, not of all together.
        minimum: minimum cell.
    """
    claim = settings.claimed
    delta = settings.delta if claim is None else claim.delta
    asked = Asked(settings.epsilon_fpr, delta, level, minimum, settings.false_positive_rates)
    sides = Sides(codes.get("train"), codes.get("reserve"))
    whole = audited(attacked, sides, asked)
    again = recipe(retrained, pooled(sides.members, sides.nonmembers), asked, absent=attacked.reason or absent[0])
    one, canaries = one_run.bounded(
        planted, share=settings.guesses, delta=delta, level=level, absent=absent[1]
    )
    held = [dp_claim.Held(found.public, found.limits) for found in (whole, again)]
    return EpsilonPart(
        bounds=(whole.public, again.public, one),
        canaries=canaries,
        claim=None if claim is None else dp_claim.against(claim, [*held, dp_claim.Held(one)]),
    )


def measurements(part: EpsilonPart) -> tuple[Measurement, ...]:
    """One row a limit, whether it was measured or not."""
    return tuple(Measurement(measure=found.name, unit="score", estimate=found.bound) for found in part.bounds)


def ran(
    attacked: Tried,
    exposed: Exposure,
    limits: EpsilonPart,
    guessed: InferencePart,
    *,
    repeat: bool,
    earlier: bool,
) -> Ran:
    """What was run, for the threat model.

    Args:
        attacked, exposed, limits, guessed: what the parts gave. repeat: whether a person has several records.
        earlier: whether differences from earlier releases are guarded.
    """
    done = {bound.name for bound in limits.bounds if bound.status == "assessed"}
    persons = exposed.persons is not None and exposed.persons.status == "assessed"
    return Ran(
        attacks=frozenset(attacked.scores), risk=exposed.status == "assessed", persons=persons if repeat else None,
        attributes=any(one.status == "assessed" for one in guessed.attributes), recipe_bound=RECIPE in done,
        canaries=CANARIES in done, claimed=limits.claim is not None, earlier_releases=earlier,
    )  # fmt: skip
