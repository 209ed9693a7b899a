"""Self-influence of every record, not of a sample: bounds, the largest exactly, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.influence import Attribution, attribute
from auditkit.influence.bounds import OwnCheck, own_check
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.kronecker import Basis, Block
from auditkit.influence.lengths import OwnLength
from auditkit.influence.measures import Evaluation
from auditkit.influence.pooled import kept_scores
from auditkit.influence.problem import Problem, pose
from auditkit.influence.quality import distance_to_optimum
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.scoring import score
from auditkit.pieces import Arrays
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem
from tests.influence.test_fast_path import said
from tests.worlds import cross_entropy

Rows = tuple[Tensor, Tensor]
World = tuple[nn.Sequential, Rows, dict[str, Rows]]
L2, DAMPING = 1e-4, 1e-2


def world(records: int, width: int, seed: int, *, columns: int = 100, rare: int = 0, epochs: int = 3) -> World:
    """A network trained by Adam on noisy labels of a random network.

    Args:
        records: N. width: of both hidden layers. seed: of everything. columns: of the inputs.
        rare: records, the last ones, in which a column that is otherwise next to nothing is large. epochs: of training.
    """
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(records, columns, generator=g)
    if rare:
        x[:, 0] *= 1e-6
        x[-rare:, 0] = 30.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        teacher = nn.Sequential(nn.Linear(columns, 64), nn.Tanh(), nn.Linear(64, 2))
        module = nn.Sequential(
            nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        )

    def labelled(rows: Tensor) -> Tensor:
        with torch.no_grad():
            return (9 * teacher(rows) + torch.randn(len(rows), 2, generator=g)).argmax(1)

    y = labelled(x)
    step = torch.optim.Adam(module.parameters(), lr=1e-3, weight_decay=L2)
    for _ in range(epochs):
        order = torch.randperm(records, generator=g)
        for start in range(0, records, 512):
            at = order[start : start + 512]
            step.zero_grad()
            functional.cross_entropy(module(x[at]), y[at]).backward()  # type: ignore[no-untyped-call]
            step.step()
    probes = torch.randn(5000, columns, generator=g)
    answers = labelled(probes)
    slices = {f"slice {s}": (probes[s * 500 :][:500], answers[s * 500 :][:500]) for s in range(10)}
    return module.eval(), (x, y), slices


def on(world: World, **more: object) -> Attribution:
    module, rows, slices = world
    settings = {"estimator": "ekfac", "damping": DAMPING, "weight_decay": L2, **more}
    return attribute(module, cross_entropy, rows, slices, **settings)  # type: ignore[arg-type]


def own_of(got: Attribution) -> Tensor:
    assert got.self_influence is not None
    return got.self_influence


def free_bound(world: World) -> Tensor:
    """[N] |grad l_n|² over damping plus L2, in float64, each layer's gradient an outer product."""
    module, (x, y), _ = world
    rows, total = x.double(), torch.zeros(len(y), dtype=torch.float64)
    wide = nn.Sequential(*(nn.Linear(m.in_features, m.out_features) if isinstance(m, nn.Linear) else m for m in module))
    wide = wide.double()
    wide.load_state_dict({k: v.double() for k, v in module.state_dict().items()})
    for start in range(0, len(y), 4096):
        at, inputs, outputs = slice(start, start + 4096), [], []
        z = rows[at]
        for layer in wide:
            if isinstance(layer, nn.Linear):
                inputs.append(z.detach())
                z = layer(z)
                outputs.append(z)
            else:
                z = layer(z)
        slopes = torch.autograd.grad(functional.cross_entropy(z, y[at], reduction="sum"), outputs)
        for a, d in zip(inputs, slopes, strict=True):
            total[at] += (a.square().sum(1) + 1) * d.square().sum(1)
    return total / (DAMPING + L2) / len(y)


def require_held(got: Tensor, exact: Tensor, bound: Tensor, *, top: int) -> dict[str, float]:
    """The acceptance line, and its figures."""
    ninth = exact.quantile(0.9)
    errors = (got - exact).abs() / torch.maximum(exact, ninth)
    assert float(got.min()) >= 0
    assert bool((got <= bound * (1 + 1e-5)).all())
    assert float(errors.max()) <= 0.02
    assert torch.equal(got.topk(top).indices, exact.topk(top).indices)
    return {"largest error": float(errors.max()), "least": float(got.min()), "over bound": float((got / bound).max())}


def compress_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditkit.influence.compression.WORTHWHILE", 0)
    monkeypatch.setattr("auditkit.influence.rehearsal.WORTHWHILE", 0)
    monkeypatch.setattr("auditkit.influence.rehearsal._DECOMPOSE", 0)


