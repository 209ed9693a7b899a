"""The attacks by the records' features and by the course of training, and the rankings that gradients give.

The regression is scikit-learn's, as the audit states it; columns, halves and scores are made here. The training is
carried out again by `recompute_fidelity`, and looked at after every tenth of its epochs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingRegressor

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import LEVEL, MINIMUM_CELL, SEED, Floats, Mask, World
from tests.policies.real.recompute_fidelity import BATCH, LEARNING_RATE, MOMENTUM, descended
from tests.policies.real.recompute_influence import Dense, jacobian
from tests.policies.real.recompute_model import logit
from tests.policies.real.recompute_privacy import FALSE_POSITIVE_RATES, expected_success
from tests.policies.real.recompute_rates import entry

FURTHER = {
    "quantile": ("Quantile regression", "privacy.quantile_auc", "privacy.quantile_tpr_at_fpr_"),
    "loss_trace": ("Loss trace (mean over the training)", "privacy.trace_auc", "privacy.trace_tpr_at_fpr_"),
}
FEWEST, CHECKPOINTS = 100, 10
TREES = {"max_iter": 40, "max_leaf_nodes": 8, "learning_rate": 0.15}


def expected_further(
    world: World, loss: dict[str, Floats], half: Mask | None, kept: dict[str, Any], dense: Dense | None
) -> tuple[dict[str, Any], list[Any]]:
    """Measurements and parts; `kept` are the audit's scores by attack, held against ours, for they decide ties."""
    measured: dict[str, Any] = {}
    parts = []
    for name, (title, auc, tpr) in FURTHER.items():
        if half is None or name not in kept:
            nothing = entry(level=LEVEL, withheld=Says(FEWEST))
            measured |= dict.fromkeys((auc, *(f"{tpr}{rate!r}" for rate in FALSE_POSITIVE_RATES)), nothing)
            parts.append({"reason": Says(FEWEST), "title": title})
            continue
        every, fitted = np.concatenate([loss["train"], loss["reserve"]]), None
        if name == "quantile":
            fitted = fitted_on(half)
            np.testing.assert_array_equal(kept["quantile_fitted"], fitted)
            own = quantile(columns(world, ("train", "reserve")), margin(every), fitted)
        else:
            assert dense is not None
            own = -course(dense)[0].mean(axis=0)
        np.testing.assert_allclose(np.concatenate(kept[name]), own, rtol=1e-6, atol=1e-6)
        rows, success = expected_success(*kept[name], auc=auc, tpr=tpr, fitted=fitted)
        measured |= rows
        parts.append(success | {"roc": success["roc"] | {"method": Says(MINIMUM_CELL)}, "title": title})
    return measured, parts


def margin(loss: Floats) -> Floats:
    """Log odds of the true label."""
    kept = np.maximum(loss, 1e-15)
    return -kept - np.log(-np.expm1(-kept))


def fitted_on(half: Mask) -> Mask:
    """Every other record of the half that sets thresholds."""
    found = half.copy()
    found[np.flatnonzero(half)[1::2]] = False
    return found


def columns(world: World, splits: tuple[str, ...]) -> tuple[Floats, list[int]]:
    """Features as numbers, texts as their place by frequency, and last the label; and which columns are texts."""
    frame = pd.concat([world.frames[split][world.features] for split in splits])
    made, texts = [], []
    for k, name in enumerate(world.features):
        is_number = name in world.numeric if world.numeric else pd.api.types.is_numeric_dtype(frame[name])
        if is_number:
            made.append(frame[name].to_numpy(dtype=float))
            continue
        texts.append(k)
        held = frame[name].dropna().astype(str)
        counts = sorted((-int(n), level) for level, n in held.value_counts().items())
        place = {level: float(at) for at, (_, level) in enumerate(counts[:250])}
        made.append(np.array([place.get(str(v), np.nan) if pd.notna(v) else np.nan for v in frame[name]]))
    return np.column_stack([*made, np.concatenate([world.label(split) for split in splits])]), texts


