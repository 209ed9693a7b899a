"""Fidelity of the effects to retraining, from the restricted evidence of the retrained models and our own effects.

Who was left out of which model is drawn by the audit and read from its evidence. What the models then answer is not
taken on trust: a logistic one is solved again on its rows by Newton's method, and for a perceptron the stated recipe is
carried out again for some of them. The figure is scipy's rank correlation, the interval the jackknife that is stated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.special import expit

from tests.policies.real.claims import Says
from tests.policies.real.recompute_data import FIDELITY_FLOOR, LEVEL, Floats
from tests.policies.real.recompute_influence import Dense, Removals
from tests.policies.real.recompute_model import jacobian, logit, parameters
from tests.policies.real.recompute_rates import entry

RETRAINED_AGAIN = 3
BATCH, LEARNING_RATE, MOMENTUM = 128, 0.05, 0.9


def expected_fidelity(dense: Dense, removals: Removals, restricted: Path) -> dict[str, Any]:
    """What a result with retrained models says of fidelity: overall, by measure, ceiling, and the quality rows."""
    kept = {name: np.load(restricted / f"bank_{name}.npy") for name in
            ("rows", "masks", "subset", "measuring", "seeds", "loss_evaluation", "score_evaluation")}  # fmt: skip
    assert (kept["rows"] == np.arange(len(dense.rows))).all()
    assert (kept["masks"].sum(axis=1) == len(dense.rows) // 2).all()
    _hold_answers(dense, kept)
    first = _first(kept)
    predicted = ~kept["masks"][first] @ removals.effects
    actual = np.column_stack([kept[f"{m.quantity}_evaluation"] @ m.weights for m in dense.measures])
    each, without = _correlations(predicted, actual[first]), []
    for k in range(len(first)):
        without.append(_correlations(np.delete(predicted, k, 0), np.delete(actual[first], k, 0)))
    left_out = np.array(without)
    overall = _interval(float(each.mean()), left_out.mean(axis=1))
    slices = [_interval(float(each[s]), left_out[:, s]) for s in range(len(each))]
    ceiling = 1.0 if dense.is_affine else _ceiling(actual, kept, first)
    size = _size(predicted, actual[first])
    lowest = min(slices, key=lambda estimate: estimate["value"])
    said = [overall[name] for name in ("n", "low", "high")]
    names = [m.name for m in dense.measures]
    return {
        "fidelity": overall, "fidelity_floor": FIDELITY_FLOOR, "noise_ceiling": ceiling, "slices": slices,
        "size": entry(**size, level=LEVEL), "sizes": [
            entry(**_size(predicted[:, [s]], actual[first][:, [s]]), level=LEVEL) for s in range(len(slices))
        ],
        "reason": Says(*said, overall["value"], LEVEL, FIDELITY_FLOOR),
        "quality": [
            _row("fidelity to retraining", overall["value"], Says(*said, len(each), LEVEL, FIDELITY_FLOOR)),
            _row("noise ceiling of fidelity", ceiling, Says(1 if dense.is_affine else len(_again(kept, first)))),
            _row("lowest fidelity of a measure", lowest["value"],
                 Says(*(lowest[name] for name in ("value", "low", "high", "n")), LEVEL, names=names)),
            _row("size of effects", size["value"], Says(*(size[name] for name in ("low", "high", "n")), LEVEL, 1, 0)),
        ],
    }  # fmt: skip


def _size(predicted: Floats, actual: Floats) -> dict[str, Any]:
    """Mean slope of retrained changes on predicted ones, which are twice the sums but for a constant."""

    def slope(rows: Any) -> float:
        pairs = zip(2 * predicted[rows].T, actual[rows].T, strict=True)
        return float(np.mean([np.polyfit(x, y, 1)[0] for x, y in pairs]))

    n = len(predicted)
    value, others = slope(np.arange(n)), np.array([slope(np.delete(np.arange(n), k)) for k in range(n)])
    width = stats.t.ppf(0.5 + LEVEL / 2, n - 1) * np.sqrt((n - 1) / n * np.square(others - others.mean()).sum())
    return {"value": value, "low": value - width, "high": value + width, "n": n}


def _row(name: str, value: float, text: Says) -> dict[str, Any]:
    return {"name": name, "value": value, "text": text}


def _first(kept: dict[str, Any]) -> Any:
    """The first measuring model of each subset."""
    at = np.flatnonzero(kept["measuring"])
    return at[np.unique(kept["subset"][at], return_index=True)[1]]


def _correlations(predicted: Floats, actual: Floats) -> Floats:
    pairs = zip(predicted.T, actual.T, strict=True)
    return np.array([float(stats.spearmanr(a, b).statistic) for a, b in pairs])


def _interval(value: float, left_out: Floats) -> dict[str, Any]:
    """Bias-corrected jackknife of Fisher's z with t quantiles, widened to the value."""
    n, z, others = len(left_out), np.arctanh(min(value, 1 - 1e-9)), np.arctanh(np.clip(left_out, -1, 1 - 1e-9))
    pseudo = n * z - (n - 1) * others
    half = stats.t.ppf(0.5 + LEVEL / 2, n - 1) * stats.sem(pseudo)
    low, high = np.tanh(pseudo.mean() - half), np.tanh(pseudo.mean() + half)
    return entry(value, min(float(low), value), max(float(high), value), level=LEVEL, n=n)


