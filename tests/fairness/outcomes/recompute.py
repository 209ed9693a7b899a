"""Every figure of an OutcomePart recomputed by pandas, scikit-learn and plain loops; nothing of the room is used.

Closed-form limits are claimed exactly; those of the bootstrap by an ordinary multinomial one with another seed, to 8 %
of their width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from tests.policies.real.claims import Near

Floats = NDArray[np.float64]
LEVEL, M, LEAST_GROUP = 0.95, 10, 30
RATE_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
Key = tuple[str, str, str, str, str]
"""Metric, version, attribute, group, comparison."""


@dataclass(frozen=True)
class World:
    """The evaluation records of one outcome: columns truth, prediction, weight, person, unit, and one an attribute."""

    frame: pd.DataFrame
    kind: str
    attributes: dict[str, tuple[list[str], str]]
    """Attribute -> its groups in order, and the reference."""
    versions: tuple[Any, ...] = ()
    """Classes, quantiles, or depths."""

    def known(self) -> pd.DataFrame:
        """Records that count."""
        need = ["prediction"] if self.kind == "ranking" else ["prediction", "truth"]
        return self.frame.dropna(subset=need)


def exposures(frame: pd.DataFrame) -> Floats:
    """Relative exposure by going through each list place by place; ties share equally."""
    out = pd.Series(0.0, index=frame.index)
    for _, own in frame.groupby("list"):
        ranked = own.sort_values("prediction", ascending=False)
        worth = 1 / np.log2(np.arange(2, len(ranked) + 2))
        shared = pd.Series(worth, index=ranked.index).groupby(ranked["prediction"]).transform("mean")
        out[ranked.index] = shared / worth.mean()
    return out.to_numpy()


def inside(frame: pd.DataFrame, depth: float) -> Floats:
    """Chance of a place among the first, averaged over the places that a tie shares."""
    out = pd.Series(0.0, index=frame.index)
    for _, own in frame.groupby("list"):
        ranked = own.sort_values("prediction", ascending=False)
        places = math.floor(depth * len(ranked) + 1e-9) if depth < 1 else int(depth)
        hit = pd.Series((np.arange(len(ranked)) < places).astype(float), index=ranked.index)
        out[ranked.index] = hit.groupby(ranked["prediction"]).transform("mean")
    return out.to_numpy()


def ratios(world: World, metric: str, version: Any) -> tuple[list[tuple[Floats, Floats]], pd.DataFrame]:
    """Numerators and denominators whose ratio (or mean of ratios) a metric is, and the records that they are of."""
    own = world.known()
    t, p = own["truth"].to_numpy(), own["prediction"].to_numpy()
    one = np.ones(len(own))
    if world.kind == "classes":
        per_class = {
            "assigned": lambda c: (p == c, one), "recall": lambda c: ((p == c) & (t == c), t == c),
            "false_positive": lambda c: ((p == c) & (t != c), t != c),
            "precision": lambda c: ((p == c) & (t == c), p == c),
        }  # fmt: skip
        if metric == "accuracy":
            return [((p == t).astype(float), one)], own
        name = metric.removeprefix("macro_")
        of = world.versions if metric != name else (version,)
        return [tuple(np.asarray(x, dtype=float) for x in per_class[name](c)) for c in of], own  # type: ignore[misc]
    if world.kind == "number":
        error = p.astype(float) - t.astype(float)
        found = {"mean_error": error, "absolute_error": abs(error), "overestimated": (error > 0).astype(float)}
        return [(found.get(metric, error), one)], own
    seen = exposures(own)
    if metric == "exposure":
        return [(seen, one)], own
    if metric == "top_share":
        return [(inside(own, version), one)], own
    merit = own["truth"].to_numpy(dtype=float)
    return [(np.where(np.isnan(merit), 0, seen), np.nan_to_num(merit))], own


def effective(part: Floats, whole: Floats, w: Floats, unit: Floats) -> tuple[float, float, Floats]:
    """Rate, effective n and influence by unit."""
    rate = (w * part).sum() / (w * whole).sum()
    residual = pd.Series(w * (part - rate * whole)).groupby(unit).sum()
    held = pd.Series(w * whole).groupby(unit).sum()
    total, k = (w * whole).sum(), pd.Series(unit[whole > 0]).nunique()
    if not 0 < rate < 1 or (residual**2).sum() <= 0:
        return rate, total**2 / (held**2).sum(), (residual / total).to_numpy()
    variance = (residual**2).sum() * k / (k - 1) / total**2
    n = min(total**2 / ((w * whole) ** 2).sum(), rate * (1 - rate) / variance)
    return rate, n, (residual / total).to_numpy()


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Limits as the roots of |p - x| = z sqrt(x (1 - x) / n)."""
    roots = np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p]).real
    return (0.0 if p <= 0 else float(roots.min()), 1.0 if p >= 1 else float(roots.max()))


