"""The tests of every attribute again: permutation, z, Fisher, adjustment, what could be found, what is alike.

p-values by shuffling come from numpy's multivariate hypergeometric draws of the events alone, limits from scipy's
Wilson intervals; Fisher's p from the hypergeometric distribution, z as the root of Pearson's chi-squared.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from tests.policies.real.claims import Near, Says, by_key
from tests.policies.real.recompute_composites import Triple, expected_composites, logarithm, mover, rate
from tests.policies.real.recompute_data import (
    LEVEL,
    REPLICATES,
    Attribute,
    Floats,
    Ints,
    World,
)
from tests.policies.real.recompute_fairness import (
    MINIMUM_EVENTS,
    TEXT,
    Shown,
    cell_counts,
    closed_entry,
    gate,
    standing,
)
from tests.policies.real.recompute_model import Answers
from tests.policies.real.recompute_rates import entry, step_of

TESTED = ("selection_rate", "tpr", "fpr", "ppv", "npv", "accuracy", "base_rate")
POWER, MARGIN, RATIO, COARSE = 0.8, 0.05, (0.8, 1.25), 100
OWN_SHUFFLES, ERRORS = 40_000, 4.5
Counts = tuple[Ints, Ints, Any]


def add_inference(fairness: dict[str, Any], world: World, answers: Answers) -> None:
    """Put the composites and the tests of every attribute into the claimed part."""
    generator = np.random.default_rng(20_261_123)
    truth, decision = world.label("evaluation"), answers.decision["evaluation"]
    nobody = Attribute("", "", ("",), "", {"evaluation": np.zeros(len(truth), dtype=int)})
    fairness["tests"] = {}
    for attribute in (nobody, *world.attributes):
        codes = attribute.codes["evaluation"]
        shown = standing(cell_counts(codes, len(attribute.labels), truth, decision))
        fairness["measurements"] |= expected_composites(attribute, shown, generator)
        if attribute.name:
            fairness["tests"][attribute.name] = expected_tests(attribute, shown, generator)


def keyed_tests(tests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The result's tests under names instead of positions."""
    out = by_key(tests, "on")
    for part in out.values():
        part["gaps"] = by_key(part["gaps"], "measure")
        part["pairs"] = by_key(part["pairs"], "measure", "group")
    return out


def expected_tests(attribute: Attribute, shown: Shown, generator: np.random.Generator) -> dict[str, Any]:
    """One attribute's tests; gaps by measure, pairs by measure and group."""
    gates = {name: gate(shown, name) for name in TESTED}
    gaps = {f"fairness.{name}": _gap(attribute, shown, [gates[name]], generator) for name in TESTED}
    odds = _gap(attribute, shown, [gates["tpr"], gates["fpr"]], generator)
    pairs = {}
    for name in TESTED:
        pairs |= _pairs(attribute, shown, name, gates[name])
    return {
        "on": attribute.name, "reference": attribute.reference, "power": POWER, "margin": MARGIN,
        "ratio_low": RATIO[0], "ratio_high": RATIO[1], "pairs": pairs,
        "gaps": gaps | {"fairness.equalised_odds_difference": odds},
    }  # fmt: skip


