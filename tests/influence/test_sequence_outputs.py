from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import ModelError
from auditkit.influence import attribute
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.estimators.logra import Logra
from auditkit.influence.jacobian import is_affine, output_jacobian
from auditkit.influence.likelihood import output_terms
from auditkit.influence.problem import Problem, pose
from auditkit.influence.roots import RootColumns, record_signs
from auditkit.influence.scoring import score
from auditkit.influence.sequences import curvature_root, position_roots, root_quality, root_rows
from tests.influence.conftest import mean_losses, random

ROWS, POSITIONS, CLASSES = 40, 5, 4
ALWAYS_DRAWN, NEVER_DRAWN = RootColumns(limit=1, probes=6), RootColumns(limit=10_000)


class Tagger(nn.Module):
    """Codes [B, T] -> logits [B, T, C] that look at the neighbours on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.first = nn.Embedding(6, 3), nn.Linear(9, 5)
        self.norm, self.last = nn.LayerNorm(5), nn.Linear(5, CLASSES)

    def forward(self, codes: Tensor) -> Tensor:
        seen = functional.pad(self.table(codes), (0, 0, 1, 1))
        windows = torch.cat([seen[:, :-2], seen[:, 1:-1], seen[:, 2:]], 2)
        return self.last(self.norm(torch.tanh(self.first(windows))))


def token_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1)


def token_weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    """Positions count differently, and the first not at all."""
    losses = functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")
    return losses @ torch.arange(outputs.shape[1], dtype=losses.dtype)


def token_squared(outputs: Tensor, targets: Tensor) -> Tensor:
    wanted = functional.one_hot(targets, CLASSES).to(outputs.dtype)
    return ((outputs - wanted).square() * torch.arange(1.0, CLASSES + 1, dtype=outputs.dtype)).sum((1, 2))


def of_the_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    """One label for a record, from the mean over positions: not a sum over positions."""
    return functional.cross_entropy(outputs.mean(1), targets[:, 0], reduction="none")


SUMS = {"mean": token_mean, "weighted": token_weighted, "squared": token_squared}


def codes(count: int = ROWS) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    x = torch.randint(0, 6, (count, POSITIONS), generator=draw)
    return x, (x + torch.randint(0, 2, x.shape, generator=draw)) % CLASSES


def tagger() -> Tagger:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Tagger().double().eval()


def posed(loss: Callable[[Tensor, Tensor], Tensor] = token_mean, **given: object) -> Problem:
    x, y = codes()
    weights = random(ROWS, seed=7).abs() + 0.1
    return pose(tagger(), loss, (x,), y, weight_decay=1e-2, weights=weights, **given)  # type: ignore[arg-type]


def dense_hessians(problem: Problem, outputs: Tensor) -> Tensor:
    """[B, TC, TC] from as many backward passes as there are outputs, without any structure."""
    root = output_terms(problem, outputs, problem.targets).root
    return root @ root.transpose(1, 2)


@pytest.mark.parametrize("name", SUMS)
def test_blocks_by_position_are_the_whole_hessian(name: str) -> None:
    problem = posed(SUMS[name])
    outputs = problem.outputs(problem.inputs).detach()
    truth = dense_hessians(problem, outputs)
    root = position_roots(problem, outputs, problem.targets)
    blocks = root @ root.transpose(2, 3)
    for n in range(ROWS):
        torch.testing.assert_close(torch.block_diag(*blocks[n]), truth[n], rtol=0, atol=1e-12)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", SUMS)
def test_drawn_columns_have_the_hessian_as_their_mean(name: str) -> None:
    few = posed(SUMS[name], root=ALWAYS_DRAWN)
    outputs = few.outputs(few.inputs).detach()
    truth, count = dense_hessians(few, outputs), 400
    total, square = torch.zeros_like(truth), torch.zeros_like(truth)
    for seed in range(count):
        again = posed_as(few, RootColumns(limit=1, probes=6, seed=seed))
        root = curvature_root(again, again.inputs, outputs, again.targets)
        assert root.shape == (ROWS, POSITIONS * CLASSES, 6)
        found = root @ root.transpose(1, 2)
        total, square = total + found / count, square + found.square() / count
    spread = ((square - total.square()).clamp(min=0) / count).sqrt()
    away = (total - truth).abs() / (spread + 1e-3 * truth.abs().max())
    assert float(away.max()) < 6 and float(away.square().mean()) < 1.5


def posed_as(problem: Problem, root: RootColumns) -> Problem:
    from dataclasses import replace

    return replace(problem, root=root)


def test_signs_are_the_records_own() -> None:
    x, y = codes()
    columns = RootColumns(probes=5)
    signs = record_signs((x, y), 12, columns)
    assert signs.shape == (ROWS, 12, 5) and set(signs.unique().tolist()) == {-1.0, 1.0}
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(record_signs((x[order], y[order]), 12, columns), signs[order])
    assert torch.equal(torch.cat([record_signs((x[k : k + 1], y[k : k + 1]), 12, columns) for k in range(ROWS)]), signs)
    assert torch.equal(record_signs((x.float(),), 12, columns), record_signs((x.double(),), 12, columns))
    assert abs(float((record_signs((x, y), 12, RootColumns(probes=5, seed=1)) * signs).mean())) < 0.1
    many = record_signs((torch.arange(20_000),), 8, columns).reshape(20_000, -1)
    away = many.T @ many / 20_000 - torch.eye(40, dtype=torch.float64)
    assert float(away.abs().max()) < 5 / 20_000**0.5 and float(many.mean(0).abs().max()) < 5 / 20_000**0.5


@pytest.mark.parametrize("name", SUMS)
def test_exact_uses_all_columns_however_many(name: str) -> None:
    whole, few = posed(SUMS[name], root=NEVER_DRAWN), posed(SUMS[name], root=ALWAYS_DRAWN)
    dense = gauss_newton(few)
    torch.testing.assert_close(dense, gauss_newton(whole), rtol=1e-10, atol=1e-14)
    # And that is the definition, from the dense Hessians.
    jacobian = output_jacobian(whole, whole.inputs)
    curved = dense_hessians(whole, whole.outputs(whole.inputs).detach()) * (whole.weights / ROWS).view(-1, 1, 1)
    truth = torch.einsum("bcd,bce,bef->df", jacobian, curved, jacobian)
    torch.testing.assert_close(dense, truth, rtol=1e-9, atol=1e-13)
    outputs = few.outputs(few.inputs).detach()
    rows = root_rows(few, outputs, few.targets, jacobian)
    torch.testing.assert_close(
        rows.transpose(1, 2) @ rows, torch.einsum("bcd,bce,bef->bdf", jacobian, dense_hessians(few, outputs), jacobian)
    )


@pytest.mark.parametrize("estimator", [Ekfac, Logra])
def test_drawn_columns_come_close_and_do_not_depend_on_order_or_batch(estimator: type[Ekfac] | type[Logra]) -> None:
    x, y = codes()

    def run(problem: Problem) -> Tensor:
        return score(
            problem, estimator(damping=1e-3).fit(problem), mean_losses(problem, x, y), form="first-order"
        ).effects

    truth = run(posed(root=NEVER_DRAWN))
    drawn = run(posed(root=RootColumns(limit=1, probes=64)))
    assert 1e-6 < float((drawn - truth).norm() / truth.norm()) < 0.1
    one, small = posed(root=ALWAYS_DRAWN), posed(root=ALWAYS_DRAWN, batch=3)
    base = run(one)
    torch.testing.assert_close(run(small), base, rtol=1e-9, atol=1e-12)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    mixed = pose(
        tagger(), token_mean, (x[order],), y[order], weight_decay=1e-2, weights=one.weights[order], root=ALWAYS_DRAWN
    )
    torch.testing.assert_close(run(mixed), base[order], rtol=1e-9, atol=1e-12)


def test_small_outputs_are_as_they_were() -> None:
    problem = posed()
    outputs = problem.outputs(problem.inputs).detach()
    assert problem.classes == POSITIONS * CLASSES <= RootColumns().limit and not root_quality(problem)
    root = curvature_root(problem, problem.inputs, outputs, problem.targets)
    assert torch.equal(root, output_terms(problem, outputs, problem.targets).root)
    assert root.shape[2] == POSITIONS * (CLASSES - 1)


def test_what_was_drawn_is_said() -> None:
    (row,) = root_quality(posed(root=ALWAYS_DRAWN))
    assert row.value == 6 and "20 outputs" in row.text
    assert RootColumns.of(40).probes == 32 and RootColumns.of(10**6).probes == 8


def test_a_loss_across_positions_is_served_while_small_and_refused_when_large() -> None:
    x, y = codes()
    small, large = posed(of_the_mean), posed(of_the_mean, root=ALWAYS_DRAWN)
    outputs = small.outputs(small.inputs).detach()
    assert curvature_root(small, small.inputs, outputs, small.targets).shape[2] >= CLASSES - 1
    score(small, Exact().fit(small), mean_losses(small, x, y))
    for work in (lambda: Logra().fit(large), lambda: Exact().fit(large)):
        with pytest.raises(ModelError, match=r"no sum over the 5 positions.*\[B, T, C\]"):
            work()


def test_an_indefinite_block_is_refused() -> None:
    def saddle(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, :, 0].square() - outputs[:, :, 1].square()).sum(1) + 0 * targets.sum(1)

    with pytest.raises(ModelError, match="indefinite Hessian"):
        Logra().fit(posed(saddle, root=ALWAYS_DRAWN))


def test_many_classes_without_positions() -> None:
    """[B, C] above the limit: the same drawn columns, from the softmax form."""
    x, y = random(30, 6), torch.arange(30) % 9
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 9)).double().eval()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    drawn, whole = (
        pose(module, loss, (x,), y, weight_decay=1e-2, root=root)
        for root in (RootColumns(limit=8, probes=200), RootColumns())
    )
    first, second = (
        score(p, Ekfac(damping=1e-2).fit(p), mean_losses(p, x, y), form="first-order") for p in (drawn, whole)
    )
    assert 1e-6 < float((first.effects - second.effects).norm() / second.effects.norm()) < 0.1
    torch.testing.assert_close(gauss_newton(drawn), gauss_newton(whole), rtol=1e-9, atol=1e-13)


def test_the_door_takes_sequences_and_every_form() -> None:
    x, y = codes()
    slices = {"first": (x[:9], y[:9]), "rest": (x[9:], y[9:])}
    for estimator in ("exact", "ekfac", "kfac", "logra", "cg"):
        found = attribute(tagger(), token_mean, (x, y), slices, estimator=estimator, weight_decay=1e-2)
        assert found.scores.shape == (ROWS, 2) and bool(torch.isfinite(found.scores).all())

    def confident(outputs: Tensor) -> Tensor:
        return torch.softmax(outputs, 2).amax(2).mean(1)

    found = attribute(tagger(), token_mean, (x, y), slices, estimator="exact", weight_decay=1e-2, measure=confident)
    assert found.unit.startswith("change of the slice's mean measure")


def test_an_affine_sequence_model_is_recognised() -> None:
    x, y = random(20, 3, 4), (torch.arange(60) % 3).view(20, 3)
    module = nn.Linear(4, 3).double().eval()
    problem = pose(module, token_mean, (x,), y, weight_decay=1e-2)
    assert is_affine(problem) and not is_affine(posed())
    assert score(problem, Exact().fit(problem), mean_losses(problem, x, y)).form == "stepped"
