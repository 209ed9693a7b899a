"""The fairness part from pandas' counts: rates, comparisons, who may be shown and on which grid.

Disclosure follows the three rules that `auditkit.fairness.disclosure` states, written again here for data without
persons and without intersections; intervals of comparisons come from a bootstrap of this test's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_bootstrap import Limits, added, simultaneous
from tests.policies.real.recompute_data import (
    LEVEL,
    MINIMUM_CELL,
    MINIMUM_DENOMINATOR,
    MINIMUM_GROUP,
    REPLICATES,
    Attribute,
    Floats,
    Ints,
    Mask,
    World,
)
from tests.policies.real.recompute_model import Answers
from tests.policies.real.recompute_rates import STEPS, entry, step_of, wilson_limits

# Positions of TN, FP, FN, TP: events, then trials.
METRICS: dict[str, tuple[list[int], list[int]]] = {
    "selection_rate": ([1, 3], [0, 1, 2, 3]),
    "tpr": ([3], [2, 3]),
    "fpr": ([1], [0, 1]),
    "fnr": ([2], [2, 3]),
    "tnr": ([0], [0, 1]),
    "ppv": ([3], [1, 3]),
    "accuracy": ([0, 3], [0, 1, 2, 3]),
    "npv": ([0], [0, 2]),
    "fdr": ([1], [1, 3]),
    "for": ([2], [0, 2]),
    "base_rate": ([2, 3], [0, 1, 2, 3]),
}
MINIMUM_EVENTS = 5
FIRM_EVENTS = 10
TEXT = Says(MINIMUM_CELL, MINIMUM_GROUP, MINIMUM_DENOMINATOR, MINIMUM_EVENTS, FIRM_EVENTS, 0)


@dataclass(frozen=True)
class Shown:
    """What may be said of each group; the last position is unknown membership."""

    cells: Ints
    """[G + 1, 4] TN, FP, FN, TP."""
    assessed: Mask
    hidden: Mask
    closed: Mask


def cell_counts(codes: Ints, groups: int, truth: Floats, decision: Floats) -> Ints:
    """[G + 1, 4] records per group, truth and decision; the last row is unknown membership."""
    cells = np.zeros((groups + 1, 4), dtype=int)
    np.add.at(cells, (np.where(codes < 0, groups, codes), (2 * truth + decision).astype(int)), 1)
    return cells


def standing(cells: Ints, lines: list[Ints] | None = None) -> Shown:
    """Rules 1 to 3 along the lines whose sums are published: where none is given, all groups and the unknown."""
    along = [np.arange(len(cells))] if lines is None else lines
    sizes = cells.sum(axis=1)
    assessed = sizes >= MINIMUM_GROUP
    assessed[-1] = False
    few = (sizes > 0) & (sizes < MINIMUM_CELL)
    hidden = _completed(few, few, sizes, along)
    exposed = ~assessed | hidden | ((sizes > 0) & (cells.min(axis=1) < MINIMUM_CELL))
    guarded = exposed.copy()
    guarded[-1] = False
    return Shown(cells, assessed[:-1], hidden, _completed(exposed, guarded, sizes, along))


def _completed(withheld: Mask, guarded: Mask, sizes: Ints, along: list[Ints]) -> Mask:
    """Withhold a line's smallest shown group while its others withheld hold fewer persons than the minimum cell."""
    out = withheld & (sizes > 0)
    while True:
        before = int(out.sum())
        for line in along:
            open_, inside = line[~out[line] & (sizes[line] > 0)], sizes[line[(out & guarded)[line]]]
            if inside.size and open_.size and sizes[line[out[line]]].sum() - inside.max() < MINIMUM_CELL:
                out[open_[np.argmin(sizes[open_])]] = True
        if int(out.sum()) == before:
            return out


def on_grid(step: float, bounds: tuple[float, float]) -> dict[str, Any]:
    """The rules by which value, low and high of a closed group are printed: to the step, limits outwards."""

    def clean(steps: float) -> float:
        return min(max(round(steps * step, 6), bounds[0]), bounds[1])

    return {
        "value": lambda x: clean(round(x / step)),
        "low": lambda x: clean(math.floor(x / step + 1e-9)),
        "high": lambda x: clean(math.ceil(x / step - 1e-9)),
    }