def rate_limits(
    parts: list[tuple[Floats, Floats]], w: Floats, unit: Floats, z: float
) -> tuple[float, float, float, pd.Series]:
    """Mean of rates with Wilson's limits, and by how much each unit moves it."""
    found = [effective(a, b, w, unit) for a, b in parts]
    value = float(np.mean([rate for rate, _, _ in found]))
    index = np.unique(unit)
    moved = pd.Series(sum(m for _, _, m in found) / len(found), index=index)
    n = found[0][1]
    if len(found) > 1:
        alone = 0.0
        for (_, b), (_, _, m) in zip(parts, found, strict=True):
            k = pd.Series(unit[b > 0]).nunique()
            alone += (m**2).sum() * k / (k - 1) / len(found) ** 2
        smooth = [((own * rate + 1) / (own + 2), own) for rate, own, _ in found]
        variance = sum(p * (1 - p) / own for p, own in smooth) / len(found) ** 2
        middle = np.mean([p for p, _ in smooth])
        n = middle * (1 - middle) / (variance * max(1.0, (moved**2).sum() / alone if alone > 0 else 1.0))
    return (value, *wilson(value, n, z), moved)


def against(
    one: tuple[float, float, float, pd.Series], base: tuple[float, float, float, pd.Series], *, logs: bool
) -> tuple[float, float, float]:
    """Newcombe's hybrid of two rates' limits, or of their logarithms, widened where units stand in both groups."""
    (a, al, ah, am), (b, bl, bh, bm) = one, base
    if logs:
        a, al, ah, am, b, bl, bh, bm = (*np.log([a, al, ah]), am / a, *np.log([b, bl, bh]), bm / b)
    shared = am.index.intersection(bm.index)
    both = (am**2).sum() + (bm**2).sum()
    widen = math.sqrt(max(1.0, 1 - 2 * (am[shared] * bm[shared]).sum() / both)) if len(shared) and both > 0 else 1.0
    low = a - b - widen * math.hypot(a - al, bh - b)
    high = a - b + widen * math.hypot(ah - a, b - bl)
    if logs:
        return math.exp(a - b), math.exp(low), math.exp(high)
    return a - b, max(low, -1.0), min(high, 1.0)


def quantile_limits(error: Floats, w: Floats, unit: Floats, q: float, z: float) -> tuple[float, float, float] | None:
    """numpy's weighted quantile; limits where the weighted share below passes q by z standard errors."""
    value = float(np.quantile(error, q, method="inverted_cdf", weights=w))
    _, n, _ = effective((error <= value).astype(float), np.ones(len(error)), w, unit)
    half = z * math.sqrt(q * (1 - q) / n)
    if q - half <= 0 or q + half >= 1:
        return None
    low = float(np.quantile(error, q - half, method="inverted_cdf", weights=w))
    ordered = np.sort(error)
    upper = np.quantile(error, q + half, method="inverted_cdf", weights=w)
    at = int(np.searchsorted(ordered, upper, side="left"))
    return value, low, float(ordered[min(at + 1, len(ordered) - 1)])


def z_of(family: int) -> float:
    """Critical value of one of so many intervals, by Šidák."""
    return float(stats.norm.ppf(0.5 + LEVEL ** (1 / family) / 2))


def multinomial(parts: dict[str, tuple[Floats, Floats, Floats]], replicates: int = 4000) -> dict[str, Any]:
    """Group -> value, standard error, and joint studentised material of an ordinary bootstrap over units."""
    units = np.unique(np.concatenate([unit for *_, unit in parts.values()]))
    draws = _draws(len(units), replicates)
    out = {}
    for group, (x, y, unit) in parts.items():
        xs = pd.Series(x).groupby(unit).sum().reindex(units, fill_value=0.0).to_numpy()
        ys = pd.Series(y).groupby(unit).sum().reindex(units, fill_value=0.0).to_numpy()
        value, k = xs.sum() / ys.sum(), int((ys > 0).sum())
        error = math.sqrt(((xs - value * ys) ** 2).sum() * k / (k - 1)) / ys.sum()
        bx, by = draws @ xs, draws @ ys
        theta = bx / by
        spread = draws @ xs**2 - 2 * theta * (draws @ (xs * ys)) + theta**2 * (draws @ ys**2)
        out[group] = (value, error, theta, np.sqrt(spread * k / (k - 1)) / by)
    return out


@lru_cache(maxsize=2)
def _draws(units: int, replicates: int) -> Floats:
    rng = np.random.default_rng(99)
    return rng.multinomial(units, np.full(units, 1 / units), size=replicates).astype(float)


def largest_t(statistics: list[Floats]) -> float:
    """Critical value over the family, never below the normal one."""
    return max(z_of(1), float(np.quantile(np.abs(np.stack(statistics)).max(axis=0), LEVEL)))


def close(value: float, half: float) -> Near:
    """A limit of a bootstrap: to 8 % of the half width."""
    return Near(value - 0.08 * half, value + 0.08 * half)


def same_as_sklearn(world: World, group: pd.Series) -> dict[str, float]:
    """Values of a group by scikit-learn, with sample weights."""
    own = world.known()[group.loc[world.known().index]]
    t, p, w = own["truth"], own["prediction"], own["weight"]
    if world.kind == "number":
        return {"absolute_error": metrics.mean_absolute_error(t, p, sample_weight=w),
                "mean_error": float(np.average(p - t, weights=w))}  # fmt: skip
    labels = list(world.versions)
    kind = {"labels": labels, "average": "macro", "sample_weight": w, "zero_division": np.nan}
    return {
        "accuracy": metrics.accuracy_score(t, p, sample_weight=w),
        "macro_recall": metrics.recall_score(t, p, **kind), "macro_precision": metrics.precision_score(t, p, **kind),
    }  # fmt: skip
