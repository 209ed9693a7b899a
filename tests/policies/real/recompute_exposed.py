"""Who is exposed, and the structural checks: by loops, by pandas' group-by and by scipy's laws.

No real policy names persons, so the part on persons says so and has no figure; `tests/privacy/test_persons.py` holds
its figures against closed forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, Mask, World
from tests.policies.real.recompute_influence import Dense, Removals
from tests.policies.real.recompute_measures import SLICES
from tests.policies.real.recompute_membership import Pool, means
from tests.policies.real.recompute_model import Answers
from tests.policies.real.recompute_privacy import WITHHELD
from tests.policies.real.recompute_rates import banded, entry

TOP, ENOUGH = 0.05, 10.0


def expected_who(
    world: World, answers: Answers, pool: Pool, flag: Mask, influence: tuple[Dense, Removals, str | None] | None
) -> dict[str, Any]:
    """The part `who`; `influence` with the reason for which its effects may not be used, or None."""
    cells = _groups(world)
    open_ = {key: _may_show(world, key, cells) for key in cells}
    shown = [cells[key] for key in cells if open_[key]]
    stated = world.policy.get("slices", {})
    slices = {name: SLICES[world.name, name](world, answers, "train").to_numpy() for name in stated}
    wanted = {key: cells[key] for key in cells if open_[key]}
    for name, mask in slices.items():
        if not any(_few(mask, other) for other in [*shown, mask | True, mask & False]):
            wanted[name] = mask
            shown.append(mask)
    average = dict(zip(wanted, means(pool, list(wanted.values())), strict=True)) if wanted else {}
    hidden = entry(level=LEVEL, withheld=WITHHELD)
    by_group = {
        f"privacy.average_risk / {on} / {name}": {"group": name, "estimate": average.get((on, name), hidden)}
        for on, name in cells
    }
    found = [
        {"name": name, "average": average[name], "flagged": _share(mask, flag, shown)}
        if name in average
        else {"name": name, "average": hidden, "flagged": hidden}
        for name, mask in slices.items()
    ]
    return {"by_group": by_group, "slices": found} | _joint(flag, influence)


def _groups(world: World) -> dict[tuple[str, str], Mask]:
    found = {}
    for attribute in world.attributes:
        codes = attribute.codes["train"]
        names = [*attribute.labels, *(["unknown"] if (codes < 0).any() else [])]
        for k, name in enumerate(names):
            found[attribute.name, name] = codes == (k if k < len(attribute.labels) else -1)
    return found


def _may_show(world: World, key: tuple[str, str], cells: dict[tuple[str, str], Mask]) -> bool:
    """A group of at least ten; where smaller ones together are fewer than ten, the next smallest goes with them."""
    own = {name: int(mask.sum()) for (on, name), mask in cells.items() if on == key[0]}
    shown = {name: count == 0 or count >= MINIMUM_CELL for name, count in own.items()}
    while 0 < sum(own[name] for name in own if not shown[name]) < MINIMUM_CELL:
        left = [name for name in own if shown[name] and own[name]]
        if not left:
            break
        shown[left[0]] = False
    return shown[key[1]] and own[key[1]] > 0


def _few(one: Mask, other: Mask) -> bool:
    return any(0 < int(part.sum()) < MINIMUM_CELL for part in (one & ~other, other & ~one))


def _share(mask: Mask, flag: Mask, shown: list[Mask]) -> dict[str, Any]:
    found = banded(flag[mask], LEVEL, MINIMUM_CELL)
    if found["value"] is None:
        return found | {"withheld": WITHHELD}
    sets = [other & flag for other in [*shown, mask | True] if other is not mask and (other & flag).any()]
    rest = [~mask, ~mask & flag, ~mask & ~flag]
    if any(0 < int(part.sum()) < MINIMUM_CELL for part in rest) or (
        (mask & flag).any() and any(_few(mask & flag, other) for other in sets)
    ):
        return entry(level=LEVEL, withheld=WITHHELD)
    return found


def _joint(flag: Mask, influence: tuple[Dense, Removals, str | None] | None) -> dict[str, Any]:
    """Of the twentieth that widens a gap most, the share marked, and the hypergeometric law of it."""
    if influence is None or influence[2] is not None:
        return {"gaps": [], "no_gaps": Says() if influence is None else influence[2] or ""}
    dense, removals, _ = influence
    values, rows = dense.values(dense.evaluation_z), []
    for k, measure in enumerate(dense.measures):
        if measure.kind != "gap":
            continue
        pull = -removals.effects[:, k] * np.sign(values[k])
        highest = np.argsort(-pull, kind="stable")[: round(TOP * len(pull))]
        top = np.isin(np.arange(len(pull)), highest[pull[highest] > 0])
        rows.append({"name": measure.name, "top_share": TOP} | _pair(top, flag))
    return {"gaps": rows, "no_gaps": ""}


def _pair(top: Mask, flag: Mask) -> dict[str, Any]:
    size = int(top.sum())
    if size < MINIMUM_CELL:
        hidden = entry(level=LEVEL, withheld=WITHHELD)
        return {"both": hidden, "expected": hidden}
    both = banded(flag[top], LEVEL, MINIMUM_CELL)
    if both["value"] is None:
        both["withheld"] = WITHHELD
    elif any(0 < int(part.sum()) < MINIMUM_CELL for part in (~top, ~top & flag, ~top & ~flag)):
        both = entry(level=LEVEL, n=size, withheld=WITHHELD)
    if any(0 < int(part.sum()) < MINIMUM_CELL for part in (flag, ~flag)):
        return {"both": both, "expected": entry(level=LEVEL, withheld=WITHHELD)}
    law = stats.hypergeom(M=len(flag), n=int(flag.sum()), N=size)
    ends = (float(law.ppf(tail)) / size for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return {"both": both, "expected": entry(float(flag.mean()), *ends, level=LEVEL, n=size)}


def expected_structure(world: World, answers: Answers, freedom: float | None) -> dict[str, Any]:
    """The structural checks; `freedom` is the trace of the hat matrix."""
    label = world.label("train") == 1
    answer = {"label": label}
    if "train" in answers.decision:
        answer["decision"] = answers.decision["train"] == 1
    frame = world.frames["train"][world.features]
    levels = [
        (frame[c].isna() if pd.isna(level) else frame[c] == level).to_numpy()
        for c in frame for level in frame[c].unique() if not _is_number(world, frame[c])
    ]  # fmt: skip
    groups = list(_groups(world).values())
    found = []
    for where, cells in (("protected groups and intersections", groups), ("levels of categorical features", levels)):
        large = [cell for cell in cells if cell.sum() >= MINIMUM_CELL]
        for what, hits in answer.items() if large else ():
            one = sum(len(set(hits[cell])) == 1 for cell in large)
            said = Says(len(large), MINIMUM_CELL)
            found.append((f"Of the {where}, those with one {what} only", entry(float(one), level=LEVEL), one > 0, said))
    key = pd.DataFrame({a.name: a.codes["train"] for a in world.attributes})
    by = pd.Series(label).groupby([key[c] for c in key])
    sizes, share = by.transform("size").to_numpy(), by.transform("mean").to_numpy()
    small, alike = sizes < MINIMUM_CELL, ((share == 0) | (share == 1)) & (sizes > 1)
    found.append((f"Records in classes of fewer than {MINIMUM_CELL} persons", _said(small), bool(small.any())))
    found.append(("Records in classes with one label only", _said(alike), bool(alike.any())))
    there = [int(cell.sum()) for cell in groups if cell.any()]
    below = sum(count < MINIMUM_CELL for count in there)
    few = entry(float(below), level=LEVEL)
    found.append(("Groups and intersections below the minimum cell", few, below > 0, Says(len(there))))
    rarer = _said(label if label.mean() <= 0.5 else ~label)
    found.append(("Records of the rarer label", rarer, rarer["value"] is None))
    n, parameters = len(label), sum(v.size for v in answers.weights.values())
    for name, size in (("parameter", parameters), ("effective degree of freedom", freedom)):
        if size:
            found.append((f"Training records per {name}", entry(n / size, level=LEVEL, n=n), n / size < ENOUGH))
    figures = (MINIMUM_CELL, n, parameters, freedom, 2)
    checks = [
        {"name": Says(MINIMUM_CELL) if "fewer" in name else name, "estimate": estimate, "warns": warns,
         "meaning": Says(*figures), "of": of[0] if of else Says()}
        for name, estimate, warns, *of in found
    ]  # fmt: skip
    return {"checks": checks}


def trace(dense: Dense) -> float:
    """Effective degrees of freedom: the trace of the curvature by the inverse of the penalised one."""
    return float(np.trace(dense.curvature @ dense.inverse()))


def _is_number(world: World, column: pd.Series) -> bool:
    return column.name in world.numeric or (not world.numeric and pd.api.types.is_numeric_dtype(column))


def _said(hits: Mask) -> dict[str, Any]:
    found = banded(hits, LEVEL, MINIMUM_CELL)
    return found | ({"withheld": WITHHELD} if found["value"] is None else {})