def closed_entry(
    found: dict[str, Any], step: float | None, bounds: tuple[float, float], n: int | None
) -> dict[str, Any]:
    """An entry of a closed group: rounded and without its counts, or withheld where no step is wide enough."""
    if found["value"] is None:
        return found
    if step is None:
        return entry(level=found["level"], withheld=TEXT)
    rounding = on_grid(step, bounds)
    limits = {}
    for name, shown in rounding.items():
        claim = found[name]
        ends = (claim.low, claim.high) if isinstance(claim, Near) else (claim, claim)
        limits[name] = None if claim is None else Near(*ends, shown=shown)
    return found | limits | {"n": n, "events": None, "step": step}


def expected_fairness(world: World, answers: Answers, generator: np.random.Generator) -> dict[str, Any]:
    """The part `fairness`, its rows keyed as `test_…` keys those of the result."""
    truth, decision = world.label("evaluation"), answers.decision["evaluation"]
    nobody = Attribute("", "", ("",), "", {"evaluation": np.zeros(len(truth), dtype=int)})
    rows, groups, notes = {}, {}, []
    for attribute in (nobody, *world.attributes):
        codes = attribute.codes["evaluation"]
        shown = standing(cell_counts(codes, len(attribute.labels), truth, decision))
        rows |= _rates(attribute, shown)
        if attribute.name:
            rows |= _comparisons(attribute, shown, generator)
            groups |= _groups(attribute, shown)
            unknown = int(shown.cells[-1].sum())
            if unknown:
                share = math.ceil(unknown / MINIMUM_CELL) * MINIMUM_CELL / len(truth)
                notes.append(Says(share if shown.hidden[-1] else unknown))
    return {"measurements": rows, "groups": groups, "notes": notes}


def _groups(attribute: Attribute, shown: Shown) -> dict[str, Any]:
    total, out = int(shown.cells.sum()), {}
    for k, label in enumerate((*attribute.labels, "unknown")):
        n, hidden = int(shown.cells[k].sum()), bool(shown.hidden[k])
        share = None if hidden else n / total
        if hidden and label == "unknown":
            share = min(1.0, math.ceil(n / MINIMUM_CELL) * MINIMUM_CELL / total)
        out[f"{attribute.name} / {label}"] = {
            "n": None if hidden else n, "share": share, "persons": None, "reason": TEXT,
            "on": attribute.name, "group": label,
        }  # fmt: skip
    return out


def gate(shown: Shown, metric: str) -> tuple[Ints, Ints, Mask]:
    """Events [G], trials [G] and whether the rate may be estimated."""
    events, trials = (shown.cells[:-1][:, part].sum(axis=1) for part in METRICS[metric])
    return events, trials, shown.assessed & (trials >= max(MINIMUM_DENOMINATOR, MINIMUM_CELL))


def _rates(attribute: Attribute, shown: Shown) -> dict[str, Any]:
    out = {}
    for metric in METRICS:
        events, trials, estimable = gate(shown, metric)
        family = max(1, int(estimable.sum()))
        for g, label in enumerate(attribute.labels):
            e, n = int(events[g]), int(trials[g])
            found = entry(level=LEVEL, withheld=TEXT)
            if estimable[g]:
                limits = wilson_limits(e, n, LEVEL ** (1 / family))
                found = entry(e / n, *limits, level=LEVEL, n=n, events=e, method=Says(family))
            if shown.closed[g]:
                whole = n == int(shown.cells[g].sum()) and not shown.hidden[g]
                found = closed_entry(found, step_of(n), (0.0, 1.0), n if whole else None)
            out[key(f"fairness.{metric}", attribute.name, label)] = row(found, step_of(n))
    return out