def quantile(encoded: tuple[Floats, list[int]], target: Floats, fitted: Mask) -> Floats:
    """Distance from the predicted margin over the predicted spread."""
    rows, texts = encoded
    at = np.r_[np.zeros(len(rows) - len(fitted), dtype=bool), fitted]
    varied = [k for k in range(rows.shape[1]) if len(set(rows[at, k][~np.isnan(rows[at, k])])) > 1]
    coded = [varied.index(k) for k in texts if k in varied]
    model = HistGradientBoostingRegressor(**TREES, early_stopping=False, random_state=0, categorical_features=coded)
    rows = rows[:, varied]
    away = target - model.fit(rows[at], target[at]).predict(rows)
    square = away**2
    logs = np.log(np.maximum(square, 1e-3 * square[at].mean()))
    # The logarithm of a squared standard normal has mean -(gamma + log 2).
    spread = model.fit(rows[at], logs[at]).predict(rows) + np.euler_gamma + np.log(2)
    return away / np.exp(spread / 2)


def course(dense: Dense) -> tuple[Floats, Floats]:
    """Losses [C, N + K] along the training, and sum of rate times squared gradient over N, [N]."""
    world, design, label = dense.world, dense.answers.design, dense.world.label
    epochs = int(world.policy["model"]["training"]["epochs"])
    steps = -(-len(design["train"]) // BATCH)
    ends = {-(-(k + 1) * epochs // CHECKPOINTS) for k in range(CHECKPOINTS)}
    losses: list[Floats] = []
    own, since = np.zeros(len(design["train"])), 0.0
    x = np.vstack([design["train"], design["reserve"]])
    y = np.concatenate([label("train"), label("reserve")])

    def watch(epoch: int, weights: dict[str, Floats]) -> None:
        nonlocal since, own
        places = np.arange(epoch * steps, (epoch + 1) * steps)
        since += float(np.sum(LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * places / (steps * epochs)))))
        if epoch + 1 in ends:
            weights = {name: value.reshape(dense.answers.weights[name].shape) for name, value in weights.items()}
            z = logit(weights, x)
            losses.append(np.logaddexp(0, z) - y * z)
            away = expit(z[: len(own)]) - y[: len(own)]
            squares = np.square(jacobian(weights, design["train"])).sum(axis=1)
            own = own + since / (1 - MOMENTUM) * away**2 * squares / len(own)
            since = 0.0

    descended(dense, design["train"], label("train"), SEED, watch=watch)
    return np.stack(losses), own


def rankings(dense: Dense, kept: dict[str, Floats]) -> dict[str, Floats]:
    """Rankings that gradients give, by the name in the report; `kept` are the audit's, held against ours."""
    found, j, residual = {}, dense.rows, np.abs(dense.p - dense.world.label("train"))
    if not dense.is_affine:
        losses, own = course(dense)
        members = losses[:, : len(own)]
        found["trajectory self-influence (TracIn-CP)"] = ("trajectory_self", own)
        spread = np.quantile(members, 0.75, axis=0) - np.quantile(members, 0.25, axis=0)
        found["interquartile range of the loss trace (LT-IQR)"] = ("loss_trace_iqr", spread)
    found["gradient norm"] = ("gradient_norm", residual * np.sqrt(np.square(j).sum(axis=1)))
    if "leverage" in kept:
        share = np.einsum("nd,nd->n", j @ dense.inverse(), j) / len(j)
        found["leverage"] = ("leverage", dense.p * (1 - dense.p) * share)
    assert set(kept) == {key for key, _ in found.values()}
    for key, own in found.values():
        np.testing.assert_allclose(kept[key], own, rtol=1e-5, atol=1e-9 * float(own.max()))
    return {name: kept[key] for name, (key, _) in found.items()}
