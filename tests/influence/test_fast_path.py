"""The fast path: one sweep in the module's own precision, compressed slices, a fitted part; each against the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import NumericsError
from auditkit.influence import Attribution, attribute
from auditkit.influence.arithmetic import bfloat16_pays, fast_float32
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.compression import Contraction, Spectrum, roots
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.lengths import OwnLength
from auditkit.influence.measures import measure_gradients
from auditkit.influence.problem import Problem, pose
from auditkit.influence.rehearsal import rehearse
from auditkit.influence.request import evaluation_of
from auditkit.influence.sampling import record_numbers, thinned
from auditkit.influence.scoring import score
from auditkit.influence.sweep import Sweep, single_row_sites
from auditkit.influence.widening import widened_evaluation, widened_problem
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem
from tests.worlds import cross_entropy

Rows = tuple[Tensor, Tensor]
L2 = 1e-4


def table(rows: int, columns: int = 100, *, seed: int = 0) -> Rows:
    """Features, and labels drawn from a smooth function of them."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=drawn)
    law = torch.Generator().manual_seed(7)
    hidden = torch.tanh(2 * x @ torch.randn(columns, 20, generator=law) / columns**0.5)
    chance = torch.sigmoid(3 * hidden @ torch.randn(20, generator=law))
    return x, (torch.rand(rows, generator=drawn) < chance).long()


