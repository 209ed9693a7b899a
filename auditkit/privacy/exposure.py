"""Who is exposed: risk by bands, and records marked where the recipe and the audited model both give them away.

A record is marked only if (1) the lower limit of its risk passes the policy's threshold: models of this recipe give
such a record away; and (2) the audited model itself does, by two tests against the reserve. Both statistics rest on the
same retrained models, and on the same pool: a record that seems at risk by their chance seems learned by the same
chance, so the usual p-values of those picked by (1) are too small (10 of 24 audits of models that never saw the
training records marked somebody; disjoint models do not mend it, for they share the pool). Therefore reserve records
are picked by the same rule. With z the surprise at the audited model's margin,

    p_i   = (1 + #{reserve r: z_r >= z_i}) / (1 + reserve)
    p'_i  = (1 + #{reserve r at risk: z_r >= z_i}) / (1 + reserve) where record i is at risk, else 1

and a record is marked that is at risk, survives Benjamini-Hochberg on p among the records at risk, and on p' among all.
p' has the pick inside its statistic, which treats training and reserve records alike: under exchangeability it is valid
whatever the bank, the pick and the audited model are, so that (Bates et al., Ann. Stat. 51 (2023) 149) the level holds.
p guards where they are not exchangeable, as with records at risk in the training set alone. The price: fewer than
N / (level (K + 1)) of N records cannot be marked with a reserve of K, which the rule says. Public: bands, an average,
shares; records stay restricted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from scipy import stats

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import risk
from auditkit.privacy.composition import compose
from auditkit.privacy.disclosure import isolates, published_rate
from auditkit.privacy.membership import Retrained, Scores
from auditkit.result import Estimate, Exposure, Measurement, RiskBand
from auditkit.subject.persons import support
from auditkit.subject.types import Floats, Grouping, Ints, Mask

SHARE: Final = "privacy.exposed_share"
AVERAGE: Final = "privacy.average_risk"
EDGES: Final = (0.5, 0.6, 0.75, 0.9)


@dataclass(frozen=True)
class Marks:
    """Who is marked, of N units: records, or the records of persons who are marked as a whole (`personal`)."""

    flag: Mask
    """[N] whether the unit is marked."""
    p: Floats
    """[N] p-value of the unit against the whole reserve."""
    p_at_risk: Floats
    """[N] p-value with the risk in its statistic; 1 where the unit's does not pass the threshold."""
    steps: int
    """P-values are multiples of one in this many."""
    rule: str


@dataclass(frozen=True)
class Exposed:
    """The public part, and restricted arrays over the training records."""

    public: Exposure
    level: float
    risk: risk.Risk | None = None
    marks: Marks | None = None
    person_risk: Floats | None = None
    """[N] risk of the record's person, where persons have several records."""


def exposure(
    retrained: Retrained | None,
    scores: Scores | None,
    *,
    absent: str,
    labels: Floats | None,
    groupings: Mapping[str, Grouping],
    persons: Ints | None,
    settings: PrivacySettings,
    generator: np.random.Generator,
    level: float,
    minimum: int,
    by_person: Marks | None = None,
    refused: str = "",
) -> Exposed:
    """Measure the risk of every training record and mark the exposed.

    Args:
        retrained: models with and without each record, training records first; None, and `absent` says why.
        scores: the offline likelihood-ratio attack's scores on the audited model.
        labels: [N] 1.0 favourable. groupings: codes [N]. persons: [N] or None.
        settings: the policy's level and risk threshold. generator: draws bootstrap samples of models.
        level: coverage of intervals. minimum: minimum cell.
        by_person: marks by person, where persons have several records; the records of the marked are then the marked.
        refused: why no mark of this bank would be valid.

    Risks are by record: what an attacker gains who holds this one record, from models with and without the person.
    """
    if retrained is None or scores is None or labels is None:
        return Exposed(Exposure(status="not-applicable", reason=absent), level)
    if refused:
        return Exposed(Exposure(status="withheld", reason=refused), level)
    count = len(scores.members)
    everyone = np.ones(count, dtype=np.bool_)
    if support(everyone, persons) < minimum:
        few = f"fewer than {minimum} persons or records"
        return Exposed(Exposure(status="withheld", reason=few), level)
    pool = risk.measure(retrained, level=level, generator=generator)
    found = pool.first(count)
    surprise = np.concatenate([scores.members, scores.nonmembers])
    marks = by_person or mark(pool.low, surprise, members=count, settings=settings, level=level, unit="record")
    by_group, _ = compose(
        marks.flag,
        groupings=groupings,
        favourable=labels == 1.0,
        persons=persons,
        level=level,
        minimum=minimum,
        measure=SHARE,
    )
    public = Exposure(
        status="assessed",
        rule=marks.rule,
        models=len(retrained.inside),
        learned_from=int(np.median(retrained.inside.sum(axis=1))),
        audited_learned_from=count,
        average=risk.average(retrained, members=count, level=level),
        bands=bands(found.value, marks.flag, persons, level=level, minimum=minimum),
        flagged=published_rate(marks.flag, persons, level=level, minimum=minimum),
        by_group=by_group,
        p_steps=marks.steps,
    )
    return Exposed(public, level, found, marks)


