"""The audited model asked again: the stored weights by numpy, the estimators by a fit of one's own.

Encoding and weights are not taken on trust: means, spreads and levels come from the training file, and the parameters
are read from `model.safetensors` into arrays.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import expit, ndtr

from tests.policies.real.claims import Near, Says
from tests.policies.real.recompute_data import LEVEL, SEED, World
from tests.policies.real.recompute_rates import wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What the model says of each split's rows."""

    decision: dict[str, Floats]
    loss: dict[str, Floats]
    design: dict[str, Floats]
    """Split -> encoded rows [N, W]; empty for an estimator and for recorded decisions."""
    weights: dict[str, Floats]
    """Parameters by name; empty likewise."""


def ask(world: World) -> Answers:
    """Decisions and losses of every split."""
    adapter = world.policy["model"]["adapter"]
    if adapter == "predictions":
        flagged = world.frames["evaluation"]["score_text"] != "Low"
        return Answers({"evaluation": flagged.to_numpy(dtype=float)}, {}, {}, {})
    return _tabular(world) if adapter == "tabular" else _estimator(world)


def _tabular(world: World) -> Answers:
    weights = {k: v.astype(np.float64) for k, v in load_file(world.folder / "model" / "model.safetensors").items()}
    design = {split: encode(world, frame) for split, frame in world.frames.items()}
    logits = {split: logit(weights, rows) for split, rows in design.items()}
    return Answers(
        decision={split: (expit(z) >= world.threshold).astype(float) for split, z in logits.items()},
        loss={split: np.logaddexp(0.0, z) - world.label(split) * z for split, z in logits.items()},
        design=design,
        weights=weights,
    )


def encode(world: World, frame: pd.DataFrame) -> Floats:
    """Numbers standardised by the known training values (gaps 0, marked where training has any), levels one-hot."""
    train, parts = world.frames["train"], []
    for column in world.numeric:
        known = train[column].dropna().to_numpy(dtype=float)
        values = frame[column].to_numpy(dtype=float)
        parts.append(np.nan_to_num((values - known.mean()) / known.std()))
        if len(known) < len(train):
            parts.append(np.isnan(values))
    for column in world.categorical:
        known = sorted(train[column].dropna().unique(), key=str)
        missing = frame[column].isna().to_numpy()
        places = np.where(missing, len(known), pd.Index(known).get_indexer(frame[column]))
        parts += list((places == np.r_[0 : len(known) + 1][:, None]).astype(float))
        parts.append(~missing & (places < 0))
    return np.column_stack(parts).astype(np.float64)


def logit(weights: dict[str, Floats], rows: Floats) -> Floats:
    """Log-odds of a logistic model, or of a perceptron with one hidden layer of GELU."""
    if "linear.weight" in weights:
        return rows @ weights["linear.weight"][0] + weights["linear.bias"][0]
    u = rows @ weights["hidden.0.weight"].T + weights["hidden.0.bias"]
    return (u * ndtr(u)) @ weights["out.weight"][0] + weights["out.bias"][0]


def _estimator(world: World) -> Answers:
    module, function = world.policy["model"]["subject"].split(":")
    spec = importlib.util.spec_from_file_location(f"bank_{world.name}", world.folder / f"{module}.py")
    assert spec is not None and spec.loader is not None
    bank = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bank)
    fitted = getattr(bank, function)().fit(world.frames["train"][world.features], world.label("train").astype(int))
    decision, loss = {}, {}
    for split, frame in world.frames.items():
        p = fitted.predict_proba(frame[world.features])
        right = np.take_along_axis(p, world.label(split).astype(int)[:, None], axis=1)[:, 0].astype(float)
        # The policies state no threshold: the owner's own predict decides.
        decision[split] = fitted.predict(frame[world.features]).astype(float)
        loss[split] = -np.log(np.clip(right, np.finfo(p.dtype).eps, 1.0))
    return Answers(decision, loss, {}, {})


def expected_model(world: World, answers: Answers) -> dict[str, Any]:
    """The part `model`: size, accuracy with Wilson's interval, and the facts of the recipe."""
    agree = answers.decision["evaluation"] == world.label("evaluation")
    accuracy = wilson(int(agree.sum()), len(agree), LEVEL)
    decided = world.policy["model"]["adapter"] != "estimator" and ("score" in world.policy["model"] or world.has_model)
    return {
        "threshold": world.threshold if decided else None,
        "parameters": sum(v.size for v in answers.weights.values()) or None,
        "measurements": [{"measure": "model.accuracy", "estimate": accuracy}],
        "recipe": [{"name": name, "value": claim} for name, claim in _recipe(world, answers).items()],
    }


def _recipe(world: World, answers: Answers) -> dict[str, Any]:
    model = world.policy["model"]
    if model["adapter"] == "predictions":
        return {"Decision": model["decision"]}
    if model["adapter"] == "estimator":
        return {"Fitted": Says(), "Favourable class": Says(1), "Decision": Says(), "Digest": Says()}
    training = model["training"]
    facts = {
        "Objective": Says(2),
        "L2 (λ)": Says(training["l2"]),
        "Encoded columns": Says(answers.design["train"].shape[1]),
    }
    norm = float(np.linalg.norm(objective_gradient(world, answers)))
    if training["module"] == "logistic":
        described = json.loads((world.folder / "model" / "model.json").read_text())
        # Both sides of a norm this small are rounding: what is claimed is the solver's own tolerance.
        assert norm <= 1e-10
        return facts | {
            "Fitted by": Says(described["fit"]["steps"]),
            "Gradient norm where training ended": Says(Near(0.0, 1e-10)),
        }
    return facts | {
        "Hidden layers": Says(*training["hidden"]), "Categories": Says(), "Fitted by": Says(0.9),
        "Epochs": Says(training["epochs"]), "Learning rate": Says(0.05), "Batch": Says(128), "Early stopping": Says(),
        "Seed": Says(SEED), "Gradient norm where training ended": Says(norm),
    }  # fmt: skip


def residual(world: World, answers: Answers) -> Floats:
    """p - y of the training records."""
    return expit(logit(answers.weights, answers.design["train"])) - world.label("train")


def jacobian(weights: dict[str, Floats], rows: Floats) -> Floats:
    """Derivatives of the log-odds in all parameters [N, D], by hand."""
    if "linear.weight" in weights:
        return np.column_stack([rows, np.ones(len(rows))])
    u = rows @ weights["hidden.0.weight"].T + weights["hidden.0.bias"]
    density = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
    slope = (ndtr(u) + u * density) * weights["out.weight"][0]
    inner = (slope[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    return np.column_stack([inner, slope, u * ndtr(u), np.ones(len(rows))])


def parameters(weights: dict[str, Floats]) -> Floats:
    """All parameters in the order of `jacobian`."""
    names = ("linear.weight", "linear.bias", "hidden.0.weight", "hidden.0.bias", "out.weight", "out.bias")
    return np.concatenate([weights[name].ravel() for name in names if name in weights])


def objective_gradient(world: World, answers: Answers) -> Floats:
    """Gradient of mean loss + l2/2 |theta|² at the stored parameters."""
    rows, l2 = jacobian(answers.weights, answers.design["train"]), world.policy["model"]["training"]["l2"]
    return rows.T @ residual(world, answers) / len(rows) + l2 * parameters(answers.weights)


