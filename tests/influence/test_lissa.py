from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.influence.estimators.exact import gauss_newton
from auditkit.influence.estimators.lissa import Lissa, Neumann, largest_eigenvalue
from auditkit.influence.iterative import IterativeCurvature, Journal
from auditkit.influence.problem import Problem
from auditkit.influence.products import GaussNewton
from tests.influence.conftest import posed, random
from tests.influence.modules import MODULES, module_problem

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
    with pytest.raises(NumericsError, match=r"may need [\d,]+ steps, more than 100;.*influence\.estimator to cg"):
        Lissa(most=100).fit(posed(*mlp))
    bare = posed(*mlp, l2={"0.weight": 1e-2, "2.weight": 1e-2, "2.bias": 1e-2})
    with pytest.raises(NumericsError, match=r"did not reach a relative error of 1e-04 in 100 steps"):
        Lissa(damping=0.0, most=100).fit(bare)


def test_auto_lifts_a_singular_curvature_and_never_one_that_is_only_slow() -> None:
    def linear(l2: float | dict[str, float]) -> Problem:
        return posed(nn.Linear(3, 2).double(), random(20, 3), torch.arange(20) % 2, l2=l2)

    with pytest.raises(NumericsError, match="did not reach"):
        Lissa(damping=0.0, most=5000).fit(linear({"weight": 1e-2}))
    with pytest.raises(NumericsError, match="may need"):
        Lissa(most=5000).fit(linear(1e-4))
    # Lifted to the floor of an affine model, which is so low that the steps are foreseen to be too many.
    with pytest.raises(NumericsError, match="may need"):
        Lissa(most=5000).fit(linear({"weight": 1e-2}))


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
