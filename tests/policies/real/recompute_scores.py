"""What the scores say by group, again: AUC by all pairs, spreads from jackknives, calibration by bins of one's own."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit
from sklearn.metrics import brier_score_loss, roc_auc_score

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_composites import Triple, mover
from tests.policies.real.recompute_data import (
    LEVEL,
    MINIMUM_CELL,
    MINIMUM_DENOMINATOR,
    REPLICATES,
    Attribute,
    Floats,
    Mask,
    World,
)
from tests.policies.real.recompute_fairness import TEXT, Shown, cell_counts, closed_entry, key, row, standing
from tests.policies.real.recompute_model import Answers, logit
from tests.policies.real.recompute_rates import STEPS, entry, step_of, wilson_limits

BINS, RECORDS, DIGITS = 10, 50, 10
OWN_DRAWS, ERRORS = 40_000, 5.0


def add_scores(fairness: dict[str, Any], world: World, answers: Answers) -> None:
    """Put what the scores say into the claimed part; nothing where there are decisions only."""
    fairness["scores"] = {}
    if not world.has_model:
        return
    generator = np.random.default_rng(20_261_124)
    score, truth = np.round(_score(world, answers), DIGITS), world.label("evaluation")
    nobody = Attribute("", "", ("",), "", {"evaluation": np.zeros(len(truth), dtype=int)})
    for attribute in (nobody, *world.attributes):
        codes = attribute.codes["evaluation"]
        shown = standing(cell_counts(codes, len(attribute.labels), truth, answers.decision["evaluation"]))
        one = _Attribute(attribute, shown, score, truth, generator)
        fairness["measurements"] |= one.rows()
        if attribute.name:
            fairness["scores"] |= one.series()


def _score(world: World, answers: Answers) -> Floats:
    if answers.weights:
        return np.asarray(expit(logit(answers.weights, answers.design["evaluation"])))
    module, function = world.policy["model"]["subject"].split(":")
    spec = importlib.util.spec_from_file_location(f"scored_{world.name}", world.folder / f"{module}.py")
    assert spec is not None and spec.loader is not None
    bank = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bank)
    fitted = getattr(bank, function)().fit(world.frames["train"][world.features], world.label("train").astype(int))
    return np.asarray(fitted.predict_proba(world.frames["evaluation"][world.features])[:, 1], dtype=float)


class _Attribute:
    """One attribute's scores."""

    def __init__(
        self, attribute: Attribute, shown: Shown, score: Floats, truth: Floats, generator: np.random.Generator
    ) -> None:
        self.attribute, self.shown, self.generator = attribute, shown, generator
        codes = attribute.codes["evaluation"]
        self.parts = [(score[codes == g], truth[codes == g]) for g in range(len(attribute.labels))]
        least = max(MINIMUM_CELL, MINIMUM_DENOMINATOR)
        self.fewest = [int(min(y.sum(), len(y) - y.sum())) for _, y in self.parts]
        self.usable = [bool(shown.assessed[g]) and self.fewest[g] >= least for g in range(len(self.parts))]

    def rows(self) -> dict[str, Any]:
        """Every measurement."""
        out, base = {}, self.attribute.base
        family = max(1, sum(self.usable))
        level = LEVEL ** (1 / family)
        for g in range(len(self.parts)):
            out |= self._row("auc", g, lambda g=g: self._auc(g, level), (0.0, 1.0))
            out |= self._row("brier", g, lambda g=g: self._brier(g, level), (0.0, 1.0))
            out |= self._row("calibration_error", g, lambda g=g: self._error(g, level), (0.0, 1.0))
            if self.usable[g] and not self.shown.closed[g]:
                name = key("fairness.calibration_error", self.attribute.name, self.attribute.labels[g])
                out[name]["parts"] = Says(self._floor(g))
        if not self.attribute.name:
            return out
        others = [g for g in range(len(self.parts)) if g != base]
        level = LEVEL ** (1 / max(1, sum(self.usable[g] for g in others)))
        for g in others:
            out |= self._row("auc_difference", g, lambda g=g: self._apart(g, level), (-1.0, 1.0), pair=True)
            out |= self._row(
                "standardised_difference", g, lambda g=g: self._smd(g, level), (-math.inf, math.inf), pair=True
            )
        return out

    def _row(self, name: str, g: int, make: Any, bounds: tuple[float, float], *, pair: bool = False) -> dict[str, Any]:
        groups = [g, self.attribute.base] if pair else [g]
        found = entry(level=LEVEL, withheld=TEXT)
        if all(self.usable[h] for h in groups):
            values, n = make()
            method = Says(sum(self.usable), REPLICATES, BINS, *range(2, BINS))
            found = entry(*values, level=LEVEL, n=n, method=method, withheld=TEXT)
        closed = [h for h in groups if self.shown.closed[h]]
        if closed:
            steps = [step_of(self.fewest[h]) for h in closed]
            found = closed_entry(found, None if None in steps else max(s for s in steps if s), bounds, None)
        return {key(f"fairness.{name}", self.attribute.name, self.attribute.labels[g]): row(found, *STEPS)}

    def _area(self, g: int, level: float) -> Triple:
        """AUC by sklearn; DeLong's variance from the comparison of every pair."""
        score, truth = self.parts[g]
        hits, misses = score[truth == 1], score[truth == 0]
        won = (hits[:, None] > misses).astype(np.float32) + 0.5 * (hits[:, None] == misses)
        spread = won.mean(axis=1, dtype=float).var(ddof=1) / len(hits) + won.mean(axis=0, dtype=float).var(
            ddof=1
        ) / len(misses)
        area = float(roc_auc_score(truth, score))
        half = stats.norm.ppf(0.5 + level / 2) * math.sqrt(spread) / (area * (1 - area))
        return area, float(expit(math.log(area / (1 - area)) - half)), float(expit(math.log(area / (1 - area)) + half))

    def _auc(self, g: int, level: float) -> tuple[Triple, int]:
        return self._area(g, level), len(self.parts[g][0])

    def _apart(self, g: int, level: float) -> tuple[Triple, int]:
        base = self.attribute.base
        return mover(self._area(g, level), self._area(base, level), -1), len(self.parts[g][0]) + len(
            self.parts[base][0]
        )

    def _smd(self, g: int, level: float) -> tuple[Any, int]:
        """The delta method over means and mean squares, in place of influence values."""
        own, base = self.parts[g][0], self.parts[self.attribute.base][0]
        (a, v), (b, w) = ((float(x.mean()), float(x.var())) for x in (own, base))
        s = math.sqrt((v + w) / 2)
        d, total = (a - b) / s, 0.0
        for x, mean, spread, sign in ((own, a, v, 1), (base, b, w, -1)):
            third, fourth = (float(((x - mean) ** k).mean()) for k in (3, 4))
            slope = -d / (4 * s * s)
            total += (spread / s**2 + 2 * sign * slope * third / s + slope**2 * (fourth - spread**2)) / len(x)
        n = len(own) + len(base)
        half = float(stats.norm.ppf(0.5 + level / 2)) * math.sqrt(total * n / (n - 1))
        return (d, d - half, d + half), n

    def _brier(self, g: int, level: float) -> tuple[Triple, int]:
        score, truth = self.parts[g]
        value = float(brier_score_loss(truth, score))
        half = (
            float(stats.norm.ppf(0.5 + level / 2)) * float(((score - truth) ** 2).std(ddof=1)) / math.sqrt(len(score))
        )
        return (value, max(0.0, value - half), min(1.0, value + half)), len(score)

    def bins(self, g: int) -> list[Mask]:
        """Whole ties, each bin with its share of the records."""
        score, n = self.parts[g][0], len(self.parts[g][0])
        least = max(math.ceil(n / BINS), min(RECORDS, n // 2), MINIMUM_CELL)
        out, inside = [], np.zeros(n, dtype=bool)
        for value in np.unique(score):
            inside |= score == value
            if inside.sum() >= least and (score > value).sum() >= least:
                out.append(inside)
                inside = np.zeros(n, dtype=bool)
        return [*out, inside]

    def _error(self, g: int, level: float) -> tuple[Any, int]:
        score, truth = self.parts[g]
        n, bins = len(score), self.bins(g)
        gaps = np.array([(truth - score)[inside].sum() for inside in bins])
        value = float(np.abs(gaps).sum() / n)
        residuals = np.stack([np.where(inside, truth - score, 0.0) for inside in bins])
        spread = n * np.cov(residuals, bias=True).reshape(len(bins), len(bins))
        zero = np.zeros(len(bins))
        drawn = np.abs(self.generator.multivariate_normal(zero, spread, size=OWN_DRAWS, method="svd")).sum(axis=1) / n
        q = _quantile(drawn, level)
        low = Near(max(0.0, value - q.high), max(0.0, value - q.low))
        high = Near(min(1.0, value + q.low), min(1.0, value + q.high))
        return (value, low, high), n

    def _floor(self, g: int) -> float:
        score, n = self.parts[g][0], len(self.parts[g][0])
        means = [(float(score[inside].mean()), int(inside.sum())) for inside in self.bins(g)]
        return sum(math.sqrt(2 / math.pi * m * p * (1 - p)) for p, m in means) / n

    def series(self) -> dict[str, Any]:
        """Distribution and calibration curve of every group that is shown."""
        out = {}
        for g, label in enumerate(self.attribute.labels):
            found: dict[str, Any] = {"on": self.attribute.name, "group": label, "withheld": TEXT}
            if self.usable[g] and not self.shown.closed[g]:
                found |= {"distribution": self._distribution(g), "calibration": self._curve(g)}
            out[f"{self.attribute.name} / {label}"] = found
        return out

    def _distribution(self, g: int) -> dict[str, Any]:
        score = self.parts[g][0]
        points, last = [(0.0, 0.0)], 0.0
        for tenth in range(1, 11):
            edge = tenth / 10
            below = int((score < edge).sum()) if tenth < 10 else len(score)
            step, rest = below - round(last * len(score)), len(score) - below
            if not 0 < step < MINIMUM_CELL and not 0 < rest < MINIMUM_CELL:
                points.append((edge, below / len(score)))
                last = below / len(score)
        return {"points": [{"x": x, "y": y} for x, y in points], "n": len(score), "method": Says(MINIMUM_CELL)}

    def _curve(self, g: int) -> dict[str, Any]:
        score, truth = self.parts[g]
        bins = [(float(score[b].mean()), int(truth[b].sum()), int(b.sum())) for b in self.bins(g)]
        coarse = any(min(e, n - e) < MINIMUM_CELL for _, e, n in bins)
        points = []
        for x, e, n in bins:
            low, high = wilson_limits(e, n, LEVEL)
            y: Any = e / n
            if coarse:
                step = step_of(n)
                if step is None:
                    continue
                y = round(round(y / step) * step, 6)
                low = max(0.0, round(math.floor(low / step + 1e-9) * step, 6))
                high = min(1.0, round(math.ceil(high / step - 1e-9) * step, 6))
            points.append({"x": round(x, 3), "y": y, "low": low, "high": high})
        return {"points": points, "n": len(score), "method": Says(MINIMUM_CELL)}


def _quantile(drawn: Floats, q: float) -> Near:
    """A quantile up to the error of two samples."""
    band = min(q, 1 - q) / 2
    density = 2 * band / float(np.diff(np.quantile(drawn, [q - band, q + band]))[0])
    error = ERRORS * math.sqrt(q * (1 - q) * (1 / REPLICATES + 1 / len(drawn))) / density
    at = float(np.quantile(drawn, q))
    return Near(at - error, at + error)


def keyed_scores(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """The result's series under names instead of positions."""
    return {f"{item['on']} / {item['group']}": item for item in scores}