def _comparisons(attribute: Attribute, shown: Shown, generator: np.random.Generator) -> dict[str, Any]:
    out, base = {}, attribute.base
    for metric in METRICS:
        events, trials, estimable = gate(shown, metric)
        compared = [g for g in np.flatnonzero(estimable) if g != base] if estimable[base] else []
        enough = [g for g in compared if min(events[g], events[base]) >= MINIMUM_EVENTS]
        draw = {"events": events, "trials": trials, "base": base, "level": LEVEL, "replicates": REPLICATES,
                "extra": added(LEVEL, len(compared)), "generator": generator}  # fmt: skip
        apart = simultaneous(**draw, family=compared, ratio=False)
        times = simultaneous(**draw, family=enough, ratio=True)
        times = {g: _at_least_closed(own, events, trials, (g, base), len(enough)) for g, own in times.items()}
        for g, label in enumerate(attribute.labels):
            if g == base:
                continue
            pair = _pair(int(g), events, trials, g in compared, (apart.get(g), times.get(g)), base=base)
            pair = _released(pair, int(g), trials, events, shown=shown, base=base)
            families = (len(compared), len(enough))
            names = [(f"fairness.{metric}_difference", 0), (f"fairness.{metric}_ratio", 1)]
            names += [("fairness.impact_ratio", 1)] if metric == "selection_rate" else []
            for name, which in names:
                line = row(pair[which], *STEPS)
                if pair[which]["value"] is not None:
                    line["estimate"]["method"] = Says(REPLICATES, families[which], FIRM_EVENTS)
                out[key(name, attribute.name, label)] = line
    return out


def _at_least_closed(
    own: Limits, events: Ints, trials: Ints, pair: tuple[int, int], family: int
) -> Limits:  # fmt: skip
    """Where either side has under ten events, no narrower than the closed form: exp of Wilson's limits recovered."""
    if min(events[list(pair)]) >= FIRM_EVENTS:
        return own
    centre, ends = [], []
    for k in pair:
        limits = wilson_limits(int(events[k]), int(trials[k]), LEVEL ** (1 / family))
        centre.append(math.log(events[k] / trials[k]))
        ends.append([math.log(limit) for limit in limits])
    below = math.hypot(centre[0] - ends[0][0], ends[1][1] - centre[1])
    above = math.hypot(ends[0][1] - centre[0], centre[1] - ends[1][0])
    low, high = math.exp(centre[0] - centre[1] - below), math.exp(centre[0] - centre[1] + above)
    return Limits(
        Near(min(own.low.low, low), min(own.low.high, low)), Near(max(own.high.low, high), max(own.high.high, high))
    )


def _pair(
    g: int, events: Ints, trials: Ints, compared: bool, limits: tuple[Limits | None, Limits | None], *, base: int
) -> list[dict[str, Any]]:
    """Difference and ratio of one group, before disclosure."""
    if not compared:
        return [entry(level=LEVEL, withheld=TEXT) for _ in range(2)]
    own, other, n = events[g] / trials[g], events[base] / trials[base], int(trials[g] + trials[base])
    values = (float(own - other), float(own / other) if other > 0 else None)
    out = []
    for value, limit in zip(values, limits, strict=True):
        low, high = (None, None) if limit is None else (limit.low, limit.high)
        out.append(entry(value, low, high, level=LEVEL, n=n, withheld=TEXT))
    return out


def _released(
    pair: list[dict[str, Any]], g: int, trials: Ints, events: Ints, *, shown: Shown, base: int
) -> list[dict[str, Any]]:
    """Both comparisons on the coarser of the two groups' grids, where either is closed."""
    if not (shown.closed[g] or shown.closed[base]):
        return pair
    steps = [step_of(int(trials[k])) if shown.closed[k] else 0.0 for k in (g, base)]
    known = None not in steps
    ratio_step = None
    if known and events[base] and pair[1]["value"] is not None:
        width = max(steps[0], pair[1]["value"] * steps[1]) / (events[base] / trials[base])
        ratio_step = next((step for step in STEPS if step >= width - 1e-12), None)
    difference = closed_entry(pair[0], max(steps) if known else None, (-1.0, 1.0), None)
    return [difference, closed_entry(pair[1], ratio_step, (0.0, math.inf), None)]


def row(found: dict[str, Any], *steps: float | None) -> dict[str, Any]:
    """One measurement; however many caveats it has, their figures are the minimum cell and these steps."""
    return {"estimate": dict(found), "parts": Says(MINIMUM_CELL, *steps)}


def key(measure: str, on: str, group: str) -> str:
    return f"{measure} / {on} / {group}"