def _gap(attribute: Attribute, shown: Shown, parts: list[Counts], generator: np.random.Generator) -> dict[str, Any]:
    every = [g for g in range(len(attribute.labels)) if all(usable[g] for _, _, usable in parts)]
    exact = [g for g in every if not shown.closed[g]]
    groups = exact if len(exact) > 1 else every
    met = int((shown.cells[:-1].sum(axis=1) > 0).sum())
    out = {"groups": len(groups), "left_out": met - len(groups), "withheld": TEXT}
    if len(groups) < 2:
        return out | {"p": None, "gap": entry(level=LEVEL, withheld=TEXT)}
    level = LEVEL ** (1 / len(parts))
    found = [_widest(events[groups], trials[groups], level, generator) for events, trials, _ in parts]
    gap = max(widest for widest, _, _ in found)
    events, trials, _ = parts[[widest for widest, _, _ in found].index(gap)]
    rates = events[groups] / trials[groups]
    ends = {"highest": groups[int(rates.argmax())], "lowest": groups[int(rates.argmin())]}
    out |= {name: attribute.labels[g] for name, g in ends.items()}
    shuffled = np.max([shuffles for _, _, shuffles in found], axis=0)
    low = min(gap, max(limits[0] for _, limits, _ in found))
    n = int(sum(trials[groups].sum() for _, trials, _ in parts))
    high = max(gap, *(limits[1] for _, limits, _ in found))
    estimate = entry(gap, low, high, level=LEVEL, n=n, method=Says(len(groups)), withheld=TEXT)
    closed = [g for g in groups if shown.closed[g]]
    if closed:
        steps = [step_of(int(trials[g])) for _, trials, _ in parts for g in closed]
        estimate = closed_entry(estimate, None if None in steps else max(s for s in steps if s), (0.0, 1.0), None)
    return out | {"gap": estimate, "p": _p(shuffled, gap, coarse=bool(closed)), "method": Says(REPLICATES, 1 / COARSE)}


def _p(shuffled: Floats, gap: float, *, coarse: bool) -> Near:
    """The share of shuffles at least as wide, up to both samples' error."""
    p = float((shuffled >= gap - 1e-12).mean())
    spread = max(p * (1 - p), 1 / REPLICATES)
    error = ERRORS * math.sqrt(spread * (1 / REPLICATES + 1 / OWN_SHUFFLES)) + 2 / REPLICATES
    ends = max(1 / (REPLICATES + 1), p - error), min(1.0, p + error)
    return Near(*ends, shown=(lambda x: math.ceil(x * COARSE - 1e-9) / COARSE) if coarse else float)


def _widest(
    events: Ints, trials: Ints, level: float, generator: np.random.Generator
) -> tuple[float, tuple[float, float], Floats]:
    """Widest gap, its limits from those of all pairs, and shuffled widest gaps."""
    rates = events / trials
    shuffled = generator.multivariate_hypergeometric(trials, int(events.sum()), size=OWN_SHUFFLES) / trials
    pairs = list(combinations(range(len(trials)), 2))
    own = [rate(int(e), int(n), level ** (1 / len(pairs))) for e, n in zip(events, trials, strict=True)]
    apart = [mover(own[a], own[b], -1) for a, b in pairs]
    low = max(max(0.0, low, -high) for _, low, high in apart)
    high = max(max(-low, high) for _, low, high in apart)
    return float(np.ptp(rates)), (low, high), np.ptp(shuffled, axis=1)


def _pairs(attribute: Attribute, shown: Shown, name: str, counts: Counts) -> dict[str, Any]:
    (events, trials, usable), base = counts, attribute.base
    groups = [g for g in range(len(attribute.labels)) if g != base]
    tested = [g for g in groups if usable[g] and usable[base]]
    fishers = {g: _fisher(events[[g, base]], trials[[g, base]]) for g in tested}
    out = {}
    for g in groups:
        found: dict[str, Any] = {"measure": f"fairness.{name}", "group": attribute.labels[g], "withheld": TEXT}
        nothing = entry(level=_tost(), withheld=TEXT)
        none = dict.fromkeys(("n", "reference_n", "z_p", "fisher_p", "adjusted_p", "detectable"))
        row = found | none | {"difference": nothing, "ratio": nothing, "within_margin": None, "within_ratio": None}
        if g in tested:
            row |= _pair(g, counts, base, shown=shown, fisher=fishers[g], family=len(tested))
        out[f"fairness.{name} / {attribute.labels[g]}"] = row
    return out


