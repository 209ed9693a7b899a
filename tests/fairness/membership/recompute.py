"""Every figure of the small world's memberships again: by persons, limits and bounds from the written formulas."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tests.fairness.membership.world import RACES, TRAITS
from tests.policies.real.claims import Near, Says

LEVEL, REPLICATES = 0.95, 2000
SPREAD = 0.2
"""How far the critical value of 2,000 replicates may lie from ours, both ways."""
CELLS = {
    "selection_rate": ("decision == 1", "decision >= 0"), "tpr": ("decision == 1", "truth == 1"),
    "fpr": ("decision == 1", "truth == 0"), "fnr": ("decision == 0", "truth == 1"),
    "tnr": ("decision == 0", "truth == 0"), "ppv": ("truth == 1", "decision == 1"),
    "npv": ("truth == 0", "decision == 0"), "fdr": ("truth == 0", "decision == 1"),
    "for": ("truth == 1", "decision == 0"), "accuracy": ("truth == decision", "truth >= 0"),
    "base_rate": ("truth == 1", "truth >= 0"),
}  # fmt: skip
METHOD = Says(3, 2, REPLICATES)
Column = np.ndarray


def memberships(table: pd.DataFrame) -> dict[str, Any]:
    """The claimed part, rows under names."""
    told = table.traits.notna().to_numpy()
    own = table.traits.fillna("").str.split("|")
    member = {t: told & own.map(lambda labels, t=t: t in labels).to_numpy() for t in TRAITS}
    known = table[["p_asian", "p_black", "p_white"]].notna().all(axis=1).to_numpy()
    chances = {r: np.where(known, table[f"p_{r.lower()}"], 0.0) for r in RACES}
    crisp = {name: column.astype(float) for name, column in member.items()}
    return {
        "traits": _part(table, "traits", crisp, told, reference="others"),
        "traits-by-column": _part(table, "traits-by-column", crisp, told, reference="Carer"),
        "race": _part(table, "race", chances, known, reference="White"),
    }


def keyed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The result's rows under names instead of positions."""
    return {
        part["on"]: part | {
            "groups": {row["group"]: row for row in part["groups"]},
            "measurements": {f"{row['measure']} / {row['group']}": row for row in part["measurements"]},
            "bounds": {f"{row['measure']} / {row['group']}": row for row in part["bounds"]},
        } for part in parts
    }  # fmt: skip


def _part(table: pd.DataFrame, on: str, share: dict[str, Column], known: Column, *, reference: str) -> dict[str, Any]:
    frame = table.rename(columns={"paid": "truth", "approved": "decision"})
    soft = on == "race"
    columns = dict(share)
    if reference == "others":
        columns |= {f"not {g}": np.where(known, 1 - s, 0.0) for g, s in share.items()}
    pairs = [(g, f"not {g}" if reference == "others" else reference) for g in share if g != reference]
    part: dict[str, Any] = {"on": on, "reference_stated": True, "measurements": {}, "bounds": {}}
    part |= {"kind": "probabilities" if soft else "several", "reference": "" if reference == "others" else reference}
    part["groups"] = _groups(frame, share, known, soft=soft)
    part["notes"] = [Says(2019), Says(68, 2022, 1959), Says()] if soft else [Says()]
    for name, (event, trial) in CELLS.items():
        t = frame.eval(trial).to_numpy(float)
        e = frame.eval(event).to_numpy(float) * t
        made = {c: _share(frame.person, s, e, t, soft=soft) for c, s in columns.items()}
        z = stats.norm.ppf(0.5 + LEVEL ** (1 / len(share)) / 2)
        for group in share:
            value, low, high = made[group]["rate"](z)
            row = _entry((value, low, high), n=round(made[group]["t"]), soft=soft)
            row["events"] = None if soft else round(made[group]["e"])
            part["measurements"][f"fairness.{name} / {group}"] = {"estimate": row}
        against = "everybody outside the group" if reference == "others" else reference
        for kind in ("difference", "ratio"):
            c = _critical([_moves(made, pair, kind) for pair in pairs])
            for pair in pairs:
                n = round(made[pair[0]]["t"] + made[pair[1]]["t"])
                near = [_apart(made, pair, kind, z=c + s) for s in (-SPREAD, SPREAD)]
                row = _between(near, n=n, soft=soft)
                for measure in (f"{name}_{kind}", *(["impact_ratio"] * ((name, kind) == ("selection_rate", "ratio")))):
                    key = f"fairness.{measure} / {pair[0]}"
                    part["measurements"][key] = {"estimate": row, "reference": against}
        if soft:
            ends = {group: _ends(frame.person, own, known, e, t) for group, own in share.items()}
            part["bounds"] |= _bounds(name, ends, pairs)
    return part