def mark(
    low: Floats, surprise: Floats, *, members: int, settings: PrivacySettings, level: float, unit: str
) -> Marks:
    """Mark units that pass the threshold of risk and stand out against reserve units that pass it too.

    Args:
        low: [N + K] lower limits of risk, members first, from models that held members and reserve alike.
        surprise: [N + K] place of the audited model's margin among those of models without the unit.
        members: N. settings: the policy's level and risk threshold. level: coverage of the limits, for the rule.
        unit: `record` or `person`.
    """
    at_risk = low > settings.risk_threshold
    own = at_risk[:members]
    p = risk.conformal(surprise[:members], surprise[members:])
    statistic = np.where(at_risk, surprise, -np.inf)
    joint = risk.conformal(statistic[:members], statistic[members:])
    flag = own & (stats.false_discovery_control(joint, method="bh") <= settings.level)
    if own.any():
        flag[own] &= stats.false_discovery_control(p[own], method="bh") <= settings.level
    others = len(low) - members
    rule = _rule(settings, level, unit=unit, fewest=ceil(members / (settings.level * (others + 1)) - 1e-9))
    return Marks(np.asarray(flag, dtype=np.bool_), p, joint, others + 1, rule)


def measurements(found: Exposed) -> tuple[Measurement, ...]:
    """Rows for rules: average risk and share marked, over all and by group; with the reason where there is none."""
    public = found.public
    nothing = Estimate(value=None, level=found.level, withheld=public.reason)
    average = Measurement(measure=AVERAGE, unit="score", estimate=public.average or nothing)
    return (average, Measurement(measure=SHARE, unit="share", estimate=public.flagged or nothing), *public.by_group)


def arrays(found: Exposed) -> dict[str, Floats | Mask]:
    """For restricted evidence, by name."""
    if found.risk is None:
        return {}
    if found.marks is None:
        return {"risk": found.risk.value, "risk_low": found.risk.low}
    every: dict[str, Floats | Mask] = {
        "risk": found.risk.value, "risk_low": found.risk.low, "membership_p": found.marks.p,
        "membership_p_at_risk": found.marks.p_at_risk, "exposed_flag": found.marks.flag,
    }  # fmt: skip
    return every if found.person_risk is None else every | {"person_risk": found.person_risk}


def _rule(settings: PrivacySettings, level: float, *, unit: str, fewest: int) -> str:
    whole = "" if unit == "record" else " All records of a marked person count."
    return (
        f"Marked: the lower limit of the {unit}'s {level:.0%} interval of risk exceeds {settings.risk_threshold:g}, "
        f"and it survives Benjamini–Hochberg at level {settings.level:g} twice on conformal p-values of the offline "
        f"likelihood ratio of the audited model: among those {unit}s against the whole reserve, and among all {unit}s "
        f"against the {unit}s of the reserve that pass the same threshold of risk.{whole} With this reserve "
        f"{_fewest(fewest, unit)}."
    )


def _fewest(count: int, unit: str) -> str:
    """From how many marks on the reserve resolves any."""
    if count <= 1:
        return f"a single {unit} can be marked"
    return f"no fewer than {count:,} {unit}s can be marked, for fewer would be within what chance alone gives"


def bands(value: Floats, flag: Mask, persons: Ints | None, *, level: float, minimum: int) -> tuple[RiskBand, ...]:
    """Shares by band of risk; an edge that would set few persons apart, also from those marked, is left out."""
    nobody = np.zeros(len(flag), dtype=np.bool_)
    kept: list[tuple[float, Mask]] = [(1.0, nobody)]
    for edge in reversed(EDGES):
        above = np.asarray(value >= edge, dtype=np.bool_)
        others = (~nobody, flag, *(mask for _, mask in kept))
        if not any(isolates(above, other, persons, minimum) for other in others):
            kept.append((edge, above))
    pairs = zip(kept[1:], kept[:-1], strict=True)
    return tuple(
        RiskBand(low=low, high=high, share=published_rate(above & ~higher, persons, level=level, minimum=minimum))
        for (low, above), (high, higher) in pairs
    )[::-1]
