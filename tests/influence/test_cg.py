from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import ModelError, NumericsError
from auditkit.influence import iterative
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.conjugate import ConjugateGradients, Jacobi
from auditkit.influence.estimators.cg import Cg
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.estimators.lissa import Lissa
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import pose
from auditkit.influence.scoring import score
from auditkit.influence.subspace import SubspaceCurvature
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem
from tests.worlds import cross_entropy

Network = tuple[nn.Sequential, Tensor, Tensor]


def away(got: Tensor, truth: Tensor) -> float:
    return float(((got - truth).norm(dim=0) / truth.norm(dim=0)).max())


def preconditioner(curvature: iterative.IterativeCurvature) -> object:
    assert isinstance(curvature.solver, ConjugateGradients)
    return curvature.solver.preconditioner


@pytest.mark.parametrize("name", sorted(MODULES))
@pytest.mark.parametrize(("choice", "steps"), [("krylov", 8), ("krylov", 256), ("ekfac", 0), ("diagonal", 0)])
def test_without_any_matrix_it_solves_to_the_contract(
    name: str, choice: Literal["krylov", "ekfac", "diagonal"], steps: int
) -> None:
    problem = module_problem(name, batch=11)
    curvature = Cg(damping=1e-3, held=0, preconditioner=choice, steps=steps).fit(problem)
    vectors = random(problem.layout.size, 4)
    truth = torch.linalg.solve(gauss_newton(problem) + torch.diag(problem.penalty + 1e-3), vectors)
    assert away(curvature.solve(vectors), truth) <= 1e-8
    kinds = {"krylov": SubspaceCurvature, "ekfac": BlockCurvature, "diagonal": Jacobi}
    assert isinstance(preconditioner(curvature), kinds[choice])


def test_columns_converge_on_their_own_and_a_zero_column_stays_zero(mlp: Network) -> None:
    problem = posed(*mlp)
    curvature = Cg().fit(problem)
    vectors = random(problem.layout.size, 4) * torch.tensor([1e-9, 1.0, 1e9, 0.0])
    truth = torch.linalg.solve(gauss_newton(problem) + torch.diag(problem.penalty), vectors)
    got = curvature.solve(vectors)
    assert away(got[:, :3], truth[:, :3]) <= 1e-8 and not got[:, 3].any()


