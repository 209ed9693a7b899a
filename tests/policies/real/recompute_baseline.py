"""The baseline that never asks the model: its area from kept scores, and from retrained models where it is theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import LEVEL, Floats
from tests.policies.real.recompute_membership import Pool
from tests.policies.real.recompute_privacy import area
from tests.policies.real.recompute_rates import entry

NAME, MARGIN, WITHOUT_MODELS = "privacy.baseline_auc /  / ", 0.02, 3


def expected_baseline(
    kept: tuple[Floats, Floats] | None, pool: Pool | None, strongest: str, why: Says | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row and the part; `kept` are the scores of the strongest by side, NaN where not measured."""
    if kept is None:
        nothing = entry(level=LEVEL, withheld=why or Says())
        return {NAME: {"estimate": nothing}}, {"reason": why or Says(), "auc": nothing, "margin": MARGIN}
    count = WITHOUT_MODELS + (pool is not None)
    members, others = (score[np.isfinite(score)] for score in kept)
    if pool is not None and "retrained" in strongest:
        own = np.ma.masked_array(pool.margin, pool.inside).mean(axis=0).filled(np.nan)
        sign = np.sign(kept[0][0] / own[0])
        np.testing.assert_allclose(np.concatenate(kept), sign * own, rtol=1e-7, atol=1e-9)
    auc = area(members, others, 1 - (1 - LEVEL) / count) | {"level": LEVEL, "method": Says(count)}
    reason = Says(auc["value"], auc["low"], 0.5 + MARGIN, 0.5) if auc["low"] > 0.5 + MARGIN else ""
    return {NAME: {"estimate": auc}}, {"auc": auc, "margin": MARGIN, "reason": reason}
