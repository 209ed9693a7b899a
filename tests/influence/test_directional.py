from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.capture import trace
from auditkit.influence.directional import directional, forward_pays, has_forward_rules
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import Problem
from tests.influence.conftest import posed, random
from tests.influence.kinds import KINDS, Attend
from tests.influence.modules import module_problem

FORWARD = ["attention", "bilinear", "tied", "instance norm", "transposed convolution", "orthogonal"]


@pytest.mark.parametrize("name", FORWARD)
def test_derivatives_along_directions_are_the_jacobians(name: str) -> None:
    problem = KINDS[name].problem()
    names, spans = problem.layout.names, problem.layout.spans()
    vectors = random(problem.layout.size, 3)
    found = directional(problem, problem.inputs, {n: vectors[spans[n]] for n in names})
    torch.testing.assert_close(found, output_jacobian(problem, problem.inputs) @ vectors, rtol=1e-9, atol=1e-10)
    assert has_forward_rules(problem, names)
    one = names[-1]
    found = directional(problem, problem.inputs, {one: vectors[spans[one]]})
    wanted = output_jacobian(problem, problem.inputs, names=[one]) @ vectors[spans[one]]
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


def test_modules_without_forward_rules_are_found() -> None:
    for problem in (module_problem("no forward rule"), KINDS["weight norm"].problem()):
        assert not has_forward_rules(problem, problem.layout.names)


class Padded(nn.Module):
    """A tied table whose padding code no record of the first few has."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(5, 3, padding_idx=4), nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(codes).sum(1)))[:, :2]


def test_a_tied_table_with_padding_takes_reverse_mode() -> None:
    codes = torch.arange(24).view(12, 2) % 4
    codes[8:] = 4
    problem = posed(Padded().double().eval(), codes, torch.arange(12) % 2)
    assert not has_forward_rules(problem, problem.layout.names)
    assert crossed(Ekfac(damping=1e-3).fit(problem), own=False)[1] <= 1e-10


def wide_attention() -> Problem:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = Attend(32), nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).mean(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return posed(Wide().double().eval(), random(10, 2, 32), torch.arange(10) % 2)


def crossed(curvature: BlockCurvature, *, own: bool) -> tuple[Tensor, float]:
    """The second product, and how far the first is from the Jacobian's."""
    problem = curvature.problem
    probes, vectors = random(problem.n, problem.classes, 1), random(problem.layout.size, 2)
    seen = trace(problem, curvature.observed, problem.inputs)
    gradients = seen.gradients(curvature.observed, probes)
    cross, gram = curvature.beside_products(seen, gradients, problem.inputs, probes, vectors, own=own)
    inside, spans = torch.zeros(problem.layout.size, 1, dtype=torch.float64), problem.layout.spans()
    for name in curvature.beside.every:
        inside[spans[name]] = 1.0
    wanted = probes.transpose(1, 2) @ output_jacobian(problem, problem.inputs) @ (vectors * inside)
    return gram, float((cross - wanted).abs().max() / wanted.abs().max())


def test_scores_without_self_influence_go_forward_where_that_is_cheaper() -> None:
    curvature = Ekfac(damping=1e-3).fit(wide_attention())
    names = curvature.beside.names
    # 4,224 parameters against two positions: a number of a gradient costs more than a pass along two directions.
    assert curvature.beside.forward(2, 1) == names and forward_pays(curvature.problem, names, directions=2, probes=1)
    assert curvature.beside.forward(500, 1) == ()
    gram, error = crossed(curvature, own=False)
    assert error <= 1e-10 and not gram.any()
    gram, error = crossed(curvature, own=True)
    assert error <= 1e-10 and bool((gram > 0).all())
