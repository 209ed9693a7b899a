"""What every row of an OutcomePart ought to say, from the records alone; `recompute` holds the statistics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tests.fairness.outcomes import recompute as own
from tests.fairness.outcomes.recompute import LEVEL, RATE_STEPS, Floats, M, World
from tests.policies.real.claims import Near, Says

METRICS = {
    "classes": [("accuracy", 0), ("macro_recall", 0), ("macro_precision", 0), ("assigned", 1), ("recall", 1),
                ("false_positive", 1), ("precision", 1)],
    "number": [("mean_error", 0), ("absolute_error", 0), ("overestimated", 0), ("error_quantile", 1)],
    "ranking": [("exposure", 0), ("exposure_per_merit", 0), ("top_share", 1)],
}  # fmt: skip
"""Metric and whether there is one of it a version."""
MEANS = {"mean_error", "absolute_error", "exposure", "exposure_per_merit"}
SIZES = MEANS - {"mean_error"}
RATIOS = {"assigned", "absolute_error", "exposure", "exposure_per_merit", "top_share"}


def keyed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows under what they are about."""
    named = {"/".join(str(row[k]) for k in ("metric", "of", "on", "group", "comparison")): row for row in rows}
    assert len(named) == len(rows)
    return named


def expected(world: World) -> dict[str, Any]:
    """Every row, claimed."""
    places = [*([""] if world.kind != "ranking" else []), *world.attributes]
    return keyed([row for on in places for row in _of_attribute(world, on)])


def _named(world: World, versioned: int) -> list[tuple[str, Any]]:
    if not versioned:
        return [("", None)]
    if world.kind == "classes":
        return [(c, c) for c in world.versions]
    if world.kind == "number":
        return [(f"{q:g}", q) for q in world.versions]
    return [(f"first {100 * k:g} %" if k < 1 else f"first {k:g}", k) for k in world.versions]


def _of_attribute(world: World, on: str) -> Iterator[dict[str, Any]]:
    labels, reference = world.attributes[on] if on else ([""], "")
    member = {g: world.frame[on] == g if on else pd.Series(True, index=world.frame.index) for g in labels}
    closed = _closed(world, member)
    merited = world.frame["truth"].notna().any()
    for metric, versioned in METRICS[world.kind]:
        if "merit" in metric and not merited:
            continue
        for of, version in _named(world, versioned):
            family = _Family(
                world, on, member, closed=closed, reference=reference, metric=metric, of=of, version=version
            )
            yield from family.rows()


def _people(frame: pd.DataFrame) -> int:
    return int(frame["person"].nunique())


def _cells(world: World) -> list[pd.Series]:
    """Masks over the known records whose sizes the figures give away."""
    known = world.known()
    t, p = known["truth"], known["prediction"]
    if world.kind == "classes":
        return [a & b for c in world.versions for a in (t == c, t != c) for b in (p == c, p != c)]
    if world.kind == "number":
        return [p > t, p < t]
    chances = [pd.Series(own.inside(known, k), index=known.index) for k in world.versions]
    merit = sorted(t.dropna().unique())
    return [*(c > 0 for c in chances), *(c < 1 for c in chances), *((t == v for v in merit) if len(merit) <= 2 else ())]


def _closed(world: World, member: dict[str, pd.Series]) -> set[str]:
    """Groups of which nothing is exact; the last step keeps a closed group from being the rest of a published whole."""
    known, out = world.known(), set()
    for group, inside in member.items():
        mine = known[inside[known.index]]
        left = _people(world.frame[inside & ~world.frame.index.isin(known.index)])
        few = [_people(mine[cell[mine.index]]) < M for cell in _cells(world)]
        if world.kind == "number":
            sums = (mine["weight"] * (mine["prediction"] - mine["truth"]).abs()).groupby(mine["person"]).sum()
            first = np.sort(sums)[::-1]
            few.append(first[2:].sum() < 0.15 * first[0])
        without = _people(mine[mine["truth"].isna()]) if world.kind == "ranking" else 0
        if any(few) or 0 < left < M or 0 < without < M:
            out.add(group)
    sizes = {g: _people(known[inside[known.index]]) for g, inside in member.items()}
    unknown = _people(known[~np.logical_or.reduce([m[known.index] for m in member.values()])])
    while out and set(member) - out and sum(sizes[g] for g in out) + unknown - max(sizes[g] for g in out) < M:
        out.add(min(set(member) - out, key=lambda g: sizes[g]))
    return out


