from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.influence import metric, products
from auditkit.influence.estimators.arnoldi import Arnoldi
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import Problem
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem

Network = tuple[nn.Sequential, Tensor, Tensor]
MIXED = {"0.weight": 2e-2, "0.bias": 0.5, "2.weight": 1e-2, "2.bias": 3e-3}


def away(got: Tensor, truth: Tensor) -> float:
    return float(((got - truth).norm(dim=0) / truth.norm(dim=0)).max())


def by_hand(problem: Problem, rank: int, complement: str) -> Tensor:
    """H⁻¹ with the `rank` top eigenvalues of the scaled curvature and one value for all others, from dense matrices."""
    root = problem.penalty.sqrt()
    values, vectors = torch.linalg.eigh(gauss_newton(problem) / torch.outer(root, root))
    values[:-rank] = values[:-rank].mean() if complement == "mean" else 0.0
    return vectors @ torch.diag(1 / (1 + values)) @ vectors.T / torch.outer(root, root)


@pytest.mark.parametrize("name", sorted(MODULES))
@pytest.mark.parametrize("held", [0, 2**23])
def test_at_full_rank_it_is_the_dense_inverse(name: str, held: int) -> None:
    problem = module_problem(name, batch=11)
    curvature = Arnoldi(damping=1e-3, held=held).fit(problem)
    dense = gauss_newton(problem) + torch.diag(problem.penalty + 1e-3)
    vectors = random(problem.layout.size, 3)
    assert curvature.captured == pytest.approx(1) and curvature.knows_leverage
    assert away(curvature.solve(vectors), torch.linalg.solve(dense, vectors)) <= 1e-8
    jacobian = output_jacobian(problem, problem.inputs)
    for probes in (None, random(problem.n, problem.classes, 1, seed=3)):
        seen = jacobian if probes is None else probes.transpose(1, 2) @ jacobian
        cross, gram = curvature.probe(problem.inputs, probes, vectors)
        torch.testing.assert_close(cross, seen @ vectors)
        wanted = seen @ torch.linalg.solve(dense, seen.transpose(1, 2))
        assert away(gram.flatten(1).T, wanted.flatten(1).T) <= 1e-8


@pytest.mark.parametrize("l2", [1e-2, MIXED])
@pytest.mark.parametrize("complement", ["mean", "penalty"])
def test_what_is_not_kept_counts_by_the_stated_rule(
    complement: Literal["mean", "penalty"], l2: float | dict[str, float], mlp: Network
) -> None:
    problem = posed(*mlp, l2=l2)
    # One basis vector short of the whole space: the kept pairs are converged, the rest is discarded.
    curvature = Arnoldi(damping=0.0, steps=problem.layout.size - 1, keep=6, complement=complement).fit(problem)
    vectors, wanted = random(problem.layout.size, 3), by_hand(problem, 6, complement)
    assert curvature.directions.shape[1] == 6
    assert away(curvature.solve(vectors), wanted @ vectors) <= 1e-6
    jacobian = output_jacobian(problem, problem.inputs)
    _, gram = curvature.probe(problem.inputs, None, vectors)
    assert away(gram.flatten(1).T, (jacobian @ wanted @ jacobian.transpose(1, 2)).flatten(1).T) <= 1e-6


def test_the_captured_share_is_that_of_the_trace_and_is_printed(mlp: Network) -> None:
    problem = posed(*mlp)
    values = torch.linalg.eigvalsh(gauss_newton(problem)).flip(0)
    for keep, warns in ((2, True), (20, False)):
        curvature = Arnoldi(steps=50, keep=keep).fit(problem)
        quality, residual = curvature.quality()
        assert residual.value is not None and residual.value < 1e-6 and not residual.warns
        assert quality.value == pytest.approx(float(values[:keep].sum() / values.sum()), rel=1e-6)
        assert quality.warns is warns and f"{keep} kept eigenpairs of 51" in quality.text