@pytest.mark.parametrize("rare", [0, 4])
@pytest.mark.parametrize("estimator", ["kfac", "ekfac"])
@pytest.mark.parametrize(("width", "seed"), [(32, 0), (32, 1), (64, 2)])
def test_every_record_is_held(
    width: int, seed: int, estimator: str, rare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress_small(monkeypatch)
    small = world(6000, width, seed, columns=20, rare=rare)
    whole, got = (on(small, estimator=estimator, tolerance=t) for t in (0.0, 0.01))
    assert "in few terms" in said(got, "compression").text
    require_held(own_of(got), own_of(whole), free_bound(small), top=500)
    told = said(got, "self-influence of every record")
    errors = (own_of(got) - own_of(whole)).abs() / own_of(whole)
    assert float(errors.max()) <= told.value + 1e-5 <= 0.0101 and not told.warns
    assert said(got, "distance to optimum").value == pytest.approx(said(whole, "distance to optimum").value, rel=0.01)


@pytest.mark.parametrize("damping", [1e-6, 1e-3, 1.0])
def test_every_record_is_held_at_other_dampings(damping: float, monkeypatch: pytest.MonkeyPatch) -> None:
    compress_small(monkeypatch)
    small = world(6000, 48, 3, columns=20, rare=3)
    whole, got = (on(small, damping=damping, tolerance=t) for t in (0.0, 0.01))
    bound = free_bound(small) * (DAMPING + L2) / (damping + L2)
    require_held(own_of(got), own_of(whole), bound, top=500)


@pytest.mark.parametrize("removal", ["fixed", "renormalised"])
def test_the_form_says_which_check_it_has(removal: str) -> None:
    module, (x, y), slices = world(400, 8, 0, columns=6)
    for estimator, words in (("ekfac", "held between 0"), ("exact", "own loss")):
        got = attribute(
            module, cross_entropy, (x, y), {k: (a[:, :6], b) for k, (a, b) in slices.items()}, estimator=estimator,
            damping=DAMPING, weight_decay=L2, removal=removal,  # type: ignore[arg-type]
        )  # fmt: skip
        told = said(got, "self-influence of every record")
        assert (words if removal == "fixed" else "either sign") in told.text


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_kind_of_layer_is_held(name: str) -> None:
    problem = module_problem(name, l2=1e-2)
    rows = problem.inputs[0][:5], problem.targets[:5]
    evaluation = mean_losses(problem, *rows) if len(problem.inputs) == 1 else None
    if evaluation is None:
        pytest.skip("a module of several inputs has no evaluation here")
    got = score(problem, Ekfac().fit(problem), evaluation, form="first-order")
    assert got.check is not None and got.check.kind in ("bounded", "positive") and not got.check.outside
    assert bool((got.self_influence >= 0).all())


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_every_estimator_is_checked(estimator: str) -> None:
    problem = posed(network_of(3), random(30, 4), torch.arange(30) % 3, l2=1e-2)
    chosen = ESTIMATORS[estimator]
    curvature = chosen(damping=1e-2).fit(problem)
    got = score(problem, curvature, mean_losses(problem, random(9, 4, seed=1), torch.arange(9) % 3))
    assert got.check is not None and not got.check.outside


def network_of(classes: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, classes)).double().eval()


def _block(outputs: int, inputs: int, spread: float, excess: float) -> tuple[Block, Tensor]:
    """A block whose eigenvalues fall over `spread` decades on both sides, with noise, and its dense inverse."""
    left, right = (torch.linalg.qr(random(k, k, seed=k)).Q for k in (outputs, inputs))
    falls = [torch.logspace(0, -spread, k, dtype=torch.float64) for k in (outputs, inputs)]
    noise = (0.3 * random(outputs, inputs, seed=9)).exp()
    block = Block(Basis(left, right), falls[0].unsqueeze(1) * falls[1] * noise, 1e-3, excess, 1e-3)
    turn = torch.kron(left, right)
    bias = torch.zeros(inputs, dtype=torch.float64)
    bias[-1] = excess
    dense = turn @ torch.diag(block.eigenvalues.flatten() + 1e-3) @ turn.T
    dense += torch.kron(torch.eye(outputs, dtype=torch.float64), torch.diag(bias))
    return block, torch.linalg.inv(dense)