@pytest.mark.parametrize("form", ["newton", "first-order"])
def test_one_solve_for_each_record_gives_what_the_inverse_gives(
    form: str, mlp: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = posed(*mlp)
    evaluation = mean_losses(problem, mlp[1], mlp[2])
    truth = score(problem, Exact().fit(problem), evaluation, form=form)  # type: ignore[arg-type]
    monkeypatch.setattr(iterative, "_INVERSE_PARAMETERS", 0)
    curvature = Cg().fit(problem)
    got = score(problem, curvature, evaluation, form=form)  # type: ignore[arg-type]
    assert away(got.effects, truth.effects) <= 1e-8
    assert away(got.self_influence.unsqueeze(1), truth.self_influence.unsqueeze(1)) <= 1e-8
    columns = problem.n * (problem.classes if form == "newton" else 1)
    assert curvature.journal.systems == columns + 2


def test_quadratic_forms_that_are_too_dear_are_refused_before_they_start(
    mlp: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iterative, "_INVERSE_PARAMETERS", 0)
    problem = posed(*mlp)
    evaluation = mean_losses(problem, mlp[1], mlp[2])
    trial = Cg().fit(problem).trial
    one_column_each = problem.n * trial * 10.0 * problem.n * problem.layout.size
    curvature = Cg(operations=one_column_each).fit(problem)
    assert not curvature.knows_leverage
    assert score(problem, curvature, evaluation).form == "first-order"
    with pytest.raises(ModelError, match=r"self-influence of 120 records with 51 parameters .*arnoldi or ekfac"):
        score(problem, Cg(operations=one_column_each / 2).fit(problem), evaluation)


def test_the_quality_tells_the_residual_and_the_iterations(mlp: Network) -> None:
    problem = posed(*mlp)
    curvature = Cg(preconditioner="diagonal").fit(problem)
    curvature.solve(random(problem.layout.size, 3))
    (quality,) = curvature.quality()
    assert quality.value is not None and 0 < quality.value <= 1e-12
    assert "of 3 linear systems" in quality.text and f"at most {curvature.journal.iterations} it" in quality.text
    assert 3 <= curvature.journal.iterations <= 2 * problem.layout.size


def test_a_preconditioner_changes_the_iterations_and_not_the_answer(mlp: Network) -> None:
    problem = posed(*mlp, l2=1e-4)
    vectors = random(problem.layout.size, 2)
    fitted = [Cg(preconditioner="diagonal").fit(problem), *(Cg(steps=steps).fit(problem) for steps in (24, 51))]
    answers = [curvature.solve(vectors) for curvature in fitted]
    assert away(answers[1], answers[0]) <= 1e-8 and away(answers[2], answers[0]) <= 1e-8
    counts = [curvature.journal.iterations for curvature in fitted]
    assert counts[0] > 1.5 * counts[1] > counts[2] and counts[2] <= 3


def test_a_residual_that_is_not_reached_is_refused(mlp: Network) -> None:
    with pytest.raises(NumericsError, match=r"relative residual of .* after 2 iterations, above 1e-08, in 1 of 1"):
        Cg(iterations=2, steps=8).fit(posed(*mlp))


def test_a_singular_curvature_is_refused_at_damping_zero_and_served_by_auto() -> None:
    problem = posed(nn.Linear(3, 2).double(), random(20, 3), torch.arange(20) % 2, l2={"weight": 1e-2})
    with pytest.raises(NumericsError, match=r"may be singular; set influence\.damping"):
        Cg(damping=0.0).fit(problem)
    curvature = Cg().fit(problem)
    added = curvature.damping["all"]
    vectors = random(problem.layout.size, 2)
    truth = torch.linalg.solve(gauss_newton(problem) + torch.diag(problem.penalty + added), vectors)
    assert added > 0 and away(curvature.solve(vectors), truth) <= 1e-8


def test_float32_passes_reach_what_float32_can(mlp: Network) -> None:
    module, x, y = mlp
    problem = pose(module, cross_entropy, (x,), y, weight_decay=1e-2, dtype=torch.float32)
    curvature = Cg(held=0).fit(problem)
    vectors = random(problem.layout.size, 3)
    truth = torch.linalg.solve(gauss_newton(problem) + torch.diag(problem.penalty), vectors)
    assert away(curvature.solve(vectors), truth) <= 1e-4
    (quality,) = curvature.quality()
    assert quality.value is not None and 1e-9 < quality.value < 1e-4


@pytest.mark.parametrize("choice", ["krylov", "ekfac"])
def test_a_layer_that_is_never_called_is_solved_by_its_penalty(choice: Literal["krylov", "ekfac"]) -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(4, 2), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    problem = posed(Spare().double().eval(), random(20, 4), torch.arange(20) % 2)
    curvature = Cg(preconditioner=choice).fit(problem)
    vectors = random(problem.layout.size, 2)
    span = problem.layout.spans()["spare.weight"]
    torch.testing.assert_close(curvature.solve(vectors)[span], vectors[span] / 1e-2)
    cross, _ = curvature.probe(problem.inputs, None, vectors)
    torch.testing.assert_close(cross, output_jacobian(problem, problem.inputs) @ vectors)


@pytest.mark.parametrize("name", ["cg", "lissa"])
def test_without_self_influence_no_record_takes_a_solve(
    name: str, mlp: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iterative, "_INVERSE_PARAMETERS", 0)
    module, x, y = mlp
    problem = posed(module, x, y, weights=random(len(y), seed=3).abs())
    evaluation = mean_losses(problem, x, y)
    truth = score(problem, Exact().fit(problem), evaluation, form="first-order")
    kind = {"cg": Cg, "lissa": Lissa}[name]
    curvature = kind(operations=1.0).fit(problem)
    with pytest.raises(ModelError, match="leave self-influence out"):
        score(problem, curvature, evaluation)
    before = curvature.journal.systems
    got = score(problem, curvature, evaluation, own=False)
    assert got.form == "first-order" and curvature.journal.systems == before + 2 + 8
    assert away(got.effects, truth.effects) <= 1e-3 and not got.self_influence.any()
    # The typical length is that of all records, from eight mixed columns of 120 records.
    ratio = float(got.plain_self.mean() / truth.plain_self.mean())
    assert 0.6 < ratio < 1.6
    pulled = score(problem, curvature, evaluation, own=False, pull=random(problem.layout.size))
    whole = score(problem, Exact().fit(problem), evaluation, form="first-order", pull=random(problem.layout.size))
    assert away(pulled.effects, whole.effects) <= 1e-3