def _pair(g: int, counts: Counts, base: int, *, shown: Shown, fisher: Near, family: int) -> dict[str, Any]:
    (events, trials, _), closed = counts, [h for h in (g, base) if shown.closed[h]]
    row: dict[str, Any] = {"detectable": _detectable(g, counts, base, closed, family)}
    if not closed:
        adjusted = Near(*(1 - (1 - p) ** family if p > 1e-9 else p * family for p in (fisher.low, fisher.high)))
        row |= {
            "n": int(trials[g]), "reference_n": int(trials[base]), "fisher_p": fisher, "adjusted_p": adjusted,
            "z_p": _pearson(events[[g, base]], trials[[g, base]]),
        }  # fmt: skip
    own, other = (rate(int(events[h]), int(trials[h]), _tost()) for h in (g, base))
    enough = min(events[g], events[base]) >= MINIMUM_EVENTS
    steps = [step_of(int(trials[h])) if shown.closed[h] else 0.0 for h in (g, base)]
    n = int(trials[g] + trials[base])
    apart = _estimate(mover(own, other, -1), n)
    times = (
        _estimate(tuple(map(math.exp, mover(logarithm(own), logarithm(other), -1))), n)
        if enough
        else _estimate(None, n)
    )
    if closed:
        known = None not in steps
        apart = closed_entry(apart, max(steps) if known else None, (-1.0, 1.0), None)
        step = None
        if known and enough:
            width = max(steps[0], own[0] / other[0] * steps[1]) / other[0]
            step = next((s for s in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if s >= width - 1e-12), None)
        times = closed_entry(times, step, (0.0, math.inf), None)
    return row | {
        "difference": apart, "ratio": times, "within_margin": _within(apart, -MARGIN, MARGIN),
        "within_ratio": _within(times, *RATIO),
    }  # fmt: skip


def _estimate(triple: Triple | None, n: int) -> dict[str, Any]:
    if triple is None:
        return entry(level=_tost(), withheld=TEXT)
    return entry(*triple, level=_tost(), n=n, withheld=TEXT)


def _within(found: dict[str, Any], low: float, high: float) -> bool | None:
    ends = [found["low"], found["high"]]
    if None in ends:
        return None
    ends = [end.shown(end.low) if isinstance(end, Near) else end for end in ends]
    return low <= ends[0] and ends[1] <= high


def _tost() -> float:
    return round(1 - 2 * (1 - LEVEL), 12)


def _fisher(events: Ints, trials: Ints) -> Near:
    """Sum of the probabilities of all tables as probable as the observed one or less."""
    total, hits = int(trials.sum()), int(events.sum())
    x = np.arange(max(0, hits - int(trials[1])), min(hits, int(trials[0])) + 1)
    logs = stats.hypergeom.logpmf(x, total, hits, int(trials[0]))
    observed = stats.hypergeom.logpmf(int(events[0]), total, hits, int(trials[0]))
    p = float(min(1.0, np.exp(logs[logs <= observed + 1e-7]).sum()))
    return Near(p * (1 - 1e-6), min(1.0, p * (1 + 1e-6)))


def _pearson(events: Ints, trials: Ints) -> Near | None:
    table = np.stack([events, trials - events])
    if not table.sum(axis=1).all():
        return None
    p = float(stats.chi2_contingency(table, correction=False).pvalue)
    return Near(p * (1 - 1e-6), p * (1 + 1e-6))


def _detectable(g: int, counts: Counts, base: int, closed: list[int], family: int) -> float | Near | None:
    """On the arcsine scale, the larger of what can be found below and above the reference's rate."""
    events, trials, _ = counts
    p = events[base] / trials[base]
    z = stats.norm.isf((1 - LEVEL ** (1 / family)) / 2) + stats.norm.ppf(POWER)
    h = z * math.sqrt(1 / trials[g] + 1 / trials[base])
    phi = 2 * math.asin(math.sqrt(p))
    sides = [abs(math.sin((phi + s * h) / 2) ** 2 - p) for s in (-1, 1) if 0 <= phi + s * h <= math.pi]
    if not sides:
        return None
    if not closed:
        return max(sides)
    steps = [step_of(int(trials[h])) for h in closed]
    if None in steps:
        return None
    step = max(s for s in steps if s)
    return round(math.ceil(max(sides) / step - 1e-9) * step, 6)
