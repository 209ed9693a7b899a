from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.influence.capture import candidate_sites, unused_sites, verified_sites
from auditkit.influence.curvature import Curvature
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.problem import Problem
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.worlds import binary_cross_entropy, cross_entropy, squared_loss

Groups = Sequence[Sequence[str]]


def block_curvature(problem: Problem, groups: Groups, damping: float = 0.0) -> Tensor:
    """Dense Gauss–Newton matrix with everything outside the groups' blocks set to zero, penalised."""
    dense, spans = gauss_newton(problem), problem.layout.spans()
    kept = torch.zeros_like(dense)
    for names in groups:
        index = torch.cat([torch.arange(spans[n].start, spans[n].stop) for n in names])
        kept[index[:, None], index] = dense[index[:, None], index]
    return kept + torch.diag(problem.penalty + damping)


def assert_is(curvature: Curvature, dense: Tensor, problem: Problem) -> None:
    vectors = random(problem.layout.size, 3, seed=9)
    solved = torch.linalg.solve(dense, vectors)
    torch.testing.assert_close(curvature.solve(vectors), solved, rtol=1e-8, atol=1e-9)
    jacobian = output_jacobian(problem, problem.inputs)
    cross, gram = curvature.probe(problem.inputs, None, vectors)
    torch.testing.assert_close(cross, jacobian @ vectors, rtol=1e-8, atol=1e-9)
    wanted = jacobian @ torch.linalg.solve(dense, jacobian.transpose(1, 2))
    torch.testing.assert_close(gram, wanted, rtol=1e-8, atol=1e-9)


def build(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers).double().eval()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


L2S: list[float | Mapping[str, float]] = [1e-2, {"0.weight": 1e-2}, {"0.weight": 2e-2, "0.bias": 0.5}]


@pytest.mark.parametrize("l2", L2S)
def test_one_linear_layer_under_squared_loss_is_exact(l2: float | Mapping[str, float]) -> None:
    problem = posed(build(nn.Linear(5, 3)), random(40, 5), random(40, 3, seed=1), loss=squared_loss, l2=l2)
    curvature = Ekfac(damping=1e-4).fit(problem)
    assert_is(curvature, block_curvature(problem, [problem.layout.names], 1e-4), problem)


@pytest.mark.parametrize(
    "l2", [1e-2, {"0.weight": 1e-2, "1.weight": 2e-2, "2.weight": 3e-3, "2.bias": 1e-2}, {"1.weight": 1e-2}]
)
def test_deep_linear_networks_are_exact_block_by_block(l2: float | Mapping[str, float]) -> None:
    module = build(nn.Linear(5, 4), nn.Linear(4, 6, bias=False), nn.Linear(6, 3))
    problem = posed(module, random(60, 5), random(60, 3, seed=1), loss=squared_loss, l2=l2)
    groups = [("0.weight", "0.bias"), ("1.weight",), ("2.weight", "2.bias")]
    curvature = Ekfac(damping=1e-3).fit(problem)
    assert curvature.covered == problem.layout.size and set(curvature.damping) == {"0", "1", "2"}
    assert_is(curvature, block_curvature(problem, groups, 1e-3), problem)