@pytest.mark.parametrize("excess", [0.0, 0.5, -5e-4])
@pytest.mark.parametrize("spread", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("shape", [(12, 17), (17, 12)])
def test_no_record_whatever_is_off_by_more_than_told(shape: tuple[int, int], spread: float, excess: float) -> None:
    block, inverse = _block(*shape, spread, excess)
    whole = OwnLength.of(block, torch.float64)
    a, d = random(300, shape[1], seed=1), random(300, shape[0], seed=2)
    # Rows along single eigenvectors, in which records are rare, and ordinary rows.
    right = block.basis.right
    assert right is not None
    a[: shape[1]], d[: shape[1]] = right.T, block.basis.left.T[torch.arange(shape[1]) % shape[0]]
    gradients = (d.unsqueeze(2) * a.unsqueeze(1)).flatten(1)
    exact = ((gradients @ inverse) * gradients).sum(1)
    terms = []
    for allowed in (0.1, 1e-2, 1e-4):
        short = whole.compressed(allowed)
        found, most = short.lengths(a, d)
        assert short.error <= allowed
        assert float(((found - exact).abs() / exact).max()) <= short.error + 1e-9
        assert bool((exact <= most * (1 + 1e-9)).all()) and bool((found <= most).all()) and float(found.min()) >= 0
        terms.append(min(shape) if short.inverse is None else short.inverse[0].shape[1])
    assert terms == sorted(terms)


@pytest.mark.parametrize(
    ("ahead", "typical", "value", "warns"),
    [
        (4.0, 1.0, 2.0, True),
        (1.0, 4.0, 0.5, False),
        (0.0, 1.0, 0.0, False),
        (-1.0, 1.0, None, True),
        (1.0, -1e-9, None, True),
        (1.0, 0.0, None, True),
        (0.0, 0.0, None, False),
        (float("nan"), 1.0, None, True),
        (1.0, float("inf"), None, True),
    ],
)
def test_no_root_of_what_is_below_zero(ahead: float, typical: float, value: float | None, warns: bool) -> None:
    row = distance_to_optimum(ahead, typical, "Distance")
    assert row.value == (None if value is None else pytest.approx(value)) and row.warns is warns
    assert ("not known" in row.text) is (value is None)


@pytest.mark.parametrize(
    ("form", "own", "plain", "outside"),
    [
        ("newton", 2.0, 1.0, 0),
        ("newton", 0.5, 1.0, 1),
        ("stepped", 0.5, 1.0, 0),
        ("stepped", -0.5, 1.0, 1),
        ("first-order", 1.0, 1.0, 0),
        ("first-order", -1.0, -1.0, 1),
        ("newton", 2.0, -1.0, 1),
        ("newton", float("nan"), 1.0, 1),
    ],
)
def test_what_is_outside_is_counted(form: str, own: float, plain: float, outside: int) -> None:
    check = own_check(form, torch.tensor([own, 3.0]), torch.tensor([plain, 3.0]), pulled=False)
    row = check.quality(2)
    assert check.outside == outside and row.warns is bool(outside) and ("do not keep" in row.text) is bool(outside)


def test_a_count_below_the_smallest_is_told_as_a_band() -> None:
    row = OwnCheck("positive", 0.0, 3, 0).quality(100, minimum=10)
    assert "fewer than 10" in row.text and " 3 " not in row.text


class _Drawer:
    """Pieces in memory."""

    def __init__(self) -> None:
        self.pieces: dict[str, Arrays] = {}

    def get(self, name: str) -> Arrays | None:
        return self.pieces.get(name)

    def put(self, name: str, arrays: Arrays) -> None:
        self.pieces[name] = arrays


def test_what_is_known_comes_back_with_the_scores() -> None:
    problem: Problem = posed(network_of(3), random(30, 4), torch.arange(30) % 3, l2=1e-2)
    evaluation: Evaluation = mean_losses(problem, random(9, 4, seed=1), torch.arange(9) % 3)
    curvature, drawer = Ekfac().fit(problem), _Drawer()
    first, second = (kept_scores(problem, curvature, evaluation, drawer) for _ in range(2))  # type: ignore[arg-type]
    assert first.check is not None and first.check == second.check


@pytest.mark.parametrize("batch", [64, 4096])
def test_the_largest_do_not_depend_on_batches(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compress_small(monkeypatch)
    module, (x, y), slices = world(3000, 32, 5, columns=20, rare=3)
    problem = pose(module, cross_entropy, (x,), y, weight_decay=L2, dtype=torch.float32, batch=512)
    evaluation = mean_losses(problem, *next(iter(slices.values())))
    curvature = Ekfac(damping=DAMPING).fit(problem)
    one, two = (score(replace(problem, batch=b), curvature, evaluation, tolerance=0.01) for b in (512, batch))
    assert torch.equal(one.self_influence.topk(300).indices, two.self_influence.topk(300).indices)
    torch.testing.assert_close(one.self_influence, two.self_influence, rtol=1e-5, atol=0)


@pytest.mark.prove
@pytest.mark.parametrize("width", [256, 512])
@pytest.mark.parametrize("seed", range(5))
def test_every_record_of_200_000_is_held(record_property: Callable[[str, object], None], width: int, seed: int) -> None:
    large = world(200_000, width, seed)
    whole, got = (on(large, tolerance=t) for t in (0.0, 0.01))
    figures = require_held(own_of(got), own_of(whole), free_bound(large), top=1000)
    for name, value in figures.items():
        record_property(name, value)
    slices = float(((got.scores - whole.scores).norm(dim=0) / whole.scores.norm(dim=0)).max())
    record_property("slices' largest error", slices)
    told = said(got, "self-influence of every record")
    record_property("told", told.text)
    assert slices <= 0.01 and told.value <= 0.01 and not told.warns
