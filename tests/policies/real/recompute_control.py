"""Conditional parity again: pandas' counts by stratum, the pooled figures by sums written out stratum by stratum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_composites import mover, rate
from tests.policies.real.recompute_data import LEVEL, Attribute, Ints, World
from tests.policies.real.recompute_fairness import (
    TEXT,
    Shown,
    cell_counts,
    closed_entry,
    gate,
    standing,
)
from tests.policies.real.recompute_model import Answers
from tests.policies.real.recompute_rates import entry, step_of, wilson_limits

Four = tuple[int, int, int, int]
"""Events and records of the group, then of the reference."""


def add_conditional(fairness: dict[str, Any], world: World, answers: Answers) -> None:
    """Put every attribute within every control column into the claimed part."""
    fairness["conditional"] = {}
    truth, decision = world.label("evaluation"), answers.decision["evaluation"]
    for control in world.policy.get("fairness", {}).get("control", []):
        values = world.frames["evaluation"][control].astype(str)
        names = sorted(values.unique())
        strata = pd.Index(names).get_indexer(values)
        for attribute in world.attributes:
            codes = attribute.codes["evaluation"]
            shown = standing(cell_counts(codes, len(attribute.labels), truth, decision))
            crossed = np.where(codes < 0, -1, codes * len(names) + strata)
            table = cell_counts(crossed, len(attribute.labels) * len(names), truth, decision)
            fairness["conditional"] |= _of(attribute, control, names, shown, table)


def keyed_conditional(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The result's rows under names instead of positions."""
    return {f"{row['on']} / {row['control']} / {row['group']}": row for row in rows}


def _of(attribute: Attribute, control: str, names: list[str], shown: Shown, table: Ints) -> dict[str, Any]:
    base, width = attribute.base, len(names)
    crossed = _crossed(attribute, width, table)
    usable = [bool(shown.assessed[g]) and not shown.closed[g] for g in range(len(attribute.labels))]
    others = [g for g in range(len(attribute.labels)) if g != base]
    level = LEVEL ** (1 / max(1, sum(usable[g] and usable[base] for g in others)))
    out = {}
    for g in others:
        key = f"{attribute.name} / {control} / {attribute.labels[g]}"
        nothing = entry(level=LEVEL, withheld=TEXT)
        row = {
            "on": attribute.name,
            "control": control,
            "group": attribute.labels[g],
            "words": Says(names=attribute.labels),
        }
        out[key] = row | {"crude": nothing, "adjusted": nothing, "odds_ratio": nothing, "strata": []}
        if usable[g] and usable[base]:
            cells = [_four(table[g * width + k], table[base * width + k]) for k in range(width)]
            out[key] |= _row([four for four in cells if four[1] and four[3]], cells, level)
            out[key]["strata"] = [
                {"stratum": name, "group_rate": crossed[g * width + k], "reference_rate": crossed[base * width + k]}
                for k, name in enumerate(names)
            ]
    return out


def _four(own: Ints, base: Ints) -> Four:
    return int(own[[1, 3]].sum()), int(own.sum()), int(base[[1, 3]].sum()), int(base.sum())


def _row(used: list[Four], every: list[Four], level: float) -> dict[str, Any]:
    x1, n1, x0, n0 = (sum(column) for column in zip(*every, strict=True))
    n = sum(four[1] + four[3] for four in used)
    z = float(stats.norm.ppf(0.5 + level / 2))
    crude = mover(rate(x1, n1, level), rate(x0, n0, level), -1)
    odds = _odds(used, z)
    return {
        "strata_used": len(used), "unknown": 0, "cmh_p": _near(_cmh(used)),
        "heterogeneity_p": _near(_uneven(used, odds[0])),
        "crude": entry(*crude, level=LEVEL, n=n1 + n0, withheld=TEXT),
        "adjusted": entry(*_difference(used, z), level=LEVEL, n=n, withheld=TEXT),
        "odds_ratio": entry(*odds, level=LEVEL, n=n, withheld=TEXT),
    }  # fmt: skip


def _near(p: float) -> Near:
    return Near(p * (1 - 1e-6), p * (1 + 1e-6))


def _odds(used: list[Four], z: float) -> tuple[float, float, float]:
    r = s = pr = mixed = qs = 0.0
    for x1, n1, x0, n0 in used:
        n, a, b, c, d = n1 + n0, x1, n1 - x1, x0, n0 - x0
        r, s = r + a * d / n, s + b * c / n
        pr += (a + d) * a * d / n**2
        qs += (b + c) * b * c / n**2
        mixed += ((a + d) * b * c + (b + c) * a * d) / n**2
    half = z * math.sqrt(pr / (2 * r * r) + mixed / (2 * r * s) + qs / (2 * s * s))
    return r / s, math.exp(math.log(r / s) - half), math.exp(math.log(r / s) + half)


def _difference(used: list[Four], z: float) -> tuple[float, float, float]:
    weight = value = p = q = 0.0
    for x1, n1, x0, n0 in used:
        n = n1 + n0
        weight += n1 * n0 / n
        value += (x1 / n1 - x0 / n0) * n1 * n0 / n
        p += (n1**2 * x0 - n0**2 * x1 + n1 * n0 * (n0 - n1) / 2) / n**2
        q += (x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * n)
    value /= weight
    half = z * math.sqrt(value * p + q) / weight
    return value, max(-1.0, value - half), min(1.0, value + half)


def _cmh(used: list[Four]) -> float:
    laws = [(x1, stats.hypergeom(n1 + n0, x1 + x0, n1)) for x1, n1, x0, n0 in used]
    excess, spread = sum(x - law.mean() for x, law in laws), sum(law.var() for _, law in laws)
    return float(stats.chi2.sf(excess**2 / spread, 1))


def _uneven(used: list[Four], ratio: float) -> float:
    """Breslow and Day, the fitted cells found by bisection."""
    total = excess = spread = 0.0
    for x1, n1, x0, n0 in used:
        t = x1 + x0
        ends = max(0.0, t - n0) + 1e-12, min(n1, t) - 1e-12

        def off(e: float, n1: int = n1, n0: int = n0, t: int = t) -> float:
            return e * (n0 - t + e) - ratio * (n1 - e) * (t - e)

        e = float(optimize.brentq(off, *ends, xtol=1e-12))
        v = 1 / (1 / e + 1 / (n1 - e) + 1 / (t - e) + 1 / (n0 - t + e))
        total, excess, spread = total + (x1 - e) ** 2 / v, excess + x1 - e, spread + v
    return float(stats.chi2.sf(total - excess**2 / spread, len(used) - 1))


def _crossed(attribute: Attribute, width: int, table: Ints) -> list[dict[str, Any]]:
    """Selection rates of every group in every stratum, closed along the whole and along each group."""
    each = np.arange(len(table) - 1).reshape(len(attribute.labels), width)
    lines = [np.arange(len(table)), *each, *each.T]
    shown = standing(table, lines)
    events, trials, estimable = gate(shown, "selection_rate")
    level = LEVEL ** (1 / max(1, int(estimable.sum())))
    out = []
    for e, n, good, closed, hidden in zip(events, trials, estimable, shown.closed[:-1], shown.hidden[:-1], strict=True):
        found = entry(level=LEVEL, withheld=TEXT)
        if good:
            limits = wilson_limits(int(e), int(n), level)
            found = entry(
                int(e) / int(n), *limits, level=LEVEL, n=int(n), events=int(e), method=Says(int(estimable.sum()))
            )
        if closed:
            found = closed_entry(found, step_of(int(n)), (0.0, 1.0), int(n) if not hidden else None)
        out.append(found)
    return out
