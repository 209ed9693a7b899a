from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.influence.estimators.exact import gauss_newton
from auditkit.influence.estimators.lissa import Lissa
from auditkit.influence.iterative import IterativeCurvature, Journal
from auditkit.influence.krylov import largest_eigenvalue
from auditkit.influence.neumann import Neumann
from auditkit.influence.problem import Problem
from auditkit.influence.products import GaussNewton
from tests.influence.conftest import posed, random
from tests.influence.modules import MODULES, module_problem
from tests.worlds import squared_loss

Network = tuple[nn.Sequential, Tensor, Tensor]


def away(got: Tensor, truth: Tensor) -> float:
    return float(((got - truth).norm(dim=0) / truth.norm(dim=0)).max())


def truth(problem: Problem, vectors: Tensor, damping: float = 0.0) -> Tensor:
    return torch.linalg.solve(gauss_newton(problem) + torch.diag(problem.penalty + damping), vectors)


def recursion(curvature: IterativeCurvature) -> Neumann:
    assert isinstance(curvature.solver, Neumann)
    return curvature.solver


@pytest.mark.parametrize("name", sorted(MODULES))
def test_it_solves_to_the_contract_and_to_its_own_bound(name: str) -> None:
    problem = module_problem(name, batch=11)
    curvature = Lissa(damping=1e-2).fit(problem)
    vectors = random(problem.layout.size, 4)
    assert away(curvature.solve(vectors), truth(problem, vectors, 1e-2)) <= 1e-4
    (quality,) = curvature.quality()
    assert quality.value is not None and quality.value <= 1e-4 and "of 4 linear systems" in quality.text


def test_without_any_matrix_it_gives_the_same(mlp: Network) -> None:
    problem = posed(*mlp, l2=0.2)
    vectors = random(problem.layout.size, 3)
    one, two = (Lissa(held=held).fit(problem).solve(vectors) for held in (0, 2**23))
    assert away(one, two) <= 1e-9
    assert away(one, truth(problem, vectors)) <= 1e-4


def test_more_columns_than_parameters_go_through_the_inverse(mlp: Network) -> None:
    problem = posed(*mlp)
    vectors = random(problem.layout.size, 2 * problem.layout.size)
    assert away(Lissa().fit(problem).solve(vectors), truth(problem, vectors)) <= 1e-4


def test_the_scale_lies_above_the_spectrum_and_below_the_trace(mlp: Network) -> None:
    for problem in (posed(*mlp), *(module_problem(name) for name in sorted(MODULES))):
        dense = gauss_newton(problem)
        top = float(torch.linalg.eigvalsh(dense)[-1])
        found = largest_eigenvalue(GaussNewton.of(problem))
        assert 0.95 * top <= found <= top * (1 + 1e-9)
        scale = recursion(Lissa(damping=1e-3).fit(problem)).scale
        assert top + 1e-3 <= scale <= float(dense.trace()) + float(problem.penalty.max()) + 1e-3 + 1e-9


def test_a_parameter_without_penalty_is_stopped_by_the_rate_observed(mlp: Network) -> None:
    problem = posed(*mlp, l2={"0.weight": 1e-2, "2.weight": 1e-2, "2.bias": 1e-2})
    curvature = Lissa(damping=0.0).fit(problem)
    assert recursion(curvature).least == 0
    vectors = random(problem.layout.size, 4)
    assert away(curvature.solve(vectors), truth(problem, vectors)) <= 1e-3


def test_divergence_is_refused_and_never_nan(mlp: Network) -> None:
    problem = posed(*mlp)
    solver = recursion(Lissa().fit(problem))
    with pytest.raises(NumericsError, match=r"LiSSA recursion diverged after \d+ steps .*set influence\.damping"):
        replace(solver, largest=0.3 * solver.largest).solve(random(problem.layout.size, 2), Journal())
    sampled = replace(solver, largest=0.1 * solver.largest, settings=Lissa(sample=5))
    with pytest.raises(NumericsError, match=r"diverged after \d+ sampled steps"):
        sampled.solve(random(problem.layout.size, 2), Journal())


def test_too_many_steps_are_foreseen_or_met_and_refused(mlp: Network) -> None:
    with pytest.raises(NumericsError, match=r"may need [\d,]+ steps, more than 20;.*influence\.estimator to cg"):
        Lissa(most=20).fit(posed(*mlp))
    bare = posed(*mlp, l2={"0.weight": 1e-2, "2.weight": 1e-2, "2.bias": 1e-2})
    with pytest.raises(NumericsError, match=r"did not reach a relative error of 1e-04 in 20 steps"):
        Lissa(damping=0.0, most=20).fit(bare)


