"""Attribute inference from the raw files: who is guessed rightly, with the model, without it, and of the control.

The classifier is scikit-learn's, as the audit states it; columns and counts are made here. The models of these policies
read none of their protected attributes, but for German credit, whose pipelines take the columns in and drop them: what
they answer is then the same under every value.
"""

from __future__ import annotations

from math import hypot
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.policies.real.claims import Says
from tests.policies.real.recompute_attacks import columns, margin
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, Attribute, Floats, Ints, Mask, World
from tests.policies.real.recompute_rates import banded, entry, exact, exact_limits

FEWEST, FEWEST_OF_A_LEVEL = 100, 10
AGREEMENT = 0.999
TREES = {"max_iter": 15, "max_leaf_nodes": 8, "learning_rate": 0.2}


def expected_inference(
    world: World, loss: dict[str, Floats] | None, half: Mask | None, kept: dict[str, Ints]
) -> dict[str, Any]:
    """The part; `kept` are the audit's guesses `<k>_attack` and `<k>_baseline`, held against ours."""
    if loss is None or half is None:
        return {"status": "not-applicable"}
    rows = [_one(world, attribute, loss, half, kept, k=k) for k, attribute in enumerate(world.attributes)]
    return {"attributes": rows}


def _one(
    world: World, attribute: Attribute, loss: dict[str, Floats], half: Mask, kept: dict[str, Ints], *, k: int
) -> dict[str, Any]:
    codes = np.concatenate([attribute.codes[split] for split in ("train", "reserve")])
    members = len(attribute.codes["train"])
    learned = np.r_[np.zeros(members, dtype=bool), half]
    levels = [v for v in range(len(attribute.labels)) if (codes[learned] == v).sum() >= FEWEST_OF_A_LEVEL]
    known = np.isin(codes, levels)
    if len(levels) < 2 or (learned & known).sum() < FEWEST:
        return {"name": attribute.name, "reason": Says(FEWEST, FEWEST_OF_A_LEVEL)}
    feature = attribute.column in world.features
    for name, own in _guesses(world, attribute, loss, codes, learned & known, feature=feature).items():
        assert np.mean(kept[f"{k}_{name}"] == own) >= AGREEMENT
    few = [_few_left(known[:members]), _few_left(known[members:][~half])]
    sides = [np.ones(members, dtype=bool) if few[0] else known[:members], ~half & (few[1] | known[members:])]
    hit, plain = (kept[f"{k}_{name}"] == codes for name in ("attack", "baseline"))
    success = _banded(hit[:members][sides[0]])
    control = _banded(hit[members:][sides[1]])
    without, gain = _beside(hit[:members][sides[0]], plain[:members][sides[0]])
    if success["value"] is None:
        gain = entry(level=LEVEL, withheld=Says(MINIMUM_CELL))
    return {
        "name": attribute.name, "levels": len(levels), "members": success, "control": control, "baseline": without,
        "gain": gain, "difference": _difference(success, control), "notes": Says(MINIMUM_CELL) if any(few) else [],
    }  # fmt: skip


def _few_left(known: Mask) -> bool:
    return 0 < int((~known).sum()) < MINIMUM_CELL


def _guesses(
    world: World, attribute: Attribute, loss: dict[str, Floats], codes: Ints, at: Mask, *, feature: bool
) -> dict[str, Ints]:
    rows, texts = columns(world, ("train", "reserve"))
    own = world.features.index(attribute.column) if feature else -1
    others = [c for c in range(rows.shape[1] - 1) if c != own]
    label = rows.shape[1] - 1
    every = np.column_stack([rows, margin(np.concatenate([loss["train"], loss["reserve"]]))])

    def guess(chosen: list[int]) -> Ints:
        varied = [c for c in chosen if len(set(every[at, c][~np.isnan(every[at, c])])) > 1]
        model = HistGradientBoostingClassifier(
            **TREES, early_stopping=False, random_state=0,
            categorical_features=[varied.index(c) for c in texts if c in varied],
        ).fit(every[at][:, varied], codes[at])  # fmt: skip
        return model.classes_[np.argmax(model.predict_proba(every[:, varied]), axis=1)]

    return {
        "attack": guess(others if feature else [*others, label, label + 1]),
        "baseline": guess([*others, label]),
    }


def _banded(hits: Mask) -> dict[str, Any]:
    found = banded(hits, LEVEL, MINIMUM_CELL)
    return found | ({"withheld": Says(MINIMUM_CELL)} if found["value"] is None else {})


def _beside(hit: Mask, plain: Mask) -> tuple[dict[str, Any], dict[str, Any]]:
    only, lost, n = int((hit & ~plain).sum()), int((plain & ~hit).sum()), len(hit)
    nothing = entry(level=LEVEL, withheld=Says(MINIMUM_CELL))
    if 0 < max(only, lost) < MINIMUM_CELL or n < MINIMUM_CELL:
        return nothing, nothing
    without = _banded(plain)
    if without["value"] is None:
        return without, nothing
    between, least = only - lost, min(only, lost)
    counts = [(only, only), (lost, lost)]
    if 0 < least < MINIMUM_CELL:
        # Any number from 0 to 9 of the one, and as many more of the other.
        counts = [(abs(between), min(n, abs(between) + MINIMUM_CELL - 1)), (0, MINIMUM_CELL - 1)]
        counts = counts if least == lost else counts[::-1]
    ends = [[exact_limits(count, n, (1 + LEVEL) / 2)[k] for k, count in enumerate(pair)] for pair in counts]
    return without, entry(between / n, ends[0][0] - ends[1][1], ends[0][1] - ends[1][0], level=LEVEL, n=n)


def _difference(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if one["value"] is None or other["value"] is None:
        return entry(level=LEVEL, withheld=Says(MINIMUM_CELL))
    p, q = (exact(side["events"], side["n"], LEVEL) for side in (one, other))
    value = p["value"] - q["value"]
    low = value - hypot(p["value"] - p["low"], q["high"] - q["value"])
    high = value + hypot(p["high"] - p["value"], q["value"] - q["low"])
    return entry(value, low, high, level=LEVEL, n=one["n"] + other["n"])
