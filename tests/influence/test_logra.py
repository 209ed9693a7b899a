from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.influence import projecting
from auditkit.influence.estimators.exact import gauss_newton
from auditkit.influence.estimators.logra import Logra
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import Problem
from auditkit.influence.projected import ProjectedCurvature
from auditkit.influence.projection import Projection
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem

FULL = 10_000


def names_of_blocks(projection: Projection) -> list[tuple[str, ...]]:
    return [*(site.names for site in projection.sites), *(run.names for run in projection.runs.values())]


def block_diagonal(problem: Problem, projection: Projection) -> Tensor:
    """The dense Gauss-Newton matrix with everything outside the blocks set to zero, without any penalty."""
    dense, spans = gauss_newton(problem), problem.layout.spans()
    kept = torch.zeros_like(dense)
    for names in names_of_blocks(projection):
        index = torch.cat([torch.arange(spans[n].start, spans[n].stop) for n in names])
        kept[index[:, None], index] = dense[index[:, None], index]
    return kept


def assert_close(found: Tensor, wanted: Tensor) -> None:
    """Equal to 1e-8 of the largest number."""
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-8


def assert_inverts(curvature: ProjectedCurvature, dense: Tensor) -> None:
    """`solve` and `probe` are those of P (Pᵀ dense P)⁻¹ Pᵀ."""
    problem = curvature.problem
    p = curvature.projection.up(torch.eye(sum(curvature.projection.widths.values()), dtype=torch.float64))
    inverse = p @ torch.linalg.inv(p.T @ dense @ p) @ p.T
    vectors = random(problem.layout.size, 3, seed=9)
    assert_close(curvature.solve(vectors), inverse @ vectors)
    jacobian = output_jacobian(problem, problem.inputs)
    cross, gram = curvature.probe(problem.inputs, None, curvature.solve(vectors))
    assert_close(cross, jacobian @ inverse @ vectors)
    assert_close(gram, jacobian @ inverse @ jacobian.transpose(1, 2))


def penalty_of(problem: Problem, kind: str) -> float | Mapping[str, float]:
    if kind == "uniform":
        return 1e-2
    names = problem.layout.names
    if kind == "unpenalised bias":
        return {name: 1e-2 for name in names if not name.endswith("bias")}
    return {name: 1e-2 * (1 + k) for k, name in enumerate(names)}


@pytest.mark.parametrize("kind", ["uniform", "unpenalised bias", "by parameter"])
@pytest.mark.parametrize("name", MODULES)
def test_at_full_rank_it_is_the_block_gauss_newton_matrix(name: str, kind: str) -> None:
    problem = module_problem(name, l2=penalty_of(module_problem(name), kind))
    curvature = Logra(damping=1e-3, rank=FULL).fit(problem)
    dense = block_diagonal(problem, curvature.projection) + torch.diag(problem.penalty + 1e-3)
    assert curvature.covered == problem.layout.size and curvature.kept == pytest.approx(1.0)
    assert sum(curvature.projection.sizes().values()) == problem.layout.size
    vectors = random(problem.layout.size, 3, seed=9)
    assert_close(curvature.solve(vectors), torch.linalg.solve(dense, vectors))
    assert_inverts(curvature, dense)


@pytest.mark.parametrize("directions", ["random", "leading"])
@pytest.mark.parametrize("name", MODULES)
def test_at_low_rank_it_is_the_projected_block_gauss_newton_matrix(name: str, directions: str) -> None:
    problem = module_problem(name, l2=penalty_of(module_problem(name), "by parameter"))
    curvature = Logra(damping=1e-3, rank=2, directions=directions).fit(problem)  # type: ignore[arg-type]
    p = curvature.projection.up(torch.eye(sum(curvature.projection.widths.values()), dtype=torch.float64))
    torch.testing.assert_close(p.T @ p, torch.eye(p.shape[1], dtype=torch.float64), rtol=0, atol=1e-12)
    assert p.shape[1] < p.shape[0]
    ggn = block_diagonal(problem, curvature.projection)
    assert curvature.kept == pytest.approx(float((p.T @ ggn @ p).trace() / ggn.trace()), rel=1e-9)
    assert_inverts(curvature, ggn + torch.diag(problem.penalty + 1e-3))


def test_another_damping_is_that_of_a_new_fit() -> None:
    problem = module_problem("norm", l2=1e-2)
    names = Logra(damping=0.0).fit(problem).damping
    fitted, moved = Logra(damping=0.3, rank=3).fit(problem), Logra(damping=0.1, rank=3).fit(problem)
    vectors = random(problem.layout.size, 2, seed=4)
    assert_close(moved.damped(dict.fromkeys(names, 0.3)).solve(vectors), fitted.solve(vectors))
    assert moved.damped({}).damping == moved.damping == dict.fromkeys(names, 0.1)
    whole = block_diagonal(problem, moved.projection)
    p = moved.projection.up(torch.eye(sum(moved.projection.widths.values()), dtype=torch.float64))
    spectra, spans = moved.spectra(vectors), moved.projection.spans()
    for name, spectrum in spectra.items():
        inside = p[:, spans[name]]
        wanted = torch.linalg.eigvalsh(inside.T @ whole @ inside)
        torch.testing.assert_close(spectrum.eigenvalues.sort().values, wanted.clamp(min=0), rtol=1e-8, atol=1e-12)
        assert float(spectrum.turned.norm()) == pytest.approx(float((inside.T @ vectors).norm()))
        assert spectrum.own == pytest.approx(1e-2)


def test_auto_damping_does_not_depend_on_the_rank() -> None:
    """The floor goes by the mean eigenvalue before projection, so that rank changes the projection and nothing else."""
    problem = module_problem("norm", l2=0.0)
    few, all_of_them = (Logra(rank=rank).fit(problem).damping for rank in (2, FULL))
    assert few == pytest.approx(all_of_them) and min(few.values()) > 0


def test_a_singular_curvature_is_refused_at_damping_zero() -> None:
    problem = module_problem("norm", l2=0.0)
    with pytest.raises(NumericsError, match=r"damping 0.*influence\.damping"):
        Logra(damping=0.0).fit(problem)


def test_what_lies_outside_is_said_and_warned_of(mlp: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    module, x, y = mlp
    problem = posed(module, x, y)
    narrow, wide = Logra(rank=1).fit(problem), Logra(rank=6).fit(problem)
    (low,), (high,) = narrow.quality(), wide.quality()
    assert low.name == high.name == "curvature inside the projection"
    assert low.warns and not high.warns and (low.value or 0) < 0.5 < (high.value or 0)
    evaluation = mean_losses(problem, x, y)
    truth = score(problem, Logra(rank=FULL).fit(problem), evaluation).effects
    errors = [float((score(problem, c, evaluation).effects - truth).norm()) for c in (narrow, wide)]
    assert errors[1] < 0.2 * errors[0]


def test_a_large_group_is_projected_run_by_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "RUN", 3)
    problem = module_problem("norm", l2=1e-2)
    curvature = Logra(damping=1e-3, rank=2).fit(problem)
    assert max(len(run.pieces) for run in curvature.projection.runs.values()) > 1
    ggn = block_diagonal(problem, curvature.projection)
    assert_inverts(curvature, ggn + torch.diag(problem.penalty + 1e-3))