@pytest.mark.parametrize("l2", [1e-1, 1e-3, 1e-5])
def test_chebyshevs_weights_take_the_square_root_of_the_steps(l2: float, mlp: Network) -> None:
    problem = posed(*mlp, l2=l2)
    vectors = random(problem.layout.size, 3)
    fast = Lissa(damping=0.0).fit(problem)
    assert away(fast.solve(vectors), truth(problem, vectors)) <= 1e-4
    solver = recursion(fast)
    ratio = solver.scale / solver.least
    assert fast.journal.iterations <= solver.iterations <= ratio**0.5 * torch.log(torch.tensor(2e4 * ratio)) / 2 + 2
    if l2 >= 1e-3:
        slow = Lissa(damping=0.0, acceleration="none").fit(problem)
        assert away(slow.solve(vectors), truth(problem, vectors)) <= 1e-4
        assert slow.journal.iterations > 2 * fast.journal.iterations
    else:
        with pytest.raises(NumericsError, match="may need"):
            Lissa(damping=0.0, acceleration="none").fit(problem)


def test_auto_lifts_a_singular_curvature_and_never_one_that_is_only_slow() -> None:
    def linear(l2: float | dict[str, float]) -> Problem:
        return posed(nn.Linear(3, 2).double(), random(20, 3), torch.arange(20) % 2, l2=l2)

    vectors = random(8, 3)
    # Softmax with an unpenalised bias: flat along one direction.
    flat = linear({"weight": 1e-2})
    with pytest.raises(NumericsError, match=r"stalls after [\d,]+ steps, so the curvature may be singular"):
        Lissa(damping=0.0).fit(flat)
    lifted = Lissa().fit(flat)
    added = lifted.damping["all"]
    assert added > 0 and away(lifted.solve(vectors), truth(flat, vectors, added)) <= 1e-3
    slow = linear(1e-4)
    curvature = Lissa().fit(slow)
    assert curvature.damping["all"] == 0 and away(curvature.solve(vectors), truth(slow, vectors)) <= 1e-3
    with pytest.raises(NumericsError, match="may need"):
        Lissa(most=50).fit(slow)


def test_an_ill_conditioned_curvature_without_penalty_of_one_parameter_is_reached() -> None:
    x = random(200, 12) * torch.logspace(-2, 1, 12, dtype=torch.float64)
    problem = posed(nn.Linear(12, 1).double(), x, random(200, 1, seed=1), loss=squared_loss, l2={"weight": 1e-6})
    vectors = random(13, 3)
    curvature = Lissa(damping=0.0).fit(problem)
    condition = torch.linalg.cond(gauss_newton(problem) + torch.diag(problem.penalty))
    assert float(condition) > 1e5 and away(curvature.solve(vectors), truth(problem, vectors)) <= 1e-3


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000), spread=st.floats(0.0, 2.0), l2=st.floats(1e-6, 1.0), free=st.booleans(),
    shape=st.tuples(st.integers(2, 40), st.integers(8, 90)),
)  # fmt: skip
def test_whatever_the_spectrum_an_answer_is_right_or_refused(
    seed: int, spread: float, l2: float, free: bool, shape: tuple[int, int]
) -> None:
    features, n = shape
    x = random(n, features, seed=seed) * torch.logspace(-spread, spread / 2, features, dtype=torch.float64)
    stated = {"weight": l2} if free else l2
    problem = posed(nn.Linear(features, 1).double(), x, random(n, 1, seed=seed + 1), loss=squared_loss, l2=stated)
    vectors = random(problem.layout.size, 2, seed=seed)
    try:
        got = Lissa(damping=0.0, most=2000).fit(problem).solve(vectors)
    except NumericsError as reason:
        assert "steps" in str(reason)
        return
    assert away(got, truth(problem, vectors)) <= 1e-3


def test_samples_of_records_scatter_around_the_answer_by_their_stated_error(mlp: Network) -> None:
    problem = posed(*mlp, l2=0.2)
    vectors = random(problem.layout.size, 2)
    runs = [Lissa(sample=20, seed=seed, repeats=6).fit(problem) for seed in (0, 0, 100)]
    first, again, other = (run.solve(vectors) for run in runs)
    assert torch.equal(first, again) and not torch.allclose(first, other)
    wanted = truth(problem, vectors)
    for run, got in ((runs[0], first), (runs[2], other)):
        (quality,) = run.quality()
        assert quality.name == "solver standard error" and quality.value is not None
        assert 0.2 * quality.value <= away(got, wanted) <= 3 * quality.value < 0.3
    coarse = Lissa(sample=2, repeats=6).fit(problem)
    fine = Lissa(sample=60, repeats=6).fit(problem)
    assert recursion(coarse).scale > recursion(fine).scale