def test_scores_of_a_small_network_follow_its_own_block_diagonal(mlp: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    module, x, y = mlp
    problem = posed(module, x, y)
    groups = [("0.weight", "0.bias"), ("2.weight", "2.bias")]
    dense = block_curvature(problem, groups)
    evaluation = mean_losses(problem, *(t.flip(0) for t in (x, y)))
    ekfac = score(problem, Ekfac(damping=0.0).fit(problem), evaluation, form="first-order")
    jacobian = output_jacobian(problem, (x,))
    residual = torch.softmax(problem.outputs((x,)), 1) - torch.eye(3, dtype=torch.float64)[y]
    gradients = torch.einsum("bc,bcd->bd", residual, jacobian)
    solved = torch.linalg.solve(dense, gradients.T)
    own = (gradients.T * solved).sum(0) / problem.n
    slices = torch.stack([m.weights for m in evaluation.measures], 1)
    effects = (solved.T @ (gradients.flip(0).T @ slices)) / problem.n
    for s in range(2):
        assert torch.corrcoef(torch.stack([ekfac.effects[:, s], effects[:, s]]))[0, 1] >= 0.8
    assert torch.corrcoef(torch.stack([ekfac.self_influence, own]))[0, 1] >= 0.95


class Tabular(nn.Module):
    """Numbers beside category codes, as a tabular model has them; all code columns share one table."""

    def __init__(self, *, one_hot: bool, padding: int | None = None) -> None:
        super().__init__()
        self.one_hot, self.padding = one_hot, padding
        self.table = nn.Linear(6, 3, bias=False) if one_hot else nn.Embedding(6, 3, padding_idx=padding)
        self.head = nn.Linear(5, 2)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        given = functional.one_hot(codes, 6).to(numbers.dtype) if self.one_hot else codes
        if self.one_hot and self.padding is not None:
            keep = torch.ones(6, dtype=numbers.dtype)
            keep[self.padding] = 0.0
            given = given * keep
        return self.head(torch.cat([numbers, self.table(given).sum(1)], 1))


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("padding", [None, 2])
def test_an_embedding_is_a_linear_layer_on_one_hot_codes(columns: int, padding: int | None) -> None:
    numbers, y = random(50, 2), torch.arange(50) % 2
    codes = torch.randint(0, 6, (50, columns), generator=torch.Generator().manual_seed(1))
    table, linear = Tabular(one_hot=False, padding=padding).double(), Tabular(one_hot=True, padding=padding).double()
    with torch.no_grad():
        linear.table.weight.copy_(table.table.weight.T)
        linear.head.load_state_dict(table.head.state_dict())
    problems = [posed(m.eval(), (numbers, codes), y) for m in (table, linear)]
    assert [len(verified_sites(p)) for p in problems] == [2, 2]
    scores = [score(p, Exact(damping=0.0).fit(p), mean_losses(p, (numbers, codes), y)) for p in problems]
    torch.testing.assert_close(scores[0].effects, scores[1].effects)
    # The Embedding's identity eigenbasis is one of the Linear layer's eigenbases only while its factor is diagonal.
    if columns == 1:
        scores = [score(p, Ekfac(damping=0.0).fit(p), mean_losses(p, (numbers, codes), y)) for p in problems]
        torch.testing.assert_close(scores[0].effects, scores[1].effects)
        torch.testing.assert_close(scores[0].self_influence, scores[1].self_influence)


def test_embedding_products_equal_their_dense_block_with_repeated_codes() -> None:
    numbers, y = random(30, 2), torch.arange(30) % 2
    codes = torch.randint(0, 3, (30, 4), generator=torch.Generator().manual_seed(2))
    problem = posed(Tabular(one_hot=False).double().eval(), (numbers, codes), y)
    curvature = Ekfac(damping=0.0).fit(problem)
    spans = problem.layout.spans()
    eye = torch.eye(problem.layout.size, dtype=torch.float64)
    dense = torch.linalg.inv(curvature.solve(eye))
    assert float(dense[spans["table.weight"]][:, spans["head.weight"]].abs().max()) < 1e-9
    assert_is(curvature, dense, problem)


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.norm = nn.LayerNorm(5)
        self.scale = nn.Parameter(torch.tensor(1.3))
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.last(torch.tanh(self.norm(self.first(x))))


def test_other_parameters_get_dense_blocks_and_coverage_is_whole() -> None:
    problem = posed(Norm().double().eval(), random(40, 4), torch.arange(40) % 2)
    curvature = Ekfac(damping=0.0).fit(problem)
    assert curvature.covered == problem.layout.size
    assert {k: set(v) for k, v in curvature.groups.items()} == {
        "norm": {"norm.weight", "norm.bias"},
        "(the module itself)": {"scale"},
    }
    dense, spans = block_curvature(problem, [("norm.weight", "norm.bias"), ("scale",)]), problem.layout.spans()
    index = torch.cat([torch.arange(spans[n].start, spans[n].stop) for n in ("scale", "norm.weight", "norm.bias")])
    vectors = torch.zeros(problem.layout.size, 2, dtype=torch.float64)
    vectors[index] = random(len(index), 2)
    torch.testing.assert_close(curvature.solve(vectors)[index], torch.linalg.solve(dense, vectors)[index])
    cross, _ = curvature.probe(problem.inputs, None, random(problem.layout.size, 3))
    wanted = output_jacobian(problem, problem.inputs) @ random(problem.layout.size, 3)
    torch.testing.assert_close(cross, wanted)
    assert_is(
        curvature, torch.linalg.inv(curvature.solve(torch.eye(problem.layout.size, dtype=torch.float64))), problem
    )


def test_the_largest_parameters_above_the_limit_get_matrix_blocks_until_the_rest_fits() -> None:
    problem = posed(Norm().double().eval(), random(40, 4), torch.arange(40) % 2)
    curvature = Ekfac(dense_limit=8).fit(problem)
    assert curvature.covered == problem.layout.size
    assert curvature.groups == {"norm": ("norm.weight",), "(the module itself)": ("scale",)}
    assert set(curvature.blocks) == {"first", "last", "norm.bias"}


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.inner(torch.tanh(self.inner(x)))))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Aside(Twice):
    """Calls its layer, and uses the same weight a second time without calling it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(functional.linear(torch.tanh(self.inner(x)), self.inner.weight)))


@pytest.mark.parametrize(("kind", "factored"), [(Twice, {"inner", "last"}), (Tied, {"last"}), (Aside, {"last"})])
def test_a_parameter_used_twice_is_summed(kind: type[nn.Module], factored: set[str]) -> None:
    problem = posed(kind().double().eval(), random(40, 4), torch.arange(40) % 2)
    assert {site.name for site in verified_sites(problem)} == factored
    curvature = Ekfac(damping=0.0).fit(problem)
    assert curvature.covered == problem.layout.size
    vectors = random(problem.layout.size, 3)
    cross, gram = curvature.probe(problem.inputs, None, vectors)
    jacobian = output_jacobian(problem, problem.inputs)
    torch.testing.assert_close(cross, jacobian @ vectors)
    dense = torch.linalg.inv(curvature.solve(torch.eye(problem.layout.size, dtype=torch.float64)))
    torch.testing.assert_close(gram, jacobian @ torch.linalg.solve(dense, jacobian.transpose(1, 2)))


def test_shared_positions_are_summed_within_the_record() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.each(x)).mean(1))

    problem = posed(
        Mean().double().eval(), random(30, 5, 3), torch.arange(30) % 2, l2={"each.weight": 1e-2, "last.weight": 1e-2}
    )
    curvature = Ekfac(damping=1e-3).fit(problem)
    assert {site.name for site in curvature.sites} == {"each", "last"}
    assert_is(
        curvature, torch.linalg.inv(curvature.solve(torch.eye(problem.layout.size, dtype=torch.float64))), problem
    )


def test_an_activation_in_place_does_not_spoil_the_capture() -> None:
    x, y = random(30, 4), torch.arange(30) % 2
    plain = build(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    inplace = build(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2))
    inplace.load_state_dict(plain.state_dict())
    problems = [posed(m, x, y) for m in (plain, inplace)]
    found = [score(p, Ekfac().fit(p), mean_losses(p, x, y)).effects for p in problems]
    assert {len(verified_sites(p)) for p in problems} == {2}
    torch.testing.assert_close(found[0], found[1])


def test_a_layer_that_is_never_called_changes_nothing() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(4, 2), nn.Linear(900, 9)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    problem = posed(Spare().double().eval(), random(20, 4), torch.arange(20) % 2, l2=0.0)
    assert [s.name for s in unused_sites(problem)] == ["spare"]
    curvature = Ekfac(damping=1e-3).fit(problem)
    assert curvature.covered == problem.layout.size
    solved = curvature.solve(torch.ones(problem.layout.size, 1, dtype=torch.float64))
    assert not solved[problem.layout.spans()["spare.weight"]].any()


def test_attention_goes_the_dense_way_while_it_is_small() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.last = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))

    problem = posed(Attend().double().eval(), random(12, 3, 4), torch.arange(12) % 2)
    assert {site.name for site in verified_sites(problem)} == {"last"}
    curvature = Ekfac(damping=1e-3).fit(problem)
    assert curvature.covered == problem.layout.size
    vectors = random(problem.layout.size, 2)
    wanted = output_jacobian(problem, problem.inputs) @ vectors
    torch.testing.assert_close(curvature.probe(problem.inputs, None, vectors)[0], wanted)


def test_candidates_leave_out_subclasses_and_tables_that_rescale() -> None:
    class Odd(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).square()

    module = nn.ModuleList([nn.Linear(2, 2), Odd(2, 2), nn.Embedding(3, 2, max_norm=1.0), nn.Embedding(3, 2)])
    names = [name for name, _ in module.named_parameters()]
    assert [site.name for site in candidate_sites(module, names)] == ["0", "3"]


def test_one_logit_takes_one_backward_vector_and_gives_the_dense_layer() -> None:
    y = (torch.arange(40) % 2).double()
    problem = posed(build(nn.Linear(3, 1)), random(40, 3), y, loss=binary_cross_entropy)
    ekfac, exact = Ekfac(damping=0.0).fit(problem), Exact(damping=0.0).fit(problem)
    trace = float(gauss_newton(problem).trace())
    assert float(ekfac.blocks["0"].eigenvalues.sum()) == pytest.approx(trace)
    evaluation = mean_losses(problem, random(40, 3), y)
    one, two = (score(problem, c, evaluation, form="newton") for c in (ekfac, exact))
    assert torch.corrcoef(torch.stack([one.effects[:, 0], two.effects[:, 0]]))[0, 1] > 0.99


def test_softmax_eigenvalues_hold_the_whole_trace() -> None:
    problem = posed(
        build(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), random(40, 3), torch.arange(40) % 3, loss=cross_entropy
    )
    total = sum(float(b.eigenvalues.sum()) for b in Ekfac().fit(problem).blocks.values())
    assert total == pytest.approx(float(gauss_newton(problem).trace()))
