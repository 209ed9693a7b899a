"""What becomes of a comparison where a set of evaluation records is held beside an earlier release."""

from __future__ import annotations

import numpy as np

from auditkit.fairness import compare
from auditkit.release.whole import across
from auditkit.result import FairnessPart


def test_a_comparison_is_withheld_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 500)
    part = FairnessPart(
        status="assessed",
        models=compare(
            truth, {"a": truth, "b": rng.integers(0, 2, 500)}, groups={"sex": rng.choice(["f", "m"], 500)}
        ),
    )
    left = across(part, "held")["models"]
    assert (left.status, left.reason) == ("withheld", "held")
    assert left.models == left.changes == ()
    assert left.notes == ("held",)
