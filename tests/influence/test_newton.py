"""The matrix identities, each against dense algebra that does not use them."""

from __future__ import annotations

import pytest
import torch

from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import is_affine, output_jacobian
from auditkit.influence.likelihood import output_terms, third_derivative
from auditkit.influence.newton import removal
from auditkit.influence.stepping import step_all
from tests.influence.conftest import mean_losses, posed, random
from tests.worlds import digits


def softmax_problem(weights: torch.Tensor | None = None):
    world = digits(n=60)
    x, y = torch.from_numpy(world.x[:, 18:30]), torch.from_numpy(world.y)
    module = torch.nn.Linear(12, 10).double()
    return posed(module, x, y, l2=1e-2, weights=weights), x, y


@pytest.mark.parametrize("weighted", [False, True])
def test_the_matrix_form_is_the_inverse_without_the_record(weighted: bool) -> None:
    problem, x, y = softmax_problem(random(60).abs() if weighted else None)
    curvature = Exact(damping=0.0).fit(problem)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    terms, jacobian = output_terms(problem, problem.outputs((x,)), y), output_jacobian(problem, (x,))
    _, gram = curvature.probe((x,), None, torch.zeros(problem.layout.size, 1, dtype=torch.float64))
    out = removal(terms.root, gram, weights=problem.weights, n=problem.n, bound=curvature.leverage_bound)
    q = out.corrected(terms.gradient, gram)
    for n in (0, 17, 59):
        w = problem.weights[n]
        own = jacobian[n].T @ terms.root[n] @ terms.root[n].T @ jacobian[n]
        wanted = torch.linalg.solve(dense - w * own / problem.n, w * jacobian[n].T @ terms.gradient[n] / problem.n)
        torch.testing.assert_close(curvature.solve((jacobian[n].T @ q[n]).unsqueeze(1))[:, 0] / problem.n, wanted)
        inside = torch.linalg.eigvals(torch.linalg.solve(dense, w * own / problem.n)).real.max()
        torch.testing.assert_close(out.leverage[n], inside)


def test_the_second_order_term_is_the_one_of_dense_algebra() -> None:
    problem, x, y = softmax_problem()
    curvature = Exact(damping=0.0).fit(problem)
    evaluation = mean_losses(problem, x, y)
    got = step_all(problem, curvature, evaluation, second_order=True)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    outputs = problem.outputs((x,))
    terms, jacobian, third = (
        output_terms(problem, outputs, y),
        output_jacobian(problem, (x,)),
        third_derivative(problem, outputs, y),
    )
    n = 23
    own = jacobian[n].T @ terms.root[n] @ terms.root[n].T @ jacobian[n]
    without = dense - own / problem.n
    first = torch.linalg.solve(without, jacobian[n].T @ terms.gradient[n] / problem.n)
    pull = torch.zeros_like(first)
    for i in set(range(problem.n)) - {n}:
        u = jacobian[i] @ first
        pull += jacobian[i].T @ torch.einsum("cde,d,e->c", third[i], u, u) / problem.n
    step = first - 0.5 * torch.linalg.solve(without, pull)
    moved = problem.outputs((x,), problem.layout.unflatten(problem.flat() + step))
    change = problem.loss(moved, y) - terms.loss
    weights = evaluation.weights("loss")
    torch.testing.assert_close(got.effects[n], change @ weights, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(got.self_influence[n], change[n], rtol=1e-9, atol=1e-13)


def test_the_bound_caps_the_inflation() -> None:
    root, gram = torch.ones(1, 1, 1, dtype=torch.float64), torch.full((1, 1, 1), 20.0, dtype=torch.float64)
    out = removal(root, gram, weights=torch.ones(1, dtype=torch.float64), n=10, bound=0.9)
    assert float(out.leverage) == pytest.approx(2.0)
    assert float(out.matrix) == pytest.approx(0.1 / (1 - 0.9))


def test_affine_models_are_told_from_others() -> None:
    y = torch.arange(30) % 2
    x = random(30, 3)
    nn = torch.nn
    frozen = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    assert not is_affine(posed(frozen, x, y))
    frozen[0].requires_grad_(False)
    assert is_affine(posed(frozen, x, y))
    assert not is_affine(posed(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double(), x, y))
    assert not is_affine(posed(nn.Sequential(nn.Linear(3, 40), nn.ReLU(), nn.Linear(40, 2)).double(), x, y))
