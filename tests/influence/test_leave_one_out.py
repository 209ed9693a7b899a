"""The engine against real retraining without each record: the figures that the product states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from torch import nn

from auditkit.influence.estimators.exact import Exact
from auditkit.influence.measures import Measure, state_evaluation
from auditkit.influence.problem import Problem, pose
from auditkit.influence.scoring import Scores, score
from tests.influence.conftest import mean_losses, posed, random
from tests.worlds import (
    Floats,
    SoftmaxWorld,
    binary_cross_entropy,
    breast_cancer,
    cross_entropy,
    digits,
    leave_one_out,
    slices_of,
    squared_loss,
)

Record = Callable[[str, object], None]
# In the plain suite, and again where figures are recorded.
TWICE = pytest.mark.parametrize("run", ["plain", pytest.param("proof", marks=pytest.mark.prove)])


def figures(predicted: Floats, actual: Floats) -> dict[str, float]:
    """Scale is the slope through the origin of predicted on actual."""
    return {
        "pearson": float(pearsonr(predicted, actual)[0]),
        "spearman": float(spearmanr(predicted, actual)[0]),
        "scale": float(predicted @ actual / (actual @ actual)),
        "sign": float(np.mean(np.sign(predicted) == np.sign(actual))),
    }


def scored(world: SoftmaxWorld, weights: Floats, *, plain: bool = False, second_order: bool = True) -> Scores:
    x, y = torch.from_numpy(world.x), torch.from_numpy(world.y)
    problem = pose(world.module(), cross_entropy, (x,), y, weight_decay=world.l2)
    measures = [Measure(f"slice {s}", "loss", torch.from_numpy(weights[:, s].copy())) for s in range(weights.shape[1])]
    rows = (torch.from_numpy(world.x_eval),)
    evaluation = state_evaluation(problem, rows, torch.from_numpy(world.y_eval), measures)
    form = "first-order" if plain else "auto"
    return score(problem, Exact().fit(problem), evaluation, form=form, second_order=second_order)


@TWICE
def test_breast_cancer_every_record_retrained(run: str, record_property: Record) -> None:
    world = breast_cancer()
    weights = slices_of(world)
    actual, own = leave_one_out(world, weights, np.arange(len(world.x)))
    got = scored(world, weights)
    assert got.form == "stepped" and got.unsettled == 0 and got.capped == 0
    for s in range(3):
        found = figures(got.effects[:, s].numpy(), actual[:, s])
        record_property(f"slice {s}", {k: round(v, 4) for k, v in found.items()})
        assert found["pearson"] >= 0.96 and found["spearman"] >= 0.98
        assert 0.95 <= found["scale"] <= 1.05 and found["sign"] >= 0.98
    found = figures(got.self_influence.numpy(), own)
    record_property("self", {k: round(v, 4) for k, v in found.items()})
    assert found["pearson"] >= 0.97 and 0.95 <= found["scale"] <= 1.05
    newton = scored(world, weights, second_order=False)
    for s in range(3):
        step = figures(newton.effects[:, s].numpy(), actual[:, s])
        record_property(f"without second order, slice {s}", {k: round(v, 4) for k, v in step.items()})
    # Plain influence functions on the same records, for the record and so that the gain cannot vanish unseen.
    plain = scored(world, weights, plain=True)
    for s in range(3):
        peer = figures(plain.effects[:, s].numpy(), actual[:, s])
        record_property(f"plain slice {s}", {k: round(v, 4) for k, v in peer.items()})
        assert peer["scale"] < 0.8
    peer = figures(plain.self_influence.numpy(), own)
    record_property("plain self", {k: round(v, 4) for k, v in peer.items()})
    assert peer["pearson"] < 0.6 and peer["scale"] < 0.35


@TWICE
def test_other_splits_of_breast_cancer_with_a_binary_models_penalty(run: str, record_property: Record) -> None:
    # Softmax with L2 2e-3 is the logistic model with one logit and L2 1e-3.
    for seed in (1, 2, 3, 4):
        world = breast_cancer(split_seed=seed, l2=2e-3)
        weights = slices_of(world)
        actual, own = leave_one_out(world, weights, np.arange(len(world.x)))
        got = scored(world, weights)
        rows = [figures(got.effects[:, s].numpy(), actual[:, s]) for s in range(3)]
        rows.append(figures(got.self_influence.numpy(), own))
        record_property(f"split {seed}", [{k: round(v, 4) for k, v in row.items()} for row in rows])
        assert all(row["pearson"] >= 0.96 and 0.9 <= row["scale"] <= 1.1 for row in rows)


@pytest.mark.parametrize("count", [300, pytest.param(300, marks=pytest.mark.prove, id="proof")])
def test_digits_ten_classes(count: int, record_property: Record) -> None:
    world = digits(n=count)
    masks = np.stack([world.y_eval == c for c in range(3)], axis=1).astype(np.float64)
    weights = masks / masks.sum(0)
    rows = np.arange(0, count, 5)
    actual, own = leave_one_out(world, weights, rows)
    got = scored(world, weights)
    found = figures(got.self_influence.numpy()[rows], own)
    record_property("self", {k: round(v, 4) for k, v in found.items()})
    assert found["pearson"] >= 0.98 and found["sign"] == 1.0
    assert all(figures(got.effects[rows, s].numpy(), actual[:, s])["pearson"] >= 0.96 for s in range(3))


@pytest.mark.prove
def test_digits_every_record_retrained(record_property: Record) -> None:
    world = digits(n=300)
    masks = np.stack([world.y_eval == c for c in range(10)], axis=1).astype(np.float64)
    weights = masks / masks.sum(0)
    actual, own = leave_one_out(world, weights, np.arange(300))
    got = scored(world, weights)
    found = figures(got.self_influence.numpy(), own)
    record_property("self", {k: round(v, 4) for k, v in found.items()})
    slices = [figures(got.effects[:, s].numpy(), actual[:, s]) for s in range(10)]
    record_property("slices, least pearson", min(row["pearson"] for row in slices))
    record_property("slices, scales", [round(row["scale"], 3) for row in slices])
    plain = figures(scored(world, weights, plain=True).self_influence.numpy(), own)
    record_property("plain self", {k: round(v, 4) for k, v in plain.items()})
    assert found["pearson"] >= 0.98 and found["sign"] == 1.0


def test_one_logit_and_two_softmax_outputs_are_the_same_model() -> None:
    world = breast_cancer()
    weights = slices_of(world)
    module = nn.Linear(30, 1).double()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(world.theta[1:, :-1] - world.theta[:1, :-1]))
        module.bias.copy_(torch.from_numpy(world.theta[1:, -1] - world.theta[:1, -1]))
    x, y = torch.from_numpy(world.x), torch.from_numpy(world.y).double()
    problem = pose(module, binary_cross_entropy, (x,), y, weight_decay=world.l2 / 2)
    measures = [Measure(str(s), "loss", torch.from_numpy(weights[:, s].copy())) for s in range(3)]
    rows = (torch.from_numpy(world.x_eval),)
    evaluation = state_evaluation(problem, rows, torch.from_numpy(world.y_eval).double(), measures)
    one, two = score(problem, Exact().fit(problem), evaluation), scored(world, weights)
    torch.testing.assert_close(one.effects, two.effects, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(one.self_influence, two.self_influence, rtol=1e-6, atol=1e-12)


def ridge(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    """[d + 1, C] minimiser of 1/N sum w/2 |W a − y|² + 1/2 sum penalty theta², in closed form."""
    a = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    return torch.linalg.solve(
        a.T @ (weights[:, None] * a) / len(x) + torch.diag(penalty), a.T @ (weights[:, None] * y) / len(x)
    )


@pytest.mark.parametrize("bias_penalty", [1e-2, 0.0, 0.3])
def test_least_squares_is_exact_with_weights_and_any_penalty_of_the_bias(bias_penalty: float) -> None:
    x, y, weights = random(30, 4), random(30, 2, seed=1), random(30, seed=2).abs() + 0.1
    penalty = torch.tensor([1e-2] * 4 + [bias_penalty], dtype=torch.float64)
    theta = ridge(x, y, weights, penalty)
    problem = _least_squares(theta, x, y, weights, bias_penalty)
    evaluation = mean_losses(problem, x, y)
    got = score(problem, Exact(damping=0.0).fit(problem), evaluation)
    base = squared_loss(problem.outputs((x,)), y)
    for n in range(0, 30, 7):
        without = weights.clone()
        without[n] = 0.0
        refit = ridge(x, y, without, penalty)
        losses = squared_loss(x @ refit[:-1] + refit[-1], y) - base
        torch.testing.assert_close(got.effects[n], losses @ evaluation.weights("loss"), rtol=1e-8, atol=1e-13)
        torch.testing.assert_close(got.self_influence[n], losses[n], rtol=1e-8, atol=1e-13)


def _least_squares(
    theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, bias_penalty: float
) -> Problem:
    module = nn.Linear(4, 2).double()
    with torch.no_grad():
        module.weight.copy_(theta[:-1].T)
        module.bias.copy_(theta[-1])
    l2 = {"weight": 1e-2, "bias": bias_penalty}
    return posed(module, x, y, loss=squared_loss, l2=l2, weights=weights)