def _groups(frame: pd.DataFrame, share: dict[str, Column], known: Column, *, soft: bool) -> dict[str, Any]:
    out = {}
    for group, own in share.items():
        by_person = pd.Series(own).groupby(frame.person.to_numpy()).max()
        size = round(own.sum())
        out[group] = {
            "n": None if soft else size, "expected": size if soft else None, "persons": round(by_person.sum()),
            "share": round(own.sum() / len(frame), 4) if soft else size / len(frame),
        }  # fmt: skip
    count = sum(share.values())
    further = {"unknown": ~known}
    if not soft:
        further |= {"several groups": count > 1, "none of the groups": known & (count == 0)}
    for name, where in further.items():
        persons = frame.person[where].nunique()
        out[name] = {"n": int(where.sum()), "expected": None, "persons": persons, "share": where.sum() / len(frame)}
    return out


def _share(person: pd.Series, s: Column, e: Column, t: Column, *, soft: bool) -> dict[str, Any]:
    """A rate, its influence by person, and Wilson's limits with the effective n."""
    events, trials = float((s * e).sum()), float((s * t).sum())
    r = events / trials
    sums = pd.DataFrame({"e": s * e, "t": s * t}).groupby(person.to_numpy(), sort=True).sum()
    influence = ((sums.e - r * sums.t) / trials).to_numpy()
    inside = int((sums.t > 0).sum())
    variance = sum(x * x for x in influence) * inside / (inside - 1)
    n = min(r * (1 - r) / variance, trials**2 / float(((s * t) ** 2).sum()))

    def rate(z: float) -> tuple[float, float, float]:
        spread = z * math.sqrt(r * (1 - r) / n + z * z / (4 * n * n))
        middle = r + z * z / (2 * n)
        return r, (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)

    return {"rate": rate, "u": influence, "e": events, "t": trials, "x": n * min(r, 1 - r)}


def _moves(made: dict[str, Any], pair: tuple[str, str], kind: str) -> Column:
    a, b = (made[c]["u"] / (made[c]["rate"](1.0)[0] if kind == "ratio" else 1.0) for c in pair)
    return a - b


@cache
def _multipliers(persons: int) -> np.ndarray:
    return np.random.default_rng(99).standard_normal((4000, persons))


def _critical(moves: list[Column]) -> float:
    """The multiplier bootstrap person by person, with normal numbers of our own."""
    u = np.stack(moves, axis=1)
    draws = _multipliers(len(u)) @ (u / np.sqrt((u**2).sum(axis=0)))
    return max(float(np.quantile(np.abs(draws).max(axis=1), LEVEL)), float(stats.norm.ppf(0.5 + LEVEL / 2)))


def _apart(made: dict[str, Any], pair: tuple[str, str], kind: str, *, z: float) -> tuple[float, float, float]:
    a, b = (made[c]["rate"](z) for c in pair)
    if kind == "ratio":
        a, b = (tuple(math.log(end) for end in rate) for rate in (a, b))
    u, v = (made[c]["u"] for c in pair)
    rho = float(u @ v) / math.sqrt(float(u @ u) * float(v @ v))
    x = min(made[c]["x"] for c in pair)
    rho = rho * x / (x + 5) if rho > 0 else rho
    down, up, base_down, base_up = a[0] - a[1], a[2] - a[0], b[0] - b[1], b[2] - b[0]
    low = a[0] - b[0] - math.sqrt(down**2 + base_up**2 - 2 * rho * down * base_up)
    high = a[0] - b[0] + math.sqrt(up**2 + base_down**2 - 2 * rho * up * base_down)
    ends = (a[0] - b[0], low, high)
    return tuple(math.exp(end) for end in ends) if kind == "ratio" else ends  # type: ignore[return-value]


def _down(x: float) -> float:
    return math.floor(x * 1e4 + 1e-9) / 1e4


def _up(x: float) -> float:
    return math.ceil(x * 1e4 - 1e-9) / 1e4


