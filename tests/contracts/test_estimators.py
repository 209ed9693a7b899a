"""Every estimator of the table, held against the exact answer and against what no estimator may depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import Problem, pose
from auditkit.influence.registry import ESTIMATORS, SOURCES
from auditkit.influence.scoring import Form, Scores, score
from tests.influence.conftest import mean_losses, posed, random
from tests.worlds import breast_cancer, cross_entropy, fit_softmax, squared_loss, trained_mlp

LEAST_CORRELATION = {
    "exact": 1 - 1e-12,
    "cg": 1 - 1e-12,
    "arnoldi": 1 - 1e-12,
    "lissa": 1 - 1e-8,
    "ekfac": 0.75,
    "kfac": 0.70,
    "logra": 0.75,
}
"""With the exact answer on a small network; layers interact there, which blocks leave out."""

ERROR = {"exact": 1e-8, "cg": 1e-8, "arnoldi": 1e-8, "lissa": 1e-3, "ekfac": 1e-8, "kfac": 1e-8, "logra": 1e-8}
"""Relative to the column norm, where the estimator answers the exact question."""

WHOLE = ("exact", "cg", "arnoldi", "lissa")
"""Those that invert the whole matrix and not its blocks."""

FORMS: tuple[Form, ...] = ("newton", "first-order")
L2S: list[float | Mapping[str, float]] = [
    1e-2,
    {"0.weight": 1e-2, "2.weight": 3e-2, "2.bias": 1e-2},
    {"0.weight": 2e-2, "0.bias": 0.5, "2.weight": 1e-2, "2.bias": 1e-3},
]
"""Uniform; an unpenalised bias; different for each parameter."""

every_estimator = pytest.mark.parametrize("name", sorted(ESTIMATORS))


@pytest.fixture(scope="module")
def network() -> tuple[nn.Sequential, Tensor, Tensor]:
    return trained_mlp()


def run(name: str, problem: Problem, x: Tensor, y: Tensor, form: Form = "auto") -> Scores:
    return score(problem, ESTIMATORS[name]().fit(problem), mean_losses(problem, x, y), form=form)


def away(got: Tensor, truth: Tensor) -> float:
    """The largest distance of a column, relative to its norm."""
    return float(((got - truth).norm(dim=0) / truth.norm(dim=0)).max())


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def test_every_estimator_has_a_source_and_a_bar() -> None:
    assert set(ESTIMATORS) == set(SOURCES) == set(LEAST_CORRELATION) == set(ERROR)


@every_estimator
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_exact_on_a_small_network(
    name: str, form: Form, network: tuple[nn.Sequential, Tensor, Tensor]
) -> None:
    module, x, y = network
    problem = posed(module, x, y)
    got, truth = (
        run(name, problem, x, y, form),
        score(problem, Exact().fit(problem), mean_losses(problem, x, y), form=form),
    )
    assert got.form == form
    for s in range(2):
        assert correlation(got.effects[:, s], truth.effects[:, s]) >= LEAST_CORRELATION[name]
    assert correlation(got.self_influence, truth.self_influence) >= LEAST_CORRELATION[name]


@every_estimator
def test_is_exact_for_one_linear_layer_under_squared_loss(name: str) -> None:
    x, y = random(40, 5), random(40, 2, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        problem = posed(nn.Linear(5, 2).double(), x, y, loss=squared_loss)
    truth = score(problem, Exact().fit(problem), mean_losses(problem, x, y), form="stepped")
    got = run(name, problem, x, y, "stepped")
    assert away(got.effects, truth.effects) <= ERROR[name]
    assert away(got.self_influence, truth.self_influence) <= ERROR[name]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("l2", L2S)
def test_solves_and_quadratic_forms_equal_the_dense_inverse(
    name: str, l2: float | Mapping[str, float], network: tuple[nn.Sequential, Tensor, Tensor]
) -> None:
    module, x, y = network
    problem = posed(module, x, y, l2=l2)
    curvature = ESTIMATORS[name](damping=0.0).fit(problem)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    vectors = random(problem.layout.size, 5)
    assert curvature.covered == problem.layout.size
    assert away(curvature.solve(vectors), torch.linalg.solve(dense, vectors)) <= ERROR[name]
    jacobian = output_jacobian(problem, problem.inputs)
    cross, gram = curvature.probe(problem.inputs, None, vectors)
    assert away(cross.flatten(0, 1), (jacobian @ vectors).flatten(0, 1)) <= 1e-12
    wanted = jacobian @ torch.linalg.solve(dense, jacobian.transpose(1, 2))
    assert away(gram.flatten(1).T, wanted.flatten(1).T) <= ERROR[name]


@every_estimator
@pytest.mark.parametrize("form", FORMS)
def test_row_order_and_batch_size_do_not_matter(
    name: str, form: Form, network: tuple[nn.Sequential, Tensor, Tensor]
) -> None:
    module, x, y = network
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1))
    whole = posed(module, x, y)
    base = score(whole, ESTIMATORS[name]().fit(whole), mean_losses(whole, x, y), form=form)
    for problem, back in (
        (posed(module, x, y, batch=1), slice(None)),
        (posed(module, x, y, batch=17), slice(None)),
        (posed(module, x[order], y[order]), torch.argsort(order)),
    ):
        got = score(problem, ESTIMATORS[name]().fit(problem), mean_losses(problem, x, y), form=form)
        for mine, theirs in ((got.effects[back], base.effects), (got.self_influence[back], base.self_influence)):
            assert float((mine - theirs).norm() / theirs.norm()) <= 1e-10


@every_estimator
def test_row_order_and_batch_size_do_not_matter_where_parameters_are_stepped(name: str) -> None:
    world = breast_cancer()
    x, y = torch.from_numpy(world.x), torch.from_numpy(world.y)
    xe, ye = torch.from_numpy(world.x_eval), torch.from_numpy(world.y_eval)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1))
    first = posed(world.module(), x, y, l2=world.l2)
    second = posed(world.module(), x[order], y[order], l2=world.l2, batch=33)
    one, two = (score(p, ESTIMATORS[name]().fit(p), mean_losses(p, xe, ye), form="stepped") for p in (first, second))
    assert float((two.effects[torch.argsort(order)] - one.effects).norm() / one.effects.norm()) <= 1e-10


@every_estimator
def test_float32_passes_stay_close_to_float64(name: str, network: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    module, x, y = network
    both = [pose(module, cross_entropy, (x,), y, weight_decay=1e-2, dtype=d) for d in (torch.float64, torch.float32)]
    wide, narrow = (run(name, problem, x, y, "newton") for problem in both)
    assert float((narrow.effects - wide.effects).norm() / wide.effects.norm()) <= 1e-4


@every_estimator
def test_duplicates_score_alike_and_unweighted_records_have_no_effect(
    name: str, network: tuple[nn.Sequential, Tensor, Tensor]
) -> None:
    module, x, y = network
    xx, yy = torch.cat([x, x[:5]]), torch.cat([y, y[:5]])
    weights = torch.ones(len(yy), dtype=torch.float64)
    weights[10] = 0.0
    problem = posed(module, xx, yy, weights=weights)
    got = run(name, problem, x, y)
    torch.testing.assert_close(got.effects[:5], got.effects[-5:])
    assert not got.effects[10].any() and not got.self_influence[10].any()


@every_estimator
def test_self_influence_is_never_negative_and_a_wrong_label_stands_out(name: str) -> None:
    world = breast_cancer()
    x, y = torch.from_numpy(world.x), torch.from_numpy(world.y)
    problem = posed(world.module(), x, y, l2=world.l2)
    got = run(name, problem, x, y)
    assert float(got.self_influence.min()) >= -1e-12
    # Ten records trained with the wrong label: they must rank above nearly all others.
    wrong = np.arange(0, 200, 20)
    labels = world.y.copy()
    labels[wrong] = 1 - labels[wrong]
    theta = fit_softmax(world.x, labels, classes=2, l2=world.l2, weights=np.ones(len(labels)), n=len(labels))
    flipped = replace(world, y=labels, theta=theta)
    own = run(name, posed(flipped.module(), x, torch.from_numpy(labels), l2=world.l2), x, y).self_influence
    above = (own.unsqueeze(0) > own[wrong].unsqueeze(1)).sum(1)
    assert int((above < 40).sum()) >= 8


@every_estimator
def test_more_damping_never_raises_plain_self_influence(
    name: str, network: tuple[nn.Sequential, Tensor, Tensor]
) -> None:
    module, x, y = network
    problem = posed(module, x, y)
    curvature = ESTIMATORS[name]().fit(problem)
    evaluation = mean_losses(problem, x, y)
    soft, stiff = (score(problem, c, evaluation, form="first-order") for c in (curvature, curvature.stiffer(10.0)))
    assert bool((stiff.self_influence <= soft.self_influence * (1 + 1e-9)).all())
    fixed = ESTIMATORS[name](damping=0.09).fit(problem)
    assert set(fixed.damping.values()) == {0.09}
    vectors = random(problem.layout.size, 2)
    # L2 0.01 plus damping 0.09 is ten times L2 0.01 without damping.
    again = ESTIMATORS[name](damping=0.0).fit(problem).stiffer(10.0)
    assert away(fixed.solve(vectors), again.solve(vectors)) <= ERROR[name]
