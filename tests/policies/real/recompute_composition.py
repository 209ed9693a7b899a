"""Who the records with the largest effects are: shares of levels among the top 1 % and 5 %, beside all.

A level is named when at least the minimum cell of its records is among the top, and as many or none of them in each
ring around it (the rest of the top 5 % and everyone else for the top 1 %, everyone else for the top 5 %); what is not
named is `other levels`, which must pass the same test, and where all but a few are of one level, that is a band. Base
shares are rounded where a column's rare levels hold too few records together. Protected groups and the label are always
listed, other columns where their share differs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, Floats, Mask, World
from tests.policies.real.recompute_rates import STEPS, entry, step_of, wilson

OTHER = "other levels"
LISTED_AT_MOST = 12
DISTINCT_AT_MOST = 12
Column = tuple[str, dict[str, Mask], bool]


def compositions(world: World, effects: Floats) -> list[dict[str, Any]]:
    """Compositions in both directions."""
    described, out = columns(world), []
    for direction, signed in (("raises", effects), ("lowers", -effects)):
        order = np.argsort(-signed, kind="stable")
        tops = []
        for share in (0.01, 0.05):
            top = np.zeros(len(signed), dtype=bool)
            top[order[: int(np.ceil(share * len(signed)))]] = True
            tops.append(top & (signed > 0))
        around = ([tops[1] & ~tops[0], ~tops[0]], [~tops[1]])
        for share, top, rings in zip((0.01, 0.05), tops, around, strict=True):
            if top.sum() >= MINIMUM_CELL:
                rows = _rows(described, top, rings)
                out.append({"direction": direction, "top_share": share, "n": int(top.sum()), "rows": rows})
    return out


def columns(world: World) -> list[Column]:
    """Each column's levels as masks over the training rows, and whether all of them are listed."""
    frame, label = world.frames["train"], world.label("train") == 1
    found: list[Column] = []
    for attribute in world.attributes:
        codes = attribute.codes["train"]
        levels = {name: codes == k for k, name in enumerate(attribute.labels)} | {"unknown": codes < 0}
        found.append((attribute.name, levels, True))
    found.append(("label", {"not favourable": ~label, "favourable": label}, True))
    taken = {attribute.column for attribute in world.attributes}
    found += [(c, _levels(frame[c]), False) for c in world.features if c not in taken]
    return found


def _levels(cells: pd.Series) -> dict[str, Mask]:
    """Quarters of a column with many numbers, else its values; gaps are a level of their own."""
    missing = cells.isna().to_numpy()
    if not pd.api.types.is_numeric_dtype(cells) or cells.nunique() <= DISTINCT_AT_MOST:
        values = sorted(cells.dropna().unique())
        names = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        found = {name: (cells == value).to_numpy() for name, value in zip(names, values, strict=True)}
        return found | {"missing": missing}
    numbers = cells.to_numpy(dtype=float)
    edges = np.unique([float(f"{edge:.3g}") for edge in np.quantile(numbers[~missing], [0.25, 0.5, 0.75])])
    ends = [-np.inf, *edges, np.inf]
    shown = [f"{edge:,.10g}" for edge in edges]
    names = [f"up to {shown[0]}", *(f"over {a} to {b}" for a, b in pairwise(shown)), f"over {shown[-1]}"]
    found = {name: (numbers > low) & (numbers <= high) for name, (low, high) in zip(names, pairwise(ends), strict=True)}
    return found | {"missing": missing}


def _rows(described: list[Column], top: Mask, rings: list[Mask]) -> list[dict[str, Any]]:
    always, differing = [], []
    for column, levels, is_listed in described:
        for level, share, base in _shares(levels, top, rings):
            value, low, high = (share[name] for name in ("value", "low", "high"))
            lift = value / base if base and value is not None else None
            row = {"column": column, "level": level, "share": share, "base_share": base, "lift": lift}
            if is_listed:
                always.append(row)
            elif not low <= base <= high:
                differing.append(row)
    differing.sort(key=lambda row: -abs(_centre(row["share"]) - row["base_share"]))
    return [*always, *differing[:LISTED_AT_MOST]]


def _centre(share: dict[str, Any]) -> float:
    return float(share["low"] if share["value"] is None else share["value"])


def _shares(levels: dict[str, Mask], top: Mask, rings: list[Mask]) -> list[tuple[str, dict[str, Any], float]]:
    """Named levels, then the others as one, or a band where one level holds all but a few."""
    named = {name: members for name, members in levels.items() if _is_large(members, top, rings)}

    def rest() -> Mask:
        return ~np.logical_or.reduce(list(named.values())) if named else np.ones_like(top)

    while len(named) > 1 and (rest() & top).any() and not _is_large(rest(), top, rings):
        del named[min(named, key=lambda name: int((named[name] & top).sum()))]
    shown = dict(named)
    n, few = int(top.sum()), MINIMUM_CELL - 1
    if named and _is_large(rest(), top, rings):
        shown[OTHER] = rest()
    elif len(named) == 1:
        ((name, members),) = named.items()
        band = entry(None, wilson(n - few, n, LEVEL)["low"], 1.0, level=LEVEL, n=n, withheld=Says(few))
        return [(name, band, _base(members, levels))] if n >= 2 * few else []
    return [(name, wilson(int((m & top).sum()), n, LEVEL), _base(m, levels)) for name, m in shown.items()]


def _base(members: Mask, levels: dict[str, Mask]) -> float:
    """Share among all records, on a grid half a minimum cell wide where the rare levels do not hide each other."""
    rare = sum(count for count in (int(m.sum()) for m in levels.values()) if count < MINIMUM_CELL)
    share = float(members.mean())
    if not 0 < rare < MINIMUM_CELL:
        return share
    step = step_of(len(members)) or STEPS[-1]
    return round(round(share / step) * step, 6)


def _is_large(members: Mask, top: Mask, rings: list[Mask]) -> bool:
    counts = [int((members & ring).sum()) for ring in rings]
    return int((members & top).sum()) >= MINIMUM_CELL and not any(0 < count < MINIMUM_CELL for count in counts)