def _ceiling(actual: Floats, kept: dict[str, Any], first: Any) -> float:
    """Rank correlation that chance of training leaves: one less the share of variance within subsets learned twice."""
    measuring = np.flatnonzero(kept["measuring"])
    ranks = np.full_like(actual, np.nan)
    ranks[measuring] = stats.rankdata(actual[measuring], axis=0)
    again = _again(kept, first)
    partner = [next(f for f in first if kept["subset"][f] == kept["subset"][k]) for k in again]
    within = ((ranks[again] - ranks[partner]) ** 2).mean(axis=0) / 2
    return float(np.sqrt(np.clip(1 - within / ranks[first].var(axis=0, ddof=1), 0, 1)).mean())


def _again(kept: dict[str, Any], first: Any) -> list[int]:
    """Measuring models of a subset that another has learned before."""
    return [int(k) for k in np.flatnonzero(kept["measuring"]) if k not in first]


def _hold_answers(dense: Dense, kept: dict[str, Any]) -> None:
    """The retrained models' losses and scores on the evaluation rows are those of the stated recipe on their rows."""
    world, weights = dense.world, dense.answers.weights
    models = range(len(kept["masks"])) if dense.is_affine else range(RETRAINED_AGAIN)
    for k in models:
        rows = kept["masks"][k]
        again = learned(dense, dense.answers.design["train"][rows], world.label("train")[rows], int(kept["seeds"][k]))
        z = logit({name: again[name].reshape(weights[name].shape) for name in weights},
                  dense.answers.design["evaluation"])  # fmt: skip
        loss = np.logaddexp(0, z) - world.label("evaluation") * z
        np.testing.assert_allclose(kept["score_evaluation"][k], expit(z), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(kept["loss_evaluation"][k], loss, rtol=1e-6, atol=1e-7)


def learned(dense: Dense, design: Floats, label: Floats, seed: int) -> dict[str, Floats]:
    """The stated recipe carried out on these rows: the model's weights by name."""
    return _optimum(dense, design, label) if dense.is_affine else descended(dense, design, label, seed)


def _optimum(dense: Dense, design: Floats, label: Floats) -> dict[str, Floats]:
    """Logistic regression on these rows by plain Newton steps from the audited optimum."""
    weights = dense.answers.weights
    x, y = jacobian(weights, design), label
    theta = parameters(weights)
    for _ in range(50):
        p = expit(x @ theta)
        gradient = x.T @ (p - y) / len(y) + dense.l2 * theta
        hessian = (x * (p * (1 - p) / len(y))[:, None]).T @ x + dense.l2 * np.eye(len(theta))
        theta = theta - np.linalg.solve(hessian, gradient)
        if np.linalg.norm(gradient) < 1e-11:
            break
    return {"linear.weight": theta[:-1], "linear.bias": theta[-1:]}


def _unwatched(epoch: int, weights: dict[str, Floats]) -> None:
    """Nobody looks on."""


def descended(
    dense: Dense, design: Floats, label: Floats, seed: int, *, watch: Callable[[int, Any], None] = _unwatched
) -> dict[str, Floats]:
    """The perceptron's recipe on these rows: uniform start, shuffled batches, Nesterov momentum, falling rate.

    `watch` is shown the weights after every epoch.
    """
    training = dense.world.policy["model"]["training"]
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(design), torch.from_numpy(label)
    width, (hidden,) = x.shape[1], training["hidden"]
    net = torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.GELU(), torch.nn.Linear(hidden, 1)).double()
    with torch.no_grad():
        for layer in (net[0], net[2]):
            bound = (3 / layer.in_features) ** 0.5
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()
    optimiser = torch.optim.SGD(
        net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=training["l2"]
    )
    order = torch.randperm(len(y), generator=generator)  # where rows are held out, the last of this order are learned
    x, y = x[order], y[order]
    steps = -(-len(y) // BATCH) * training["epochs"]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + np.cos(np.pi * step / steps)))
    names = ("hidden.0.weight", "hidden.0.bias", "out.weight", "out.bias")
    for epoch in range(training["epochs"]):
        for part in torch.randperm(len(y), generator=generator).split(BATCH):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(net(x[part])[:, 0], y[part]).backward()
            optimiser.step()
            schedule.step()
        watch(epoch, {name: p.detach().numpy() for name, p in zip(names, net.parameters(), strict=True)})
    return {name: p.detach().numpy() for name, p in zip(names, net.parameters(), strict=True)}
