"""Risk without a reserve: what models on halves of the training records alone can say, and nobody is marked.

A record is in about half of such models, so its risk under the recipe can be measured as with a reserve (`risk`). They
learned from half as many records as the audited model, so the risks lie on the high side. Marks need more: whether the
audited model itself gives a record away is judged against records that it never saw, and there are none.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from auditkit.privacy import risk
from auditkit.privacy.exposure import Exposed, bands
from auditkit.privacy.membership import Retrained
from auditkit.result import Estimate, Exposure
from auditkit.subject.persons import support
from auditkit.subject.types import Ints

NO_MARKS: Final = (
    "insufficient evidence: no reserve is named, and whether the audited model gives a record away is judged against "
    "records that it never saw"
)
HALVES: Final = (
    "Without a reserve the retrained models learned from halves of the training records: this is the risk under the "
    "recipe at that smaller size, on the high side for the audited one, and no record is marked."
)


def unmarked(
    retrained: Retrained,
    *,
    absent: str,
    persons: Ints | None,
    generator: np.random.Generator,
    level: float,
    minimum: int,
) -> Exposed:
    """Average and bands of risk; the share marked is insufficient evidence, with the reason.

    Args:
        retrained: margins and membership [B, N] of training records only. absent: why there are no attacks.
        persons: [N] codes or None. generator: draws bootstrap samples of models.
        level: coverage of intervals. minimum: minimum cell.
    """
    count = retrained.margin.shape[1]
    if support(np.ones(count, dtype=np.bool_), persons) < minimum:
        few = f"fewer than {minimum} persons or records"
        return Exposed(Exposure(status="withheld", reason=few), level)
    found = risk.measure(retrained, level=level, generator=generator)
    nobody = np.zeros(count, dtype=np.bool_)
    public = Exposure(
        status="assessed",
        reason=absent,
        rule=HALVES,
        models=len(retrained.inside),
        learned_from=int(np.median(retrained.inside.sum(axis=1))),
        audited_learned_from=count,
        average=risk.average(retrained, members=count, level=level),
        bands=bands(found.value, nobody, persons, level=level, minimum=minimum),
        flagged=Estimate(value=None, level=level, withheld=NO_MARKS),
        retraining=retrained.recipe,
    )
    return Exposed(public, level, found)