def test_a_basis_that_is_too_small_says_that_its_pairs_are_no_eigenpairs(mlp: Network) -> None:
    problem = posed(*mlp)
    curvature = Arnoldi(steps=6, keep=6).fit(problem)
    _, quality = curvature.quality()
    root = problem.penalty.sqrt()
    scaled = gauss_newton(problem) / torch.outer(root, root)
    pairs = root.unsqueeze(1) * curvature.directions
    by_hand = (scaled @ pairs - pairs * curvature.values).norm(dim=0) / (1 + curvature.values)
    assert quality.value == pytest.approx(float(by_hand.max())) and quality.warns


def test_below_full_rank_the_inverse_comes_from_above_and_leverage_is_not_claimed(mlp: Network) -> None:
    problem = posed(*mlp)
    curvature = Arnoldi(steps=50, keep=8, complement="penalty").fit(problem)
    eye = torch.eye(problem.layout.size, dtype=torch.float64)
    exact = torch.linalg.inv(gauss_newton(problem) + torch.diag(problem.penalty))
    gap = torch.linalg.eigvalsh(curvature.solve(eye) - exact)
    assert float(gap[0]) >= -1e-6 * float(gap[-1]) and float(gap[-1]) > 1
    assert not curvature.knows_leverage and curvature.leverage_bound < 1
    assert score(problem, curvature, mean_losses(problem, *mlp[1:])).form == "first-order"


def test_more_eigenpairs_come_closer_to_the_exact_scores(mlp: Network) -> None:
    problem = posed(*mlp)
    evaluation = mean_losses(problem, *mlp[1:])
    truth = score(problem, Exact().fit(problem), evaluation, form="first-order").effects
    fitted = [Arnoldi(steps=50, keep=k, complement="penalty").fit(problem) for k in (2, 10, 30)]
    errors = [away(score(problem, c, evaluation, form="first-order").effects, truth) for c in fitted]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_scores_form_no_gradient_of_a_record_for_linear_layers_and_embeddings(
    mlp: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    for problem in (posed(*mlp), module_problem("embedding")):
        curvature = Arnoldi(damping=1e-3, held=0).fit(problem)

        def refuse(*_: object, **__: object) -> Tensor:
            raise AssertionError("a per-record gradient was formed")

        with monkeypatch.context() as patch:
            patch.setattr(metric, "output_jacobian", refuse)
            patch.setattr(products, "output_jacobian", refuse)
            cross, gram = curvature.probe(problem.inputs, None, random(problem.layout.size, 2))
        assert cross.shape == (problem.n, problem.classes, 2) and bool((gram.diagonal(dim1=1, dim2=2) >= 0).all())


def test_a_parameter_without_penalty_is_exact_at_full_rank_and_has_the_floor_beyond(mlp: Network) -> None:
    problem = posed(*mlp, l2={"0.weight": 1e-2, "2.weight": 1e-2, "2.bias": 1e-2})
    vectors, span = random(problem.layout.size, 3), problem.layout.spans()["0.bias"]
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    full = Arnoldi(damping=0.0).fit(problem)
    assert away(full.solve(vectors), torch.linalg.solve(dense, vectors)) <= 1e-8
    floor = 1e-3 * float(gauss_newton(problem).diagonal().mean())
    assert full.subspace.metric[span].tolist() == pytest.approx([floor] * 6)
    stiff = full.stiffer(4.0)
    wanted = torch.linalg.solve(gauss_newton(problem) + 4 * torch.diag(problem.penalty), vectors)
    assert away(stiff.solve(vectors), wanted) <= 1e-8


def test_a_singular_curvature_is_refused_at_damping_zero_and_served_by_auto() -> None:
    problem = posed(nn.Linear(3, 2).double(), random(20, 3), torch.arange(20) % 2, l2={"weight": 1e-2})
    with pytest.raises(NumericsError, match=r"not positive definite with damping 0; set influence\.damping"):
        Arnoldi(damping=0.0).fit(problem)
    curvature = Arnoldi().fit(problem)
    added = curvature.damping["all"]
    vectors = random(problem.layout.size, 2)
    wanted = torch.linalg.solve(gauss_newton(problem) + torch.diag(problem.penalty + added), vectors)
    assert added > 0 and away(curvature.solve(vectors), wanted) <= 1e-8
