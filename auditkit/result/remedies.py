"""What was tried against membership risk, and what each remedy changed; aggregates over pairs of retrained models."""

from __future__ import annotations

from typing import Final, Literal

from auditkit.result.estimate import Estimate, Fact, Record, Status

NOT_ASKED: Final = (
    "the policy tries no remedy; a section such as `remedies: {try: [stronger-l2, remove-flagged, dp-sgd]}` asks for it"
)


Unit = Literal["rate", "points", "ratio", "score", "share"]


class Change(Record):
    """One measure without and with the remedy, and the paired difference."""

    measure: str
    """`remedies.average_risk`, `remedies.attack_auc`, `model.accuracy` or a fairness measure of the policy's rules."""
    on: str = ""
    group: str = ""
    reference: str = ""
    unit: Unit = "score"
    before: Estimate
    after: Estimate
    change: Estimate
    """after - before; n is the number of pairs of models."""


class Onion(Record):
    """Who becomes exposed once the records marked as exposed are gone; shares of the records that stay."""

    newly: Estimate
    """Lower limit of the risk above the policy's threshold with the remedy, and not without it."""
    no_longer: Estimate
    control: Estimate
    """`newly` where as many records were removed at random instead: what removal and chance alone give."""
    control_risk: Estimate
    """Change in average risk under that control."""


class Remedy(Record):
    """One remedy that was tried."""

    name: str
    title: str
    status: Status
    reason: str = ""
    what: str = ""
    """What was done otherwise, in one sentence."""
    source: str = ""
    models: int | None = None
    """Pairs of retrained models."""
    facts: tuple[Fact, ...] = ()
    changes: tuple[Change, ...] = ()
    onion: Onion | None = None
    notes: tuple[str, ...] = ()


class RemediesPart(Record):
    """Every remedy that the policy asks for, tried or with the reason why not."""

    status: Status = "not-applicable"
    reason: str = NOT_ASKED
    remedies: tuple[Remedy, ...] = ()
    notes: tuple[str, ...] = ()
