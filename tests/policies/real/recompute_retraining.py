"""How the retrained models were fitted: an estimator's carried out again, and what is said of those left out."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import numpy as np
import pandas as pd

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import World

REFITTED, MOST_LEFT_OUT = 3, 0.25


def hold_refits(world: World, pool: Any) -> None:
    """The first models' losses are those of the bank's own estimator, fitted afresh on their rows."""
    module, _, name = world.policy["model"]["subject"].partition(":")
    spec = spec_from_file_location(module, world.folder / f"{module}.py")
    assert spec is not None and spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    frame = pd.concat([world.frames["train"], world.frames["reserve"]])[world.features]
    label = np.concatenate([world.label("train"), world.label("reserve")]).astype(int)
    for k in range(REFITTED):
        rows = pool.inside[k]
        p = getattr(loaded, name)().fit(frame[rows], label[rows]).predict_proba(frame)
        own = -np.log(np.clip(p[np.arange(len(label)), label], np.finfo(p.dtype).eps, 1))
        np.testing.assert_allclose(pool.loss[k], own, rtol=1e-5, atol=1e-6)


def said_of_retraining(text: str, models: int) -> Says:
    """What the text may say of the models left out: with the `models` that remain they are all that were trained."""
    found = re.search(r"(\d+) of (\d+) retrained models", text)
    if found is None:
        return Says()
    left, trained = int(found[1]), int(found[2])
    share = left / trained
    assert trained - left == models and 0 < share <= MOST_LEFT_OUT
    return Says(left, trained, share, MOST_LEFT_OUT, (0.5 - share) / (1 - share), 0.5 / (1 - share))
