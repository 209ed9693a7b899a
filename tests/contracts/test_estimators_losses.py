"""Every estimator under every loss, held against dense truth: whole-matrix solvers to the bars of the contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.likelihood import output_terms
from auditkit.influence.measures import measure_gradients
from auditkit.influence.problem import Problem
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.scoring import Form, score
from tests.contracts.test_estimators import ERROR, L2S, WHOLE, away
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.glm import FAMILIES, world

L2 = dict(zip(("uniform", "unpenalised bias", "each its own"), L2S, strict=True))
FORMS: tuple[Form, ...] = ("newton", "first-order")


def network(family: str, l2: str) -> Problem:
    """A tanh network of arbitrary parameters, with differing weights: nothing here rests on an optimum."""
    made = FAMILIES[family]
    rng = np.random.default_rng(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, made.outputs)).double()
    y = made.targets(made.draw(0.5 * rng.normal(size=(40, made.outputs)), rng))
    return posed(module, random(40, 4), y, loss=made.loss, l2=L2[l2], weights=random(40, seed=4).abs() + 0.1)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("l2", sorted(L2))
def test_solves_and_quadratic_forms_are_the_dense_ones(name: str, family: str, l2: str) -> None:
    problem = network(family, l2)
    curvature = ESTIMATORS[name](damping=0.0).fit(problem)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    vectors = random(problem.layout.size, 3)
    assert away(curvature.solve(vectors), torch.linalg.solve(dense, vectors)) <= ERROR[name]
    jacobian = output_jacobian(problem, problem.inputs)
    _, gram = curvature.probe(problem.inputs, None, vectors)
    wanted = jacobian @ torch.linalg.solve(dense, jacobian.mT)
    assert away(gram.flatten(1).T, wanted.flatten(1).T) <= ERROR[name]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_dense_algebra(name: str, family: str, form: Form) -> None:
    problem = network(family, "unpenalised bias")
    evaluation = mean_losses(problem, problem.inputs[0], problem.targets)
    got = score(problem, ESTIMATORS[name](damping=0.0).fit(problem), evaluation, form=form)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    terms = output_terms(problem, problem.outputs(problem.inputs), problem.targets)
    jacobian, gradients = output_jacobian(problem, problem.inputs), measure_gradients(problem, evaluation)
    steps = []
    for n in range(problem.n):
        w, root = problem.weights[n] / problem.n, terms.root[n].T @ jacobian[n]
        own = w * root.T @ root if form == "newton" else torch.zeros_like(dense)
        steps.append(torch.linalg.solve(dense - own, w * jacobian[n].T @ terms.gradient[n]))
    assert away(got.effects, torch.stack(steps) @ gradients) <= ERROR[name]


def of_one_layer(family: str, seed: int = 0) -> tuple[Problem, Tensor]:
    made = world(family, n=60, bias_l2=0.05, seed=seed)
    x, y = torch.from_numpy(made.x), made.family.targets(made.y)
    l2 = {"weight": made.l2, "bias": made.bias_l2}
    return posed(made.module(), x, y, loss=made.family.loss, l2=l2, weights=torch.from_numpy(made.weights)), x


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@pytest.mark.parametrize("family", ["gaussian", "gaussian, known scales"])
def test_one_layer_under_gaussian_loss_is_exact_for_every_estimator(name: str, family: str) -> None:
    problem, x = of_one_layer(family)
    evaluation = mean_losses(problem, x, problem.targets)
    truth, got = (
        score(problem, curvature.fit(problem), evaluation, form="stepped")
        for curvature in (Exact(damping=0.0), ESTIMATORS[name](damping=0.0))
    )
    assert away(got.effects, truth.effects) <= ERROR[name]
    assert away(got.self_influence, truth.self_influence) <= ERROR[name]


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_estimator_ranks_the_records_of_one_layer_as_the_exact_one_does(name: str, family: str) -> None:
    problem, x = of_one_layer(family)
    evaluation = mean_losses(problem, x, problem.targets)
    truth, got = (
        score(problem, curvature.fit(problem), evaluation, form="first-order")
        for curvature in (Exact(), ESTIMATORS[name]())
    )
    pairs = [(got.effects[:, s], truth.effects[:, s]) for s in range(2)]
    for mine, theirs in (*pairs, (got.self_influence, truth.self_influence)):
        assert float(torch.corrcoef(torch.stack([mine, theirs]))[0, 1]) >= 0.9