class _Family:
    """A version of a metric on an attribute; every group of the test's data is large enough to be assessed."""

    def __init__(
        self, world: World, on: str, member: dict[str, pd.Series], *, closed: set[str], reference: str, metric: str,
        of: str, version: Any,
    ) -> None:  # fmt: skip
        self.on, self.closed, self.reference = on, closed, reference
        self.metric, self.of, self.version, self.world = metric, of, version, world
        self.ratios, known = own.ratios(world, metric, version)
        self.at = {g: inside[known.index].to_numpy() for g, inside in member.items()}
        self.w, self.unit = known["weight"].to_numpy(dtype=float), known["unit"].to_numpy()
        self.person = known["person"].to_numpy()
        self.others = [g for g in member if g != reference]
        self.steps: dict[str, float | None] = {}

    def parts(self, group: str) -> list[tuple[Floats, Floats]]:
        return [(a[self.at[group]], b[self.at[group]]) for a, b in self.ratios]

    def rows(self) -> Iterator[dict[str, Any]]:
        found, bounds = self._own(), (0.0, 1.0) if self._rate else (-math.inf, math.inf)
        self.found = found
        self.steps = {g: self._step(g, found[g]) for g in self.at}
        for g, estimate in found.items():
            yield self._row(g, "", estimate, self.steps[g], bounds)
        for kind in ("difference", "ratio") if self.on else ():
            if (kind == "ratio" and self.metric not in RATIOS) or (kind == "difference" and "merit" in self.metric):
                continue
            for g, estimate in self._against(kind).items():
                low = 0.0 if kind == "ratio" else -1.0 if self._rate else -math.inf
                high = 1.0 if self._rate and kind == "difference" else math.inf
                yield self._row(g, kind, estimate, self._joined(g, kind), (low, high))

    @property
    def _rate(self) -> bool:
        return self.metric not in MEANS and self.metric != "error_quantile"

    def _own(self) -> dict[str, Any]:
        z = own.z_of(len(self.at))
        if self.metric == "error_quantile":
            return {g: self._quantile(g, z) for g in self.at}
        if self._rate:
            return {g: own.rate_limits(self.parts(g), self.w[self.at[g]], self.unit[self.at[g]], z) for g in self.at}
        drawn = self._drawn
        logs = self.metric in SIZES
        scaled = {g: _log(x) if logs else x for g, x in drawn.items()}
        c = own.largest_t([(t - v) / e for v, _, t, e in scaled.values()])
        return {g: _bootstrap(v, c * e, logs=logs) for g, (v, e, _, _) in scaled.items()}

    @cached_property
    def _drawn(self) -> dict[str, Any]:
        ((a, b),) = self.ratios
        return own.multinomial({g: (self.w[i] * a[i], self.w[i] * b[i], self.unit[i]) for g, i in self.at.items()})

    def _quantile(self, g: str, z: float) -> Any:
        ((error, _),) = self.parts(g)
        found = own.quantile_limits(error, self.w[self.at[g]], self.unit[self.at[g]], self.version, z)
        assert found is not None, "the test's groups are large enough for limits of every quantile"
        return found

    def _against(self, kind: str) -> dict[str, Any]:
        z = own.z_of(max(1, len(self.others)))
        if self.metric == "error_quantile":
            base = self._quantile(self.reference, z)
            return {g: _mover(self._quantile(g, z), base) for g in self.others}
        if self._rate:
            limits = {
                g: own.rate_limits(self.parts(g), self.w[i], self.unit[i], z) for g, i in self.at.items()
            }
            events = {g: min(own.effective(a, b, self.w[i], self.unit[i])[1]
                             * own.effective(a, b, self.w[i], self.unit[i])[0] for a, b in self.parts(g))
                      for g, i in self.at.items()}  # fmt: skip
            assert kind == "difference" or min(events.values()) >= 5, "the test's groups have events enough"
            return {g: own.against(limits[g], limits[self.reference], logs=kind == "ratio") for g in self.others}
        logs = kind == "ratio"
        scaled = {g: _log(x) if logs else x for g, x in self._drawn.items()}
        v0, e0, t0, s0 = scaled[self.reference]
        statistics = [(t - t0 - (v - v0)) / np.hypot(s, s0)
                      for g, (v, _, t, s) in scaled.items() if g != self.reference]  # fmt: skip
        c = own.largest_t(statistics)
        return {g: _bootstrap(scaled[g][0] - v0, c * math.hypot(scaled[g][1], e0), logs=logs) for g in self.others}

    def _step(self, g: str, estimate: Any) -> float | None:
        """The rounding step: by persons in the denominator, by what one record moves, or by persons near a quantile."""
        i = self.at[g]
        if self.metric == "error_quantile":
            return _near(self.parts(g)[0][0], self.person[i], [float(x) for x in estimate[:3]])
        if g not in self.closed:
            return 0.0
        if self._rate:
            trials = min(pd.Series(self.person[i][b > 0]).nunique() for _, b in self.parts(g))
            return next((step for step in RATE_STEPS if step * trials >= M / 2), None)
        ((a, b),) = self.parts(g)
        w = self.w[i] * i.sum() / self.w[i].sum()
        width = M / 2 * float(np.std(w * a - (w * a).sum() / (w * b).sum() * w * b)) / i.sum()
        if self.world.kind == "number":
            sums = pd.Series(self.w[i] * np.abs(a)).groupby(self.person[i]).sum()
            width = max(width, 0.3 * sums.max() / self.w[i].sum())
        return _nice(width)

    def _joined(self, g: str, kind: str) -> float | None:
        one, base = self.steps[g], self.steps[self.reference]
        assert one is not None and base is not None
        if kind == "difference" or one + base == 0:
            return max(one, base)
        under = _middle(self.found[self.reference][0])
        width = max(one, _middle(self.found[g][0]) / under * base) / under
        return next((step for step in RATE_STEPS if step >= width - 1e-12), None)

    def _row(self, g: str, kind: str, estimate: Any, step: float | None, bounds: tuple[float, float]) -> dict[str, Any]:
        groups = {g, self.reference} if kind else {g}
        shut, family = bool(groups & self.closed), len(self.others) if kind else len(self.at)
        n = int(np.any([b > 0 for _, b in self.parts(g)], axis=0).sum())
        value, low, high = estimate[:3]
        told: dict[str, Any] = {"value": value, "low": low, "high": high, "level": LEVEL, "n": None if shut else n,
                                "events": None, "step": step, "method": Says(family), "withheld": ""}  # fmt: skip
        if step is None:
            told |= {"value": None, "low": None, "high": None, "n": None, "step": 0.0, "withheld": Says(M)}
        elif step:
            told |= {name: _rounded(told[name], step, how, bounds) for name, how in
                     (("value", round), ("low", _down), ("high", _up))}  # fmt: skip
        return {
            "metric": self.metric, "of": self.of, "on": self.on, "group": g, "comparison": kind, "estimate": told,
            "parts": Says(step, M),
        }  # fmt: skip


