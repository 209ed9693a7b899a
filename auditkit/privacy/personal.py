"""The risk of persons: what an attacker learns who holds all of a person's records, with persons as units throughout.

R_g = Phi(|d_g| / 2) as for records (`risk`), with d_g the distance of the person's one statistic (`persons`). P-values
compare that statistic of the audited model with that of the reserve's persons; persons are what is exchangeable, the
records of one person are not. The level of marks by record would not hold: ten records of one person of the reserve
are one stranger, not ten, so p-values by record are too small and a person's records pass or fail together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import risk
from auditkit.privacy.attacks.lira_offline import surprise
from auditkit.privacy.clustered import repeats
from auditkit.privacy.disclosure import published_rate, small
from auditkit.privacy.exposure import Marks, bands, mark
from auditkit.privacy.membership import Retrained
from auditkit.privacy.persons import Together, kept_together, together
from auditkit.result import Estimate, PersonRisk
from auditkit.subject.types import Floats, Ints, Mask

NOT_NAMED: Final = "the policy names no person: every record counts as one"
ONE_EACH: Final = "no person has several records: the figures by record are those by person"
SPLIT: Final = "the retrained models hold some of a person's records and lack others"


@dataclass(frozen=True)
class Personal:
    """The public part; marks for the records where persons have several; restricted arrays."""

    public: PersonRisk
    marks: Marks | None = None
    refused: str = ""
    """Why nothing may be marked, by record or by person."""
    value: Floats | None = None
    """[N] risk of each training record's person."""


def measure(
    retrained: Retrained | None,
    target: Floats | None,
    *,
    absent: str,
    train: Ints | None,
    reserve: Ints | None,
    settings: PrivacySettings,
    generator: np.random.Generator,
    level: float,
    minimum: int,
) -> Personal:
    """Measure the risk of every person with training records and mark the exposed.

    Args:
        retrained: models with and without each record, training records first; None, and `absent` says why.
        target: [N + K] margins of the audited model.
        train, reserve: person codes [N] and [K] in one numbering; None where no persons are known.
        settings: the policy's level and risk threshold. generator: draws bootstrap samples of models.
        level: coverage of intervals. minimum: minimum cell.
    """
    if train is None or reserve is None:
        return Personal(PersonRisk(status="not-applicable", reason=absent if train is not None else NOT_NAMED))
    codes = np.concatenate([train, reserve])
    if not repeats(codes):
        return Personal(PersonRisk(status="not-applicable", reason=ONE_EACH))
    if retrained is None or target is None:
        return Personal(PersonRisk(status="not-applicable", reason=absent))
    if not kept_together(retrained.inside, codes):
        return Personal(PersonRisk(status="withheld", reason=SPLIT), refused=SPLIT)
    units = together(retrained, target, train, reserve)
    if min(units.members, len(units.target) - units.members) < minimum:
        few = f"fewer than {minimum} persons on a side"
        return Personal(PersonRisk(status="withheld", reason=few), refused=few)
    return _assessed(units, settings, generator, level=level, minimum=minimum)


def _assessed(
    units: Together, settings: PrivacySettings, generator: np.random.Generator, *, level: float, minimum: int
) -> Personal:
    count = units.members
    pool = risk.measure(units.known, level=level, generator=generator)
    found, z = pool.first(count), surprise(units.target, units.known)
    marks = mark(pool.low, z, members=count, settings=settings, level=level, unit="person")
    several: Mask = np.asarray(np.bincount(units.of_row, minlength=count) > 1, dtype=np.bool_)
    public = PersonRisk(
        status="assessed",
        persons=count,
        several=published_rate(several, None, level=level, minimum=minimum),
        average=risk.average(units.known, members=count, level=level),
        bands=bands(found.value, marks.flag, None, level=level, minimum=minimum),
        flagged=_flagged(marks.flag, several, level=level, minimum=minimum),
        p_steps=marks.steps,
    )
    at = units.of_row
    whole = Marks(marks.flag[at], marks.p[at], marks.p_at_risk[at], marks.steps, marks.rule)
    return Personal(public, whole, value=found.value[at])


def _flagged(flag: Mask, several: Mask, *, level: float, minimum: int) -> Estimate:
    """Share of persons marked; not where, beside the marked records, it would tell of a few marked with several."""
    found = published_rate(flag, None, level=level, minimum=minimum)
    if found.known and small(int((flag & several).sum()), minimum):
        reason = f"with the share of records it would tell of fewer than {minimum} persons with several records"
        return Estimate(value=None, level=level, n=len(flag), withheld=reason)
    return found
