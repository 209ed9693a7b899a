from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import NumericsError
from auditkit.influence import metric, products
from auditkit.influence.estimators.arnoldi import Arnoldi
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.likelihood import output_terms
from auditkit.influence.mixing import mixed_gradients
from auditkit.influence.problem import Problem
from auditkit.influence.products import GaussNewton
from auditkit.influence.refined import RefinedCurvature
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem
from tests.worlds import trained_mlp

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
    curvature = Arnoldi(damping=0.0, steps=problem.layout.size - 1, keep=6, complement=complement, polish=0).fit(
        problem
    )
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
        curvature = Arnoldi(steps=50, keep=keep, polish=0).fit(problem)
        quality, residual = curvature.quality()
        assert residual.value is not None and residual.value < 1e-6 and not residual.warns
        assert quality.value == pytest.approx(float(values[:keep].sum() / values.sum()), rel=1e-6)
        assert quality.warns is warns and f"{keep} kept eigenpairs of 51" in quality.text


def test_a_basis_that_is_too_small_says_that_its_pairs_are_no_eigenpairs(mlp: Network) -> None:
    problem = posed(*mlp)
    curvature = Arnoldi(steps=6, keep=6, polish=0).fit(problem)
    _, quality = curvature.quality()
    root = problem.penalty.sqrt()
    scaled = gauss_newton(problem) / torch.outer(root, root)
    pairs = root.unsqueeze(1) * curvature.directions
    by_hand = (scaled @ pairs - pairs * curvature.values).norm(dim=0) / (1 + curvature.values)
    assert quality.value == pytest.approx(float(by_hand.max())) and quality.warns


def test_below_full_rank_the_inverse_comes_from_above_and_leverage_is_not_claimed(mlp: Network) -> None:
    problem = posed(*mlp)
    curvature = Arnoldi(steps=50, keep=8, complement="penalty", polish=0).fit(problem)
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
    fitted = [Arnoldi(steps=50, keep=k, complement="penalty", polish=0).fit(problem) for k in (2, 10, 30)]
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


@pytest.fixture(scope="module")
def wide() -> Problem:
    """420 parameters, so that a small basis leaves most of them out."""
    return posed(*trained_mlp(n=200, features=8, hidden=32, classes=4, l2=1e-3), l2=1e-3)


def against_exact(problem: Problem, settings: Arnoldi) -> tuple[float, float, float, float]:
    """Error of the worst measure; order, size and error of self-influence; first-order."""
    evaluation = mean_losses(problem, problem.inputs[0], problem.targets, slices=3)
    curvature = settings.fit(problem)
    fitted = (Exact(damping=0.0).fit(problem), curvature)
    truth, got = (score(problem, c, evaluation, form="first-order") for c in fitted)
    own, wanted = got.self_influence, truth.self_influence
    order = float(torch.corrcoef(torch.stack([own.argsort().argsort(), wanted.argsort().argsort()]).double())[0, 1])
    return (
        away(got.effects, truth.effects),
        order,
        float(own @ wanted / (wanted @ wanted)),
        away(own[:, None], wanted[:, None]),
    )


@pytest.mark.parametrize(
    ("keep", "polish", "error", "size"), [(10, 32, 5e-2, 0.4), (50, 64, 1e-3, 0.1), (100, 64, 1e-3, 0.05)]
)
def test_few_pairs_give_effects_and_sizes_near_the_exact_ones(
    keep: int, polish: int, error: float, size: float, wide: Problem
) -> None:
    found = against_exact(wide, Arnoldi(damping=0.0, steps=2 * keep, keep=keep, polish=polish))
    assert found[0] <= error and found[1] >= 0.99 and abs(found[2] - 1) <= size
    plain = against_exact(wide, Arnoldi(damping=0.0, steps=2 * keep, keep=keep, complement="mean", polish=0))
    assert plain[0] > 20 * found[0] and plain[3] > 2 * found[3]


def test_the_residual_of_the_measures_is_told_and_warns_where_it_is_large(wide: Problem) -> None:
    evaluation = mean_losses(wide, wide.inputs[0], wide.targets, slices=3)
    for polish, warns in ((4, True), (64, False)):
        curvature = Arnoldi(damping=0.0, steps=20, keep=10, polish=polish).fit(wide)
        assert isinstance(curvature, RefinedCurvature) and not curvature.knows_leverage
        assert score(wide, curvature, evaluation).form == "first-order"
        *_, row = curvature.quality()
        assert row.name == "residual of measures" and row.warns is warns and f"at most {polish} products" in row.text
        assert "of 3 columns" in row.text and row.value is not None and (row.value > 0.05) is warns


def test_rho_makes_the_records_sum_right_and_goes_with_the_penalty(wide: Problem) -> None:
    curvature = Arnoldi(damping=0.0, steps=40, keep=20, polish=400).fit(wide)
    assert isinstance(curvature, RefinedCurvature)
    mixed = mixed_gradients(GaussNewton.of(wide), 8)
    dense = gauss_newton(wide) + torch.diag(wide.penalty)
    wanted = float((mixed * torch.linalg.solve(dense, mixed)).sum())
    base = curvature.base
    assert float((mixed * base.solve(mixed)).sum()) == pytest.approx(wanted, rel=1e-4)
    # Outside the kept directions the curvature stays where it is when the penalty grows.
    stiff = curvature.stiffer(4.0).base
    assert stiff.rest == pytest.approx(base.rest / 4)
    vectors = random(wide.layout.size, 2)
    stiffer = curvature.stiffer(4.0).solve(vectors)
    assert away(stiffer, torch.linalg.solve(gauss_newton(wide) + 4 * torch.diag(wide.penalty), vectors)) <= 1e-4


def test_mixed_gradients_are_unbiased_for_the_sum_and_independent_of_row_order(wide: Problem) -> None:
    operator = GaussNewton.of(wide)
    mixed = mixed_gradients(operator, 512)
    terms = output_terms(wide, wide.outputs(wide.inputs), wide.targets)
    gradients = torch.einsum("bc,bcd->bd", terms.gradient, output_jacobian(wide, wide.inputs))
    assert float(mixed.square().sum()) / 512 == pytest.approx(float(gradients.square().sum()), rel=0.1)
    order = torch.randperm(wide.n, generator=torch.Generator().manual_seed(0))
    module = copy.deepcopy(wide.module).requires_grad_(True)
    turned = posed(module, wide.inputs[0][order], wide.targets[order], l2=1e-3, batch=33)
    torch.testing.assert_close(mixed_gradients(GaussNewton.of(turned), 512), mixed, rtol=1e-9, atol=1e-11)


def test_without_polish_nothing_is_refined_and_the_whole_space_needs_none(mlp: Network) -> None:
    problem = posed(*mlp)
    assert not isinstance(Arnoldi(steps=20, keep=10, polish=0).fit(problem), RefinedCurvature)
    assert not isinstance(Arnoldi().fit(problem), RefinedCurvature)
