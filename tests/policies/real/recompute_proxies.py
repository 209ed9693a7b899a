"""How well each column tells the groups: recomputed by pandas for single columns, asked of scikit-learn for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from tests.policies.real.recompute_data import LEVEL, MINIMUM_GROUP, Floats, Ints, World
from tests.policies.real.recompute_rates import entry


def expected_proxies(world: World, fold: Ints) -> dict[str, Any]:
    """The part, given the half that each record was put in."""
    columns = world.features if world.has_model else []
    frame = world.frames["evaluation"]
    rows: list[dict[str, Any]] = []
    if not columns:
        return {}
    for attribute in world.attributes:
        codes = attribute.codes["evaluation"]
        large = [
            code for code in range(len(attribute.labels))
            if min(((codes == code) & (fold == half)).sum() for half in (0, 1)) >= MINIMUM_GROUP
        ]  # fmt: skip
        known = np.isin(codes, large)
        asked = [column for column in columns if column != attribute.column]
        for column in asked:
            levels = _levels(frame[column], world)
            shares = _shares(levels[known], codes[known], fold[known], large)
            rows.append(_row(attribute.name, column, shares, codes[known], large))
        if asked:
            shares = _trees(world, frame[asked][known], codes[known], fold[known], large)
            rows.append(_row(attribute.name, "", shares, codes[known], large))
    return {"minimum_group": MINIMUM_GROUP, "rows": rows}


def _measured(values: pd.Series, world: World) -> bool:
    return values.name in world.numeric if world.numeric else pd.api.types.is_numeric_dtype(values)


def _levels(values: pd.Series, world: World) -> NDArray[Any]:
    if not _measured(values, world):
        return values.astype(object).fillna("∅").astype(str).to_numpy()
    numbers = values.astype(float)
    edges = np.unique(np.quantile(numbers.dropna(), np.arange(1, 10) / 10))
    return np.where(numbers.isna(), -1, (numbers.to_numpy()[:, None] >= edges).sum(axis=1))


def _shares(levels: NDArray[Any], codes: Ints, fold: Ints, large: list[int]) -> Floats:
    """[M, G] (count + overall share) / (records + 1) of the level in the other half."""
    out = np.zeros((len(codes), len(large)))
    for half in (0, 1):
        fit = fold != half
        table = pd.crosstab(levels[fit], codes[fit]).reindex(columns=large, fill_value=0)
        overall = table.sum() / table.to_numpy().sum()
        shares = table.add(overall).div(table.sum(axis=1) + 1, axis=0).reindex(np.unique(levels[~fit]))
        for position, code in enumerate(large):
            own = shares[code].fillna(overall[code])
            out[~fit, position] = pd.Series(levels[~fit]).map(own).to_numpy()
    return out


def _trees(world: World, frame: pd.DataFrame, codes: Ints, fold: Ints, large: list[int]) -> Floats:
    measured = [_measured(frame[column], world) for column in frame]
    coded = {
        c: frame[c].astype(float) if m else _coded(frame[c])
        for c, m in zip(frame, measured, strict=True)
    }
    x = pd.DataFrame(coded).to_numpy()
    out = np.zeros((len(codes), len(large)))
    for half in (0, 1):
        fit = fold != half
        model = HistGradientBoostingClassifier(
            max_iter=60, categorical_features=~np.array(measured), early_stopping=False, random_state=0
        )
        out[~fit] = model.fit(x[fit], codes[fit]).predict_proba(x[~fit])
    return out


def _coded(values: pd.Series) -> NDArray[Any]:
    codes = pd.factorize(values.astype(str).astype(object).where(values.notna(), None), sort=True)[0].astype(float)
    return np.where(codes < 0, np.nan, codes)


def _row(on: str, column: str, shares: Floats, codes: Ints, large: list[int]) -> dict[str, Any]:
    n, sums = len(codes), np.zeros(3)
    for position, code in enumerate(large):
        inside = codes == code
        sums += inside.sum() * np.array(_delong(inside, shares[:, position]))
    value, low, high = sums / n
    return {"on": on, "column": column, "auc": entry(value, low, high, level=LEVEL, n=n)}


def _delong(inside: NDArray[np.bool_], score: Floats) -> tuple[float, float, float]:
    """AUC by scikit-learn; DeLong's limits from placements, on the logit scale."""
    area = float(roc_auc_score(inside, score))
    hits, misses = score[inside], np.sort(score[~inside])
    above = (np.searchsorted(misses, hits, "left") + np.searchsorted(misses, hits, "right")) / (2 * len(misses))
    ordered = np.sort(hits)
    below = 1 - (
        np.searchsorted(ordered, score[~inside], "left") + np.searchsorted(ordered, score[~inside], "right")
    ) / (2 * len(hits))
    spread = np.sqrt(above.var(ddof=1) / len(hits) + below.var(ddof=1) / len(misses))
    if spread < 1e-12 or min(area, 1 - area) < 1e-12:
        raise AssertionError("separated completely: claim Newcombe's limits here")
    centre, half = np.log(area / (1 - area)), stats.norm.ppf(0.5 + LEVEL / 2) * spread / (area * (1 - area))
    return area, float(1 / (1 + np.exp(half - centre))), float(1 / (1 + np.exp(-half - centre)))
