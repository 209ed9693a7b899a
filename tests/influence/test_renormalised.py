"""Removal with a mean over the others: against retraining on N − 1 records, and against dense algebra."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import PolicyError
from auditkit.influence import Attribution, attribute
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.likelihood import output_terms
from auditkit.influence.measures import measure_gradients
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.renormalised import RemovalForm, renormalise
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.test_leave_one_out import figures
from tests.worlds import (
    Floats,
    SoftmaxWorld,
    breast_cancer,
    cross_entropy,
    fit_softmax,
    slices_of,
    squared_loss,
)

Record = Callable[[str, object], None]


def retrained(world: SoftmaxWorld, weights: Floats) -> tuple[Floats, Floats]:
    """Changes of the slices [N, S] and of each record's own loss [N] by training on the others, a mean over N − 1."""
    n = len(world.x)
    base, own_base = world.losses(world.theta, world.x_eval, world.y_eval), world.losses(world.theta, world.x, world.y)
    effects, own = np.empty((n, weights.shape[1])), np.empty(n)
    for i in range(n):
        kept = np.arange(n) != i
        theta = fit_softmax(
            world.x[kept], world.y[kept], classes=world.classes, l2=world.l2, weights=np.ones(n - 1), n=n - 1,
            start=world.theta,
        )  # fmt: skip
        effects[i] = (world.losses(theta, world.x_eval, world.y_eval) - base) @ weights
        own[i] = world.losses(theta, world.x[i : i + 1], world.y[i : i + 1])[0] - own_base[i]
    return effects, own


def scored(world: SoftmaxWorld, removal: RemovalForm, masks: Floats) -> Attribution:
    xe, ye = torch.from_numpy(world.x_eval), torch.from_numpy(world.y_eval)
    chosen = torch.from_numpy(masks) > 0
    slices = {str(s): (xe[chosen[:, s]], ye[chosen[:, s]]) for s in range(masks.shape[1])}
    train = (torch.from_numpy(world.x), torch.from_numpy(world.y))
    return attribute(world.module(), cross_entropy, train, slices, weight_decay=world.l2, removal=removal)


@pytest.mark.parametrize("l2", [1e-3, 1e-2])
def test_sign_size_and_order_are_those_of_retraining_and_the_fixed_forms_signs_are_not(
    l2: float, record_property: Record
) -> None:
    world = breast_cancer(l2=l2)
    weights = slices_of(world)
    actual, own = retrained(world, weights)
    got, fixed = scored(world, "renormalised", weights), scored(world, "fixed", weights)
    assert got.self_influence is not None
    for s in range(3):
        found, other = (figures(a.scores[:, s].numpy(), actual[:, s]) for a in (got, fixed))
        record_property(f"slice {s}", {k: round(v, 4) for k, v in found.items()})
        record_property(f"slice {s}, with the fixed form", {k: round(v, 4) for k, v in other.items()})
        assert found["pearson"] >= 0.96 and found["spearman"] >= 0.98
        assert found["sign"] >= 0.98 and 0.95 <= found["scale"] <= 1.05
        # Correlation does not see it: one number is missing from all scores of the slice.
        assert other["pearson"] >= 0.96 and other["sign"] < 0.5
    found = figures(got.self_influence.numpy(), own)
    record_property("self", {k: round(v, 4) for k, v in found.items()})
    assert found["pearson"] >= 0.96 and 0.95 <= found["scale"] <= 1.05 and found["sign"] >= 0.97


