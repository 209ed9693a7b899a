"""The slices that nobody named, recomputed: how many conditions there are, and every figure of every slice shown."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, MINIMUM_GROUP, Floats, Mask, World
from tests.policies.real.recompute_rates import entry, wilson_limits

FALSE_DISCOVERY = 0.02
RANGE = re.compile(r"(?:(?P<low>\S+) <= )?(?P<name>.+?)(?: (?P<sign><|>=) (?P<edge>\S+))?$")


def expected_discovery(
    world: World, decision: Floats, *, half: Mask, p: Floats, found: dict[str, Any]
) -> dict[str, Any]:
    """The part, given the half that was searched and every tested slice's p; the slices are read from their texts."""
    truth = world.label("evaluation")
    columns = _columns(world)
    wrong = (truth != decision).astype(float)
    values = (wrong, np.where(truth == 1, wrong, np.nan), np.where(truth == 0, wrong, np.nan))
    outcomes = []
    for value, row, told in zip([v for v in values if np.isfinite(v).any()], p, found["outcomes"], strict=True):
        outcomes.append(_outcome(columns, value, half, row[~np.isnan(row)], told))
    return {
        "searched": int(half.sum()), "confirmed_on": int((~half).sum()), "false_discovery": FALSE_DISCOVERY,
        "outcomes": outcomes,
    }  # fmt: skip


def _columns(world: World) -> tuple[pd.DataFrame, set[str]]:
    """What conditions are made of, and which columns are measured."""
    rules = world.policy["protected"].values()
    # Recorded decisions come without a model, so nothing is known of what was read.
    read = world.features if world.has_model else []
    frame = world.frames["evaluation"][list(dict.fromkeys([*read, *(rule["column"] for rule in rules)]))]
    if world.numeric:
        return frame, {*world.numeric, *(rule["column"] for rule in rules if "bins" in rule)}
    return frame, {c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])}


def _outcome(
    columns: tuple[pd.DataFrame, set[str]], value: Floats, half: Mask, p: Floats, told: dict[str, Any]
) -> dict[str, Any]:
    frame, numeric = columns
    counted = np.isfinite(value)
    rest = counted & ~half
    least = max(MINIMUM_GROUP, int(np.ceil(0.01 * (counted & half).sum())))
    conditions = sum(
        2 * least <= int(mask.sum()) <= int(counted.sum()) - 2 * least
        for column in frame.columns
        for mask in _masks(frame[column][counted], column in numeric)
    )
    adjusted = stats.false_discovery_control(p, method="bh") if len(p) else p
    slices = []
    for row in told["slices"]:
        inside = np.logical_and.reduce([_holds(frame, text) for text in row["where"].split(" AND ")])[rest]
        slices.append({"where": row["where"], **_slice(inside, value[rest], p, adjusted)})
    return {
        "n_searched": int((counted & half).sum()), "n_confirming": int(rest.sum()), "conditions": conditions,
        "tested": len(p), "withheld": len(p) - len(slices), "slices": slices,
    }  # fmt: skip


def _masks(values: pd.Series, measured: bool) -> list[NDArray[np.bool_]]:
    known = values.dropna()
    if not measured or known.nunique() <= 4:
        masks = [(values == level).to_numpy() for level in known.unique()]
    else:
        edges = sorted({float(f"{edge:.1e}") for edge in np.quantile(known.astype(float), (0.25, 0.5, 0.75))})
        bins = pd.cut(values.astype(float), [-np.inf, *edges, np.inf], right=False, labels=False)
        masks = [(bins == k).to_numpy() for k in range(len(edges) + 1)]
    return [*masks, values.isna().to_numpy()]


def _holds(frame: pd.DataFrame, text: str) -> NDArray[np.bool_]:
    """A condition, read from its words."""
    for column in frame.columns:
        if text == f"{column} missing":
            return frame[column].isna().to_numpy()
        if text.startswith(f"{column} = "):
            level = text.removeprefix(f"{column} = ")
            numbers = pd.to_numeric(frame[column], errors="coerce")
            return ((frame[column].astype(str) == level) | (numbers.map("{:g}".format) == level)).to_numpy()
    read = RANGE.fullmatch(text)
    assert read is not None, text
    values = frame[read["name"]].astype(float)
    holds = values.notna()
    if read["low"]:
        holds &= values >= float(read["low"].replace(",", ""))
    if read["edge"]:
        edge = float(read["edge"].replace(",", ""))
        holds &= values < edge if read["sign"] == "<" else values >= edge
    return holds.to_numpy()


def _slice(inside: Mask, value: Floats, p: Floats, adjusted: Floats) -> dict[str, Any]:
    level = 1 - (1 - LEVEL) / len(p)
    rates = []
    for side in (inside, ~inside):
        hits, n = int(value[side].sum()), int(side.sum())
        assert min(hits, n - hits) >= MINIMUM_CELL
        rates.append(entry(hits / n, *wilson_limits(hits, n, level), level=level, n=n, events=hits))
    one, other = rates
    table = [[one["events"], one["n"] - one["events"]], [other["events"], other["n"] - other["events"]]]
    own = float(stats.fisher_exact(table, alternative="greater").pvalue)
    at = int(np.argmin(np.abs(np.log(p) - np.log(own))))
    gap = one["value"] - other["value"]
    low = gap - np.hypot(one["value"] - one["low"], other["high"] - other["value"])
    high = gap + np.hypot(one["high"] - one["value"], other["value"] - other["low"])
    excess = entry(gap, low, high, level=level, n=len(value))
    return {"inside": one, "outside": other, "excess": excess, "p": own, "adjusted_p": float(adjusted[at])}