def _entry(ends: tuple[float, float, float], *, n: int | None, soft: bool) -> dict[str, Any]:
    value, low, high = (round(ends[0], 4), _down(ends[1]), _up(ends[2])) if soft else ends
    row = {"value": value, "low": low, "high": high, "level": LEVEL, "n": n}
    return row | {"method": METHOD, "step": 0.0, "events": None}


def _between(near: list[tuple[float, float, float]], *, n: int, soft: bool) -> dict[str, Any]:
    row = _entry(near[0], n=n, soft=soft)
    low, high = (sorted(ends[k] for ends in near) for k in (1, 2))
    kept = (_down, _up) if soft else (float, float)
    return row | {"low": Near(*low, shown=kept[0]), "high": Near(*high, shown=kept[1])}


def _bounds(name: str, ends: dict[str, Any], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    out = {}
    z = stats.norm.ppf(0.5 + LEVEL ** (1 / len(ends)) / 2)
    for group, own in ends.items():
        out[f"fairness.{name} / {group}"] = _row(own, z, least=0.0)
    z = stats.norm.ppf(0.5 + LEVEL ** (1 / len(pairs)) / 2)
    for group, base in pairs:
        a, b = ends[group], ends[base]
        apart = (a[0] - b[1], a[1] - b[0], a[2] - b[3], a[3] - b[2])
        out[f"fairness.{name}_difference / {group}"] = _row(apart, z, least=-1.0) | {"reference": base}
        if name == "selection_rate":
            out[f"fairness.impact_ratio / {group}"] = _impact(a, b, z) | {"reference": base}
    return out


def _row(ends: tuple[float, float, Column, Column], z: float, *, least: float) -> dict[str, Any]:
    low, high, moves, moves_up = ends
    wide = (max(least, low - z * math.sqrt(moves @ moves)), min(1.0, high + z * math.sqrt(moves_up @ moves_up)))
    rows = {"bounds": (low, high), "region": wide}
    shown = {"value": None, "n": None, "events": None, "level": LEVEL, "step": 0.0}
    return {key: shown | {"low": _down(a), "high": _up(b)} for key, (a, b) in rows.items()}


def _impact(a: Any, b: Any, z: float) -> dict[str, Any]:
    ends, wide = [a[0] / b[1], a[1] / b[0] if b[0] else None], []
    for k, sign in ((0, -1), (1, 1)):
        if ends[k]:
            moves = a[2 + k] / a[k] - b[3 - k] / b[1 - k]
            wide.append(ends[k] * math.exp(sign * z * math.sqrt(moves @ moves)))
        else:
            wide.append(ends[k])
    shown = {"value": None, "n": None, "events": None, "level": LEVEL, "step": 0.0}
    rows = {"bounds": ends, "region": wide}
    return {
        k: shown | {"low": _down(low), "high": None if high is None else _up(high)} for k, (low, high) in rows.items()
    }


def _ends(person: pd.Series, s: Column, known: Column, e: Column, t: Column) -> tuple[float, float, Column, Column]:
    """Bounds and their influence by person, bin by bin."""
    s, e, t, who = s[known], e[known], t[known], person.to_numpy()[known]
    wanted = min(20, len(s) // 50)
    ordered = np.sort(s)
    edges = sorted({ordered[math.floor((len(s) - 1) * k / wanted)] for k in range(1, wanted)})
    f = t - e
    most, least = np.zeros((2, len(s))), np.zeros((2, len(s)))
    for low, high in pairwise([-math.inf, *edges, math.inf]):
        inside = (s >= low) & (s < high)
        for k, x in enumerate((e, f)):
            most[k, inside] = s[inside] if s[inside].sum() <= x[inside].sum() else x[inside]
            if s[inside].sum() + x[inside].sum() > inside.sum():
                least[k, inside] = s[inside] + x[inside] - 1
    out: list[Any] = []
    for a, b in ((least[0], most[1]), (most[0], least[1])):
        total = a.sum() + b.sum()
        moves = pd.Series((a * b.sum() - b * a.sum()) / total**2).groupby(who).sum()
        everybody = moves.reindex(sorted(set(person)), fill_value=0.0).to_numpy()
        out.append((a.sum() / total, everybody))
    return out[0][0], out[1][0], out[0][1], out[1][1]