@pytest.mark.parametrize("bias_penalty", [1e-2, 0.0, 0.3])
def test_least_squares_is_exact(bias_penalty: float) -> None:
    x, y, weights = random(30, 4), random(30, 2, seed=1), random(30, seed=2).abs() + 0.1
    weights[3] = 0.0
    penalty = torch.diag(torch.tensor([1e-2] * 4 + [bias_penalty], dtype=torch.float64))
    a = torch.cat([x, torch.ones(30, 1, dtype=torch.float64)], 1)

    def ridge(kept: Tensor) -> Tensor:
        b, w, n = a[kept], weights[kept, None], int(kept.sum())
        return torch.linalg.solve(b.T @ (w * b) / n + penalty, b.T @ (w * y[kept]) / n)

    module, everyone = nn.Linear(4, 2).double(), torch.ones(30, dtype=torch.bool)
    theta = ridge(everyone)
    with torch.no_grad():
        module.weight.copy_(theta[:-1].T)
        module.bias.copy_(theta[-1])
    got = attribute(
        module, squared_loss, (x, y), {"all": (x, y)}, weight_decay={"weight": 1e-2, "bias": bias_penalty},
        sample_weight=weights, damping=0.0, removal="renormalised",
    )  # fmt: skip
    assert got.self_influence is not None
    for n in (0, 3, 17, 29):
        refit = ridge(torch.arange(30) != n)
        change = squared_loss(a @ refit, y) - squared_loss(a @ theta, y)
        torch.testing.assert_close(got.scores[n, 0], change.mean(), rtol=1e-8, atol=1e-13)
        torch.testing.assert_close(got.self_influence[n], change[n], rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("name", ["exact", "cg"])
def test_both_linear_forms_are_those_of_dense_algebra(mlp: tuple[nn.Sequential, Tensor, Tensor], name: str) -> None:
    module, x, y = mlp
    weights = random(len(y), seed=4).abs() + 0.1
    l2 = {"0.weight": 1e-2, "0.bias": 2e-2, "2.weight": 3e-2, "2.bias": 1e-2}
    problem = posed(module, x, y, weights=weights, l2=l2)
    evaluation, n = mean_losses(problem, x, y), problem.n
    curvature, pull = renormalise(problem, ESTIMATORS[name](damping=0.0).fit(problem))
    newton, plain = (score(problem, curvature, evaluation, form=f, pull=pull) for f in ("newton", "first-order"))
    terms, jacobian = output_terms(problem, problem.outputs((x,)), y), output_jacobian(problem, (x,))
    data, gradients = gauss_newton(problem) * n, measure_gradients(problem, evaluation)
    for i in (0, 50, 119):
        record = weights[i] * jacobian[i].T @ terms.gradient[i] + problem.penalty * problem.flat()
        own = weights[i] * jacobian[i].T @ terms.root[i] @ terms.root[i].T @ jacobian[i]
        penalty = torch.diag(problem.penalty)
        step = torch.linalg.solve((data - own) / (n - 1) + penalty, record / (n - 1))
        torch.testing.assert_close(newton.effects[i], gradients.T @ step, rtol=1e-7, atol=1e-13)
        moved = problem.loss((problem.outputs((x,))[i] + jacobian[i] @ step).unsqueeze(0), y[i : i + 1])[0]
        torch.testing.assert_close(newton.self_influence[i], moved - terms.loss[i], rtol=1e-7, atol=1e-13)
        step = torch.linalg.solve(data / (n - 1) + penalty, record / (n - 1))
        torch.testing.assert_close(plain.effects[i], gradients.T @ step, rtol=1e-7, atol=1e-13)
        torch.testing.assert_close(
            plain.self_influence[i], terms.gradient[i] @ jacobian[i] @ step, rtol=1e-7, atol=1e-13
        )


def test_without_a_penalty_both_forms_are_the_same() -> None:
    x, y = random(50, 3), random(50, 2, seed=1)
    problem = posed(nn.Linear(3, 2).double(), x, y, loss=squared_loss, l2=0.0)
    evaluation = mean_losses(problem, x, y)
    fitted = Exact(damping=0.0).fit(problem)
    curvature, pull = renormalise(problem, fitted)
    one, two = score(problem, fitted, evaluation), score(problem, curvature, evaluation, pull=pull)
    torch.testing.assert_close(one.effects, two.effects, rtol=1e-10, atol=1e-14)


def test_tracin_refuses_it_and_an_ensemble_takes_it(mlp: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    module, x, y = mlp
    state = copy.deepcopy(module.state_dict())

    def run(**given: object) -> Attribution:
        return attribute(
            module, cross_entropy, (x, y), {"s": (x, y)}, weight_decay=1e-2, removal="renormalised", **given  # type: ignore[arg-type]
        )  # fmt: skip

    with pytest.raises(PolicyError, match="tracin follows removal 'fixed' only"):
        run(checkpoints=[(state, 0.1)])
    many = run(members=[(state, torch.ones(len(y), dtype=torch.bool))])
    torch.testing.assert_close(many.scores, run().scores)
