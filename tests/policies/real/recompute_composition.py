"""Who the records with the largest effects are: shares of levels among the top 1 % and 5 %, beside all.

A level is named when at least the minimum cell of its records is among the top, and as many or none of them in the ring
around it (the rest of the top 5 % for the top 1 %, everyone else for the top 5 %); what is not named is `other levels`,
which must pass the same test. Protected groups and the label are always listed, other columns where their share differs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, Floats, Mask, World
from tests.policies.real.recompute_rates import wilson

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
        for share, top, ring in zip((0.01, 0.05), tops, (tops[1] & ~tops[0], ~tops[1]), strict=True):
            if top.sum() >= MINIMUM_CELL:
                rows = _rows(described, top, ring)
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
        return {str(value): (cells == value).to_numpy() for value in values} | {"missing": missing}
    numbers = cells.to_numpy(dtype=float)
    edges = np.unique([float(f"{edge:.3g}") for edge in np.quantile(numbers[~missing], [0.25, 0.5, 0.75])])
    ends = [-np.inf, *edges, np.inf]
    shown = [f"{edge:,.10g}" for edge in edges]
    names = [f"up to {shown[0]}", *(f"over {a} to {b}" for a, b in pairwise(shown)), f"over {shown[-1]}"]
    found = {name: (numbers > low) & (numbers <= high) for name, (low, high) in zip(names, pairwise(ends), strict=True)}
    return found | {"missing": missing}


def _rows(described: list[Column], top: Mask, ring: Mask) -> list[dict[str, Any]]:
    always, differing = [], []
    for column, levels, is_listed in described:
        for level, members in _named(levels, top, ring).items():
            share = wilson(int((members & top).sum()), int(top.sum()), LEVEL)
            base = float(members.mean())
            row = {"column": column, "level": level, "share": share, "base_share": base,
                   "lift": share["value"] / base if base else None}  # fmt: skip
            if is_listed:
                always.append(row)
            elif not share["low"] <= base <= share["high"]:
                differing.append(row)
    differing.sort(key=lambda row: -abs(row["share"]["value"] - row["base_share"]))
    return [*always, *differing[:LISTED_AT_MOST]]


def _named(levels: dict[str, Mask], top: Mask, ring: Mask) -> dict[str, Mask]:
    """Levels that may be named, and the others as one; nothing where one row would be left."""
    named = {name: members for name, members in levels.items() if _is_large(members, top, ring)}
    while named:
        rest = ~np.logical_or.reduce(list(named.values()))
        if not rest.any() or _is_large(rest, top, ring):
            break
        del named[min(named, key=lambda name: int((named[name] & top).sum()))]
    others = ~np.logical_or.reduce(list(named.values())) if named else np.ones_like(top)
    found = named | ({OTHER: others} if others.any() else {})
    return found if len(found) > 1 else {}


def _is_large(members: Mask, top: Mask, ring: Mask) -> bool:
    inside, around = int((members & top).sum()), int((members & ring).sum())
    return inside >= MINIMUM_CELL and (around == 0 or around >= MINIMUM_CELL)