def _log(found: Any) -> Any:
    value, error, drawn, errors = found
    return math.log(value), error / value, np.log(drawn), errors / drawn


def _bootstrap(value: float, half: float, *, logs: bool) -> tuple[float, Near, Near]:
    """The value exactly, its limits to 8 % of the half width."""
    ends = [(value + sign * half - 0.08 * half, value + sign * half + 0.08 * half) for sign in (-1, 1)]
    if logs:
        value, ends = math.exp(value), [(math.exp(a), math.exp(b)) for a, b in ends]
    return value, Near(*ends[0]), Near(*ends[1])


def _mover(one: Any, base: Any) -> tuple[float, float, float]:
    value = one[0] - base[0]
    below = math.hypot(one[0] - one[1], base[2] - base[0])
    return value, value - below, value + math.hypot(one[2] - one[0], base[0] - base[1])


def _middle(value: Any) -> float:
    return (value.low + value.high) / 2 if isinstance(value, Near) else float(value)


def _down(x: float) -> int:
    return math.floor(x + 1e-9)


def _up(x: float) -> int:
    return math.ceil(x - 1e-9)


def _rounded(value: Any, step: float, how: Any, bounds: tuple[float, float]) -> Near:
    low, high = (value.low, value.high) if isinstance(value, Near) else (value, value)
    return Near(low, high, shown=lambda x: min(max(how(round(x / step, 9)) * step, bounds[0]), bounds[1]))


def _nice(width: float) -> float:
    """The finest 1, 2 or 5 times a power of ten from the width on."""
    power = math.floor(math.log10(width))
    grid = [nice * 10.0**p for p in (power, power + 1) for nice in (1, 2, 5)]
    return float(f"{next(x for x in grid if x >= width * (1 - 1e-12)):.6g}")


def _near(error: Floats, person: Floats, ends: list[float]) -> float:
    """The finest step whose cell around every one of these holds M persons."""
    step = _nice((error.max() - error.min()) / 1e4)
    while True:
        cells = [math.floor(x / step + 0.5) * step for x in ends]
        if all(pd.Series(person[np.abs(error - c) <= step / 2]).nunique() >= M for c in cells):
            return step
        step = _nice(step * 1.01)
