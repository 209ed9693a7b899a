from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from auditkit.influence.capture import trace
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import gauss_newton
from auditkit.influence.estimators.kfac import Kfac
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import Problem
from tests.influence.conftest import posed, random
from tests.influence.modules import module_problem
from tests.worlds import squared_loss

LAYERS = (("0.weight", "0.bias"), ("1.weight",), ("2.weight", "2.bias"))


def build(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers).double().eval()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


def deep_linear(l2: float | Mapping[str, float], weights: Tensor | None = None) -> Problem:
    module = build(nn.Linear(5, 4), nn.Linear(4, 6, bias=False), nn.Linear(6, 3))
    return posed(module, random(60, 5), random(60, 3, seed=1), loss=squared_loss, l2=l2, weights=weights)


def blocks(problem: Problem, damping: float) -> Tensor:
    dense, spans = gauss_newton(problem), problem.layout.spans()
    kept = torch.zeros_like(dense)
    for names in LAYERS:
        index = torch.cat([torch.arange(spans[n].start, spans[n].stop) for n in names])
        kept[index[:, None], index] = dense[index[:, None], index]
    return kept + torch.diag(problem.penalty + damping)


@pytest.mark.parametrize(
    "l2", [1e-2, {"0.weight": 1e-2, "1.weight": 2e-2, "2.weight": 3e-3, "2.bias": 1e-2}, {"1.weight": 1e-2}]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_deep_linear_networks_are_exact_block_by_block(l2: float | Mapping[str, float], weighted: bool) -> None:
    problem = deep_linear(l2, random(60, seed=4).abs() if weighted else None)
    curvature = Kfac(damping=1e-3).fit(problem)
    assert curvature.covered == problem.layout.size and set(curvature.damping) == {"0", "1", "2"}
    dense, vectors = blocks(problem, 1e-3), random(problem.layout.size, 3)
    torch.testing.assert_close(curvature.solve(vectors), torch.linalg.solve(dense, vectors), rtol=1e-8, atol=1e-9)
    jacobian = output_jacobian(problem, problem.inputs)
    cross, gram = curvature.probe(problem.inputs, None, vectors)
    torch.testing.assert_close(cross, jacobian @ vectors, rtol=1e-8, atol=1e-9)
    wanted = jacobian @ torch.linalg.solve(dense, jacobian.transpose(1, 2))
    torch.testing.assert_close(gram, wanted, rtol=1e-8, atol=1e-9)


def test_a_nonlinear_layer_is_the_product_of_its_factors_and_not_the_corrected_one(
    mlp: tuple[nn.Sequential, Tensor, Tensor],
) -> None:
    problem = posed(*mlp)
    kfac, ekfac = Kfac(damping=0.0).fit(problem), Ekfac(damping=0.0).fit(problem)
    seen = trace(problem, kfac.sites, problem.inputs)
    site = next(s for s in kfac.sites if s.name == "2")
    inputs = seen.inputs(site)[:, 0]
    p = torch.softmax(seen.outputs.detach(), 1)
    outputs = (torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)).mean(0)
    block = torch.kron(outputs, inputs.T @ inputs / problem.n) + 1e-2 * torch.eye(21, dtype=torch.float64)
    spans, vectors = problem.layout.spans(), torch.zeros(problem.layout.size, 2, dtype=torch.float64)
    vectors[spans["2.weight"]], vectors[spans["2.bias"]] = random(18, 2), random(3, 2, seed=1)
    matrix = torch.cat([vectors[spans["2.weight"]].view(3, 6, 2), vectors[spans["2.bias"]].view(3, 1, 2)], dim=1)
    wanted = torch.linalg.solve(block, matrix.reshape(21, 2)).view(3, 7, 2)
    got = kfac.solve(vectors)
    torch.testing.assert_close(got[spans["2.weight"]].view(3, 6, 2), wanted[:, :6])
    torch.testing.assert_close(got[spans["2.bias"]], wanted[:, 6])
    assert float((ekfac.solve(vectors) - got).norm() / got.norm()) > 1e-2


def test_one_embedding_under_squared_loss_is_exact() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 2, padding_idx=1)

        def forward(self, codes: Tensor) -> Tensor:
            return self.table(codes)

    codes = torch.tensor([0, 0, 0, 2, 2, 3, 4, 4, 4, 4])
    problem = posed(Table().double().eval(), codes, random(10, 2), loss=squared_loss, l2=1e-2)
    curvature = Kfac(damping=0.0).fit(problem)
    eye = torch.eye(problem.layout.size, dtype=torch.float64)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    torch.testing.assert_close(curvature.solve(eye), torch.linalg.inv(dense), rtol=1e-9, atol=1e-12)


def test_shared_positions_count_as_independent() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.each(x).mean(1)

    x = random(4000, 4, 3)
    problem = posed(Mean().double().eval(), x, random(4000, 2, seed=1), loss=squared_loss)
    got = Kfac(damping=0.0).fit(problem).blocks["each"].eigenvalues
    # d is 1/4 of the identity at each of 4 positions; the positions of x are independent with mean zero.
    second = torch.cat([x, torch.ones(4000, 4, 1, dtype=torch.float64)], 2).flatten(0, 1)
    wanted = torch.linalg.eigvalsh(second.T @ second / 4000) / 16
    torch.testing.assert_close(got, wanted.expand(2, -1))
    spans = problem.layout.spans()
    exact = gauss_newton(problem)[spans["each.weight"], spans["each.weight"]].diagonal().mean()
    assert float(wanted[:3].mean()) == pytest.approx(float(exact), rel=0.1)


def test_coverage_is_that_of_ekfac() -> None:
    problem = module_problem("norm")
    assert Kfac(damping=1e-3).fit(problem).covered == problem.layout.size
    curvature = Kfac(damping=1e-3, dense_limit=8).fit(problem)
    assert curvature.covered == problem.layout.size and set(curvature.blocks) == {"first", "last", "norm.bias"}
