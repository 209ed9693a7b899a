"""Who is exposed: risk by bands, and records marked by two tests of which either alone would accuse too many.

A record is marked as exposed only if (1) the lower limit of its risk passes the policy's threshold: models of this
recipe give such a record away; and (2) it survives Benjamini-Hochberg at the policy's level on conformal p-values
against the reserve: the audited model itself does. The first test looks at retrained models only and the second at the
audited one, so the second judges no more than those whom the first picked; its statistic (`lira_offline`) follows one
law for all records that were not learned, so being picked for a high risk does not make a p-value small. Public:
bands, an average, shares; records stay restricted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """Marks made by person (`personal`), for the records of persons with several of them."""

    flag: Mask
    """[N] whether the record's person is marked."""
    p: Floats
    """[N] p-value of the record's person."""
    steps: int


@dataclass(frozen=True)
class Exposed:
    """The public part, and restricted arrays over the training records."""

    public: Exposure
    level: float
    risk: risk.Risk | None = None
    p: Floats | None = None
    flag: Mask | None = None
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
    count, others = len(scores.members), len(scores.nonmembers)
    members = Retrained(retrained.margin[:, :count], retrained.inside[:, :count])
    everyone = np.ones(count, dtype=np.bool_)
    if support(everyone, persons) < minimum:
        few = f"fewer than {minimum} persons or records"
        return Exposed(Exposure(status="withheld", reason=few), level)
    found = risk.measure(members, level=level, generator=generator)
    p = risk.conformal(scores.members, scores.nonmembers)
    flag, steps = marked(found.low > settings.risk_threshold, p, settings.level), others + 1
    if by_person is not None:
        flag, p, steps = by_person.flag, by_person.p, by_person.steps
    by_group, _ = compose(
        flag,
        groupings=groupings,
        favourable=labels == 1.0,
        persons=persons,
        level=level,
        minimum=minimum,
        measure=SHARE,
    )
    public = Exposure(
        status="assessed",
        rule=_rule(settings, level, unit="record" if by_person is None else "person"),
        models=len(retrained.inside),
        learned_from=int(np.median(retrained.inside.sum(axis=1))),
        audited_learned_from=count,
        average=risk.average(members, level=level),
        bands=bands(found.value, flag, persons, level=level, minimum=minimum),
        flagged=published_rate(flag, persons, level=level, minimum=minimum),
        by_group=by_group,
        p_steps=steps,
    )
    return Exposed(public, level, found, p, flag)


def marked(picked: Mask, p: Floats, level: float) -> Mask:
    """Those of the records picked that survive Benjamini-Hochberg among themselves."""
    flag = np.zeros(len(p), dtype=np.bool_)
    if picked.any():
        flag[picked] = stats.false_discovery_control(p[picked], method="bh") <= level
    return flag


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
    if found.p is None or found.flag is None:
        return {"risk": found.risk.value, "risk_low": found.risk.low}
    every: dict[str, Floats | Mask] = {
        "risk": found.risk.value, "risk_low": found.risk.low, "membership_p": found.p, "exposed_flag": found.flag,
    }  # fmt: skip
    return every if found.person_risk is None else every | {"person_risk": found.person_risk}


def _rule(settings: PrivacySettings, level: float, *, unit: str) -> str:
    where = "the reserve" if unit == "record" else "the persons of the reserve; all records of a marked person count"
    return (
        f"Marked: the lower limit of the {unit}'s {level:.0%} interval of risk exceeds {settings.risk_threshold:g}, "
        f"and among those {unit}s it survives Benjamini–Hochberg at level {settings.level:g} on conformal p-values of "
        f"the offline likelihood ratio of the audited model against {where}."
    )


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