def network(*widths: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for given, out in pairwise(widths):
            layers += [nn.Linear(given, out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def epoch(module: nn.Module, rows: Rows, *, batch: int, rate: float = 0.05) -> None:
    """One plain epoch of SGD."""
    step = torch.optim.SGD(module.parameters(), lr=rate)
    for start in range(0, len(rows[1]), batch):
        step.zero_grad()
        loss = functional.cross_entropy(module(rows[0][start : start + batch]), rows[1][start : start + batch])
        loss.backward()  # type: ignore[no-untyped-call]
        step.step()


def sliced(rows: Rows, count: int, size: int) -> dict[str, Rows]:
    return {f"slice {s}": tuple(t[s * size : (s + 1) * size] for t in rows) for s in range(count)}  # type: ignore[misc]


@pytest.fixture(scope="module")
def world() -> tuple[nn.Sequential, Rows, dict[str, Rows]]:
    """A network trained for two epochs on 6,000 records, and four slices of 100."""
    torch.set_num_threads(1)
    rows, module = table(6000, 40), network(40, 64, 64, 2)
    for _ in range(2):
        epoch(module, rows, batch=64)
    return module.eval(), rows, sliced(table(400, 40, seed=1), 4, 100)


World = tuple[nn.Sequential, Rows, dict[str, Rows]]


def on(world: World, **given: Any) -> Attribution:
    module, rows, slices = world
    return attribute(module, cross_entropy, rows, slices, **{"estimator": "ekfac", "weight_decay": L2, **given})


def away(found: Tensor, wanted: Tensor) -> float:
    """Largest relative error of a column."""
    if wanted.ndim == 1:
        found, wanted = found.unsqueeze(1), wanted.unsqueeze(1)
    return float(((found - wanted).norm(dim=0) / wanted.norm(dim=0)).max())


def said(got: Attribution, name: str) -> Any:
    return next(row for row in got.quality if row.name == name)


def wide(world: World) -> World:
    module, (x, y), slices = world
    doubled = network(40, 64, 64, 2).double()
    doubled.load_state_dict({k: v.double() for k, v in module.state_dict().items()})
    return doubled.eval(), (x.double(), y), {k: (a.double(), b) for k, (a, b) in slices.items()}


@pytest.mark.parametrize("estimator", ["kfac", "ekfac"])
def test_float32_passes_give_the_scores_of_float64(world: World, estimator: str) -> None:
    narrow = on(world, estimator=estimator, tolerance=0.0)
    exact = on(wide(world), estimator=estimator, tolerance=0.0)
    assert narrow.scores.dtype == torch.float64 and narrow.self_influence is not None
    assert exact.self_influence is not None
    assert 0 < away(narrow.scores, exact.scores) <= 1e-4
    assert 0 < away(narrow.self_influence, exact.self_influence) <= 1e-4
    told = said(narrow, "precision")
    assert "float32" in told.text and 0 < told.value <= 1e-4
    assert not any(row.name == "precision" for row in exact.quality)
    for name in ("gradient norm", "distance to optimum"):
        assert said(narrow, name).value == pytest.approx(said(exact, name).value, rel=1e-4)


@pytest.mark.parametrize("tolerance", [0.05, 0.01, 0.002])
def test_each_tolerance_is_met_and_told(world: World, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditkit.influence.compression.WORTHWHILE", 0)
    whole, got = on(world, tolerance=0.0), on(world, tolerance=tolerance)
    error = away(got.scores, whole.scores)
    told = said(got, "compression")
    assert got.self_influence is not None and whole.self_influence is not None
    assert error <= tolerance and away(got.self_influence, whole.self_influence) <= tolerance
    assert told.value <= tolerance and f"tolerance {tolerance:g}" in told.text and not told.warns
    assert away(whole.scores, whole.scores) == 0 and "nothing is left out" in said(whole, "compression").text
    if tolerance >= 0.01:
        assert error > 1e-5 and "Form: nothing" not in told.text


def test_truncation_alone_meets_the_tolerance_where_there_is_no_bfloat16(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditkit.influence.compression.WORTHWHILE", 0)
    monkeypatch.setattr("auditkit.influence.rehearsal.bfloat16_pays", lambda device: False)
    whole, got = on(world, tolerance=0.0), on(world, tolerance=0.3)
    told = said(got, "compression")
    assert "at ranks" in told.text and "bfloat16" not in told.text
    assert 1e-4 < away(got.scores, whole.scores) <= 0.3


def test_a_small_problem_is_not_compressed() -> None:
    rows, module = table(300, 10), network(10, 8, 2).eval()
    got = attribute(module, cross_entropy, rows, sliced(rows, 2, 20), estimator="ekfac", tolerance=0.1)
    assert "nothing is left out" in said(got, "compression").text


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_batches_and_order_do_not_change_scores(world: World, kind: torch.dtype) -> None:
    module, (x, y), slices = world if kind == torch.float32 else wide(world)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1))

    def found(x: Tensor, y: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        problem = pose(module, cross_entropy, (x,), y, weight_decay=L2, dtype=kind, batch=batch)
        curvature = Ekfac(records=2000).fit(problem)
        got = score(problem, curvature, evaluation_of(problem, slices, "loss"), tolerance=0.01)
        return got.effects, got.self_influence

    base, limit = found(x, y, 512), 1e-4 if kind == torch.float32 else 1e-10
    for batch in (64, 4096):
        for one, two in zip(found(x, y, batch), base, strict=True):
            assert away(one, two) <= limit
    for one, two in zip(found(x[order], y[order], 512), base, strict=True):
        assert away(one, two[order]) <= limit


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_one_record_at_a_time_gives_the_same(kind: torch.dtype) -> None:
    x, y = table(60, 10)
    module = network(10, 8, 2).to(kind).eval()
    found = []
    for batch in (1, 64):
        problem = pose(module, cross_entropy, (x.to(kind),), y, weight_decay=L2, dtype=kind, batch=batch)
        found.append(score(problem, Ekfac().fit(problem), mean_losses(problem, x, y)))
    limit = 1e-4 if kind == torch.float32 else 1e-10
    assert away(found[0].effects, found[1].effects) <= limit
    assert away(found[0].self_influence, found[1].self_influence) <= limit


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_sweep_is_what_the_curvature_probes(name: str) -> None:
    problem = module_problem(name, l2=1e-2)
    curvature = Ekfac().fit(problem)
    directions = random(problem.layout.size, 3)
    got = Sweep.of(problem, curvature, directions).run()
    slopes = torch.stack([_slope(problem, n) for n in range(problem.n)])
    cross, gram = curvature.probe(problem.inputs, slopes.unsqueeze(2), directions)
    torch.testing.assert_close(got.cross, cross[:, 0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(got.length, gram[:, 0, 0], rtol=1e-9, atol=1e-12)


def _slope(problem: Problem, n: int) -> Tensor:
    z = problem.outputs(tuple(t[n : n + 1] for t in problem.inputs)).detach().requires_grad_()
    (found,) = torch.autograd.grad(problem.loss(problem.raw(z), problem.targets[n : n + 1]).sum(), z)
    return found[0]


@pytest.mark.parametrize("l2", [1e-2, {"0.weight": 1e-2, "2.weight": 1e-3, "2.bias": 0.3}])
def test_the_gradient_on_the_way_is_that_of_the_objective(l2: float | Mapping[str, float]) -> None:
    from auditkit.influence.measures import objective_gradient

    problem = posed(network(5, 4, 3).double().eval(), random(40, 5), torch.arange(40) % 3, l2=l2, batch=7)
    got = score(problem, Ekfac().fit(problem), mean_losses(problem, random(40, 5), torch.arange(40) % 3))
    assert got.gradient is not None
    torch.testing.assert_close(got.gradient, objective_gradient(problem), rtol=1e-10, atol=1e-14)


def test_self_influence_is_not_computed_where_it_is_not_asked_for(world: World) -> None:
    whole, got = on(world, tolerance=0.0), on(world, tolerance=0.0, self_influence=False)
    assert got.self_influence is None and torch.equal(got.scores, whole.scores)
    assert said(got, "distance to optimum").value == pytest.approx(said(whole, "distance to optimum").value, rel=0.05)
    problem = posed(network(5, 4, 3).double().eval(), random(40, 5), torch.arange(40) % 3)
    sweep = Sweep.of(problem, Ekfac().fit(problem), random(problem.layout.size, 2), own=False)
    assert not sweep.own and not sweep.run().length.any()


def test_a_record_whose_loss_is_not_finite_is_refused_wherever_it_lies(world: World) -> None:
    module, (x, y), slices = world
    for place in (3, 3777, 5999):
        spoiled = x.clone()
        spoiled[place, 5] = float("nan")
        with pytest.raises(NumericsError, match="not finite"):
            on((module, (spoiled, y), slices))


def test_a_part_is_chosen_by_content(world: World) -> None:
    _, (x, y), _ = world
    problem = pose(network(40, 64, 64, 2).eval(), cross_entropy, (x,), y, dtype=torch.float32)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(3))
    mixed = replace(problem, inputs=(x[order],), targets=y[order])
    one, two = thinned(problem, 700), thinned(mixed, 700)
    assert one.n == 700 and torch.equal(one.inputs[0], two.inputs[0]) and torch.equal(one.targets, two.targets)
    assert thinned(problem, 6000) is problem
    numbers = record_numbers((x, y))
    assert len(set(numbers.tolist())) == len(y)
    # No part of the table is favoured: each tenth of the rows and each label gets its share.
    chosen = numbers <= numbers.sort().values[999]
    assert all(60 <= int(part.sum()) <= 140 for part in chosen.view(10, 600))
    assert abs(float(y[chosen].double().mean() - y.double().mean())) < 0.06


def test_a_part_is_told_with_how_far_it_has_settled(world: World) -> None:
    module, rows, slices = world
    problem = pose(module, cross_entropy, (rows[0],), rows[1], weight_decay=L2, dtype=torch.float32)
    evaluation = evaluation_of(problem, slices, "loss")
    whole = score(problem, Ekfac().fit(problem), evaluation)
    found = []
    for records in (1000, 4000):
        curvature = Ekfac(records=records).fit(problem)
        assert curvature.problem.n == records and curvature.quarter is not None
        assert curvature.quarter.problem.n == records // 4
        got = score(problem, curvature, evaluation)
        (told,) = (row for row in got.quality if row.name == "records fitted")
        assert f"{records:,} of 6,000" in told.text
        found.append((told.value, away(got.effects, whole.effects)))
    for estimate, actual in found:
        assert estimate is not None and 0.4 <= estimate / actual <= 3
    assert found[1][1] < found[0][1]
    assert Ekfac().fit(problem).quarter is None


def test_a_stiffer_curvature_stiffens_its_quarter(world: World) -> None:
    module, rows, _ = world
    problem = pose(module, cross_entropy, (rows[0],), rows[1], weight_decay=L2, dtype=torch.float32)
    stiff = Ekfac(records=1000).fit(problem).stiffer(10.0)
    assert stiff.quarter is not None
    assert stiff.quarter.blocks["0"].penalty == pytest.approx(10 * L2) == stiff.blocks["0"].penalty


def _block(rho: float) -> tuple[BlockCurvature, Problem, Tensor, Tensor]:
    l2 = {"0.weight": 1e-2, "0.bias": 1e-2 + rho, "2.weight": 1e-2, "2.bias": 1e-2}
    problem = posed(network(6, 9, 3).double().eval(), random(80, 6), torch.arange(80) % 3, l2=l2)
    curvature = Ekfac().fit(problem)
    a = torch.cat([random(80, 6), torch.ones(80, 1, dtype=torch.float64)], dim=1)
    return curvature, problem, a, random(80, 9, seed=4)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_lengths_in_few_terms_approach_the_whole(rho: float) -> None:
    curvature, _, a, d = _block(rho)
    block = curvature.blocks["0"]
    whole = OwnLength.of(block, torch.float64)
    dense = torch.einsum("bo,bi->boi", d, a)
    wanted = (block.solve(dense) * dense).sum((1, 2))
    torch.testing.assert_close(whole.lengths(a, d)[0], wanted, rtol=1e-10, atol=1e-12)
    errors, terms = [], []
    for allowed in (0.1, 1e-3, 1e-12):
        cut = whole.in_terms(allowed)
        assert cut is not None and cut.inverse is not None
        found = cut.lengths(a, d)[0]
        errors.append(float(((found - wanted).abs() / wanted).max()))
        assert errors[-1] <= cut.error <= allowed  # of every record, not of their norm
        terms.append(cut.inverse[0].shape[1])
    assert errors[0] >= errors[1] >= errors[2] and errors[2] <= 1e-10
    assert terms[0] <= terms[1] <= terms[2] and (rho or terms[0] < terms[2])


def test_truncation_keeps_what_scores_see() -> None:
    g, low = torch.Generator().manual_seed(0), 4
    # Inputs and gradients with falling spectra, and slices that look full-rank until they meet them.
    a = torch.randn(4000, 60, generator=g, dtype=torch.float64) * torch.logspace(0, -5, 60, dtype=torch.float64)
    d = torch.randn(4000, 50, generator=g, dtype=torch.float64) * torch.logspace(0, -5, 50, dtype=torch.float64)
    v = torch.randn(20, 50, 60, generator=g, dtype=torch.float64)
    v[-1] *= 1e-3
    scores = torch.einsum("bo,soi,bi->bs", d, v, a)
    full = Contraction.full(v, torch.float64)
    torch.testing.assert_close(full.scores(a, d), scores)
    spectrum = Spectrum.of(v, a.T @ a / 4000, d.T @ d / 4000, scores.square().mean(0).sqrt())
    ranks = []
    for tolerance in (0.1, 0.01, 1e-3):
        cut = spectrum.truncated(tolerance**2, torch.float64)
        assert cut is not None and cut.products < full.products
        # The last slice is a thousand times quieter, and no worse for it.
        errors = (cut.scores(a, d) - scores).norm(dim=0) / scores.norm(dim=0)
        assert float(errors.max()) <= 3 * tolerance
        ranks.append(sum(cut.shape))
    assert low < ranks[0] < ranks[1] < ranks[2] < 100
    assert spectrum.truncated(0.0, torch.float64) is None


@pytest.mark.parametrize("content", [0.0, 1e-9, 1e-5, 1.0])
def test_no_direction_is_lifted_by_more_than_the_floor(content: float) -> None:
    a = random(50, 4)
    a[:, 2] *= content
    moment = a.T @ a / 50
    root, inverse = roots(moment)
    torch.testing.assert_close(root @ inverse, torch.eye(4, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    assert float(torch.linalg.matrix_norm(inverse, 2)) <= (1e-6 * float(moment.trace()) / 4) ** -0.5 * (1 + 1e-9)
    known = torch.tensor([0, 1, 3])
    torch.testing.assert_close((root @ root)[known][:, known], moment[known][:, known], rtol=1e-3, atol=1e-6)
    nothing = roots(torch.zeros(3, 3, dtype=torch.float64))
    assert all(bool(one.isfinite().all()) for one in nothing)


@pytest.mark.parametrize("widths", [(3, 20), (20, 3)])
def test_a_contraction_is_the_same_on_either_side_and_in_chunks(
    widths: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, inputs = widths
    v, a, d = random(6, outputs, inputs), random(40, inputs, seed=1), random(40, outputs, seed=2)
    whole = Contraction.full(v, torch.float64)
    monkeypatch.setattr("auditkit.influence.compression._CACHED", 1)
    parted = Contraction.full(v, torch.float64)
    assert len(whole.cores) == 1 and len(parted.cores) == 6 and whole.by_inputs == (outputs <= inputs)
    wanted = torch.einsum("bo,soi,bi->bs", d, v, a)
    for one in (whole, parted):
        torch.testing.assert_close(one.scores(a, d), wanted)


def test_an_error_above_the_tolerance_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    module, rows, slices = world
    monkeypatch.setattr("auditkit.influence.compression.WORTHWHILE", 0)
    problem = pose(module, cross_entropy, (rows[0],), rows[1], weight_decay=L2, dtype=torch.float32)
    curvature = Ekfac().fit(problem)
    gradients = measure_gradients(widened_problem(problem), widened_evaluation(evaluation_of(problem, slices, "loss")))
    sweep = Sweep.of(problem, curvature, curvature.solve(gradients))
    trial = rehearse(sweep, gradients, tolerance=1e-7)
    assert trial.sweep.contractions == sweep.contractions
    assert "nothing is left out" in trial.quality[-1].text and trial.quality[-1].warns


def test_products_keep_float32_and_the_setting_comes_back() -> None:
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    a, b = random(300, 257), random(257, 64, seed=1)
    with fast_float32(torch.device("cpu")):
        found = a.float() @ b.float()
    assert setting.fp32_precision == before
    assert float((found.double() - a @ b).norm() / (a @ b).norm()) < 1e-6
    assert isinstance(bfloat16_pays(torch.device("cpu")), bool)


def test_only_layers_of_one_row_a_record_are_served_from_rows() -> None:
    problem = module_problem("embedding", l2=1e-2)
    curvature = Ekfac().fit(problem)
    assert [site.name for site in single_row_sites(problem, curvature.sites)] == ["head"]


def _speed(record: Callable[[str, object], None], module: nn.Sequential, rows: Rows, slices: dict[str, Rows]) -> None:
    """Alternate epochs and attributions in one thread, by processor time; record multiples and the measured errors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        world = (module.eval(), rows, slices)
        epochs, runs = [], []
        for _ in range(3):
            other = network(*(layer.in_features for layer in module if isinstance(layer, nn.Linear)), 2)
            other.load_state_dict(module.state_dict())
            epochs.append(_seconds(lambda net=other: epoch(net, rows, batch=4096)))  # type: ignore[misc]
            runs.append(_seconds(lambda: on(world)))
        got, whole = on(world), on(world, tolerance=0.0)
    finally:
        torch.set_num_threads(threads)
    assert got.self_influence is not None and whole.self_influence is not None
    worst, own = away(got.scores, whole.scores), away(got.self_influence, whole.self_influence)
    multiples = sorted(run / one for run, one in zip(runs, epochs, strict=True))
    record("epochs, best over best", round(min(runs) / min(epochs), 2))
    record("epochs, median", round(multiples[1], 2))
    record("epoch seconds", round(min(epochs), 3))
    record("worst column's relative error", f"{worst:.1e}")
    record("self-influence's relative error", f"{own:.1e}")
    record("form", said(got, "compression").text)
    record("fitted", said(got, "records fitted").text)
    assert worst <= 0.01 and own <= 0.01


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.prove
@pytest.mark.parametrize(("epochs", "width"), [(1, 256), (12, 256), (1, 512)])
def test_fit_scores_and_self_influence_in_few_epochs(
    record_property: Callable[[str, object], None], epochs: int, width: int
) -> None:
    rows, module = table(200_000), network(100, width, width, 2)
    for _ in range(epochs):
        epoch(module, rows, batch=256)
    _speed(record_property, module, rows, sliced(table(5000, seed=1), 10, 500))
