"""A small GPT-2-shaped model, trained here on generated text: store, Kronecker factors, the exact answer on its head.

"Unprojected" is the same estimator with every direction kept: the block Gauss-Newton curvature of all parameters.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.func import functional_call

from auditkit.influence import attribute, build_store, open_store
from auditkit.influence.attribution import Attribution
from auditkit.influence.curvature import Curvature, Estimator
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact
from auditkit.influence.estimators.logra import Logra
from auditkit.influence.problem import pose
from auditkit.influence.request import evaluation_of
from auditkit.influence.roots import RootColumns
from auditkit.influence.scoring import score
from auditkit.influence.settling import settle
from tests.influence.gpt2 import Configuration, Gpt2, next_token_loss, sentences, trained

Rows = tuple[Tensor, Tensor]
L2 = 1e-3
FULL = 100_000
SMALL = Configuration(vocabulary=24, length=12, width=16, heads=2, layers=1)
LARGER = Configuration(vocabulary=40, length=16, width=32, heads=2, layers=2)


@dataclass(frozen=True)
class World:
    module: Gpt2
    train: Rows
    slices: dict[str, Rows]

    def attribute(self, estimator: str) -> Attribution:
        return attribute(self.module, next_token_loss, self.train, self.slices, estimator=estimator, weight_decay=L2)

    def scores(self, estimator: Estimator, probes: int) -> tuple[Tensor, Curvature]:
        root = RootColumns(probes=probes)
        problem = pose(self.module, next_token_loss, self.train[:1], self.train[1], weight_decay=L2, root=root)
        curvature, _ = settle(problem, estimator.fit(problem), "auto")
        return score(problem, curvature, evaluation_of(problem, self.slices, "loss")).effects, curvature

    def stored(self, folder: Path, *, rank: int = 64, probes: int = 8) -> Attribution:
        given = {"weight_decay": L2, "rank": rank, "probes": probes, "shard_rows": 64}
        build_store(self.module, next_token_loss, self.train, folder, **given)  # type: ignore[arg-type]
        return open_store(folder).query(self.module, next_token_loss, self.slices)


def world_of(config: Configuration, records: int, *, epochs: int) -> World:
    codes = sentences(config, records + 100, seed=0)
    rows = codes[:, :-1], codes[:, 1:]
    parts = [(rows[0][at : at + 20], rows[1][at : at + 20]) for at in range(records, records + 100, 20)]
    module = trained(config, codes[:records], epochs=epochs, l2=L2)
    return World(module, (rows[0][:records], rows[1][:records]), {f"slice {k}": part for k, part in enumerate(parts)})


@pytest.fixture(scope="module")
def small() -> World:
    return world_of(SMALL, 160, epochs=40)


def rank_correlations(a: Attribution, b: Attribution) -> list[float]:
    return [float(spearmanr(a.scores[:, s], b.scores[:, s])[0]) for s in range(a.scores.shape[1])]


def said(found: Attribution) -> dict[str, float | None]:
    return {q.name: q.value for q in found.quality}


def test_a_question_to_the_store_ranks_as_the_unprojected_scores_do(small: World, tmp_path: Path) -> None:
    kept = small.stored(tmp_path / "kept", rank=24)
    whole = small.stored(tmp_path / "whole", rank=FULL)
    assert sum(p.numel() for p in small.module.parameters()) * 0.6 > (24 * 16) * 4
    assert min(rank_correlations(kept, whole)) >= 0.9
    assert kept.self_influence is not None and whole.self_influence is not None
    assert float(spearmanr(kept.self_influence, whole.self_influence)[0]) >= 0.95
    share = said(kept)["curvature inside the projection"]
    assert share is not None and 0.3 < share < 0.9 < (said(whole)["curvature inside the projection"] or 0)


def test_the_store_answers_as_the_estimator_and_as_kronecker_factors_roughly(small: World, tmp_path: Path) -> None:
    store, (fresh, projected) = small.stored(tmp_path), small.scores(Logra(), 8)
    assert_alike(store.scores, fresh)
    factors, curvature = small.scores(Ekfac(), 8)
    assert projected.covered == curvature.covered == sum(p.numel() for p in small.module.parameters())
    assert any(q.name == "root columns" and q.value == 8 for q in projected.quality())
    # The blocks of EK-FAC take inputs and output gradients of a layer for independent, which tokens are not.
    assert min(float(spearmanr(factors[:, s], fresh[:, s])[0]) for s in range(5)) >= 0.6


def assert_alike(kept: Tensor, computed: Tensor) -> None:
    assert float((kept - computed).norm() / computed.norm()) < 1e-5


def test_a_tied_head_is_covered(tmp_path: Path) -> None:
    config = Configuration(vocabulary=12, length=6, width=8, heads=2, layers=1, tied=True)
    tied = world_of(config, 60, epochs=5)
    fresh, curvature = tied.scores(Logra(), 8)
    assert curvature.covered == sum(p.numel() for p in tied.module.parameters())
    assert_alike(tied.stored(tmp_path).scores, fresh)


def head_of(world: World) -> Gpt2:
    """The same model with its body frozen, its head at the minimum of the objective (Newton's method)."""
    module = copy.deepcopy(world.module).requires_grad_(False)
    module.head.requires_grad_(True)
    weight = _minimum(module, world.train, torch.ones(len(world.train[1]), dtype=torch.float64), module.head.weight)
    with torch.no_grad():
        module.head.weight.copy_(weight)
    return module


def _minimum(module: Gpt2, train: Rows, weights: Tensor, start: Tensor) -> Tensor:
    features, targets = _features(module, train[0]), torch.eye(start.shape[0], dtype=torch.float64)[train[1]]
    weight, share = start.detach().clone(), (weights / (len(weights) * train[1].shape[1])).view(-1, 1, 1)
    for _ in range(50):
        p = torch.softmax(features @ weight.T, 2)
        gradient = torch.einsum("btc,bti->ci", (p - targets) * share, features) + L2 * weight
        if float(gradient.norm()) < 1e-11:
            return weight
        weight = weight - torch.linalg.solve(_hessian(p, features, share), gradient.flatten()).view_as(weight)
    raise AssertionError("Newton's method did not converge")


def _hessian(p: Tensor, features: Tensor, share: Tensor) -> Tensor:
    """Of the objective in the head's weight, written out."""
    curved = torch.diag_embed(p) - p.unsqueeze(3) * p.unsqueeze(2)
    classes, width = p.shape[2], features.shape[2]
    outer = (features * share).unsqueeze(3) * features.unsqueeze(2)
    dense = curved.reshape(-1, classes**2).T @ outer.reshape(-1, width**2)
    dense = dense.reshape(classes, classes, width, width).transpose(1, 2).reshape(classes * width, -1)
    return dense + L2 * torch.eye(len(dense), dtype=torch.float64)


def _features(module: Gpt2, codes: Tensor) -> Tensor:
    places = torch.arange(codes.shape[1]).expand_as(codes)
    with torch.no_grad():
        return module.last(module.blocks(module.tokens(codes) + module.places(places)))


def test_exact_on_the_head_predicts_what_retraining_without_a_record_gives(small: World) -> None:
    module = head_of(small)
    found = attribute(module, next_token_loss, small.train, small.slices, estimator="exact", weight_decay=L2)
    assert said(found)["parameters covered"] == 1.0 and not [q for q in found.quality if q.name == "root columns"]
    removed = list(range(0, 160, 16))
    actual = []
    for n in removed:
        weights = torch.ones(160, dtype=torch.float64)
        weights[n] = 0.0
        weight = _minimum(module, small.train, weights, module.head.weight)
        losses = [
            next_token_loss(functional_call(module, {"head.weight": weight}, (inputs,)), targets).mean()
            for inputs, targets in small.slices.values()
        ]
        actual.append(torch.stack(losses).detach() - found.values)
    truth, predicted = torch.stack(actual), found.scores[removed]
    for s in range(truth.shape[1]):
        assert float(torch.corrcoef(torch.stack([truth[:, s], predicted[:, s]]))[0, 1]) > 0.95
    slope = float((truth * predicted).sum() / (truth * truth).sum())
    assert 0.6 < slope < 1.1


@pytest.mark.prove
def test_rank_64_against_unprojected_and_a_question_against_recomputation(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    world = world_of(LARGER, 2000, epochs=12)
    record_property("parameters", sum(p.numel() for p in world.module.parameters()))
    began = time.process_time()
    whole = build_store(
        world.module, next_token_loss, world.train, tmp_path / "whole", rank=FULL, weight_decay=L2
    ).query(world.module, next_token_loss, world.slices)
    record_property("seconds of an unprojected store", round(time.process_time() - began, 1))
    for name, rank in (("rank 64 a side", 64), ("rank 8 a side (64 numbers a layer)", 8)):
        build_store(world.module, next_token_loss, world.train, tmp_path / str(rank), rank=rank, weight_decay=L2)
        store = open_store(tmp_path / str(rank))
        found = store.query(world.module, next_token_loss, world.slices)
        ranks = rank_correlations(found, whole)
        record_property(f"{name}: Spearman with unprojected scores, least of 5 slices", round(min(ranks), 4))
        assert found.self_influence is not None and whole.self_influence is not None
        own = float(spearmanr(found.self_influence, whole.self_influence)[0])
        record_property(f"{name}: Spearman of self-influence", round(own, 4))
        if rank == 64:
            assert min(ranks) >= 0.9
            _time(world, store.query, record_property)
    factors = world.attribute("ekfac")
    record_property("ekfac: Spearman with unprojected scores", round(min(rank_correlations(factors, whole)), 4))


def _time(world: World, query: Callable[..., Attribution], record_property: Callable[[str, object], None]) -> None:
    """CPU seconds of one new slice: asked of the store, and computed anew."""
    one = {"slice 0": world.slices["slice 0"]}
    times = []
    for _ in range(3):
        began = time.process_time()
        found = query(world.module, next_token_loss, one)
        times.append(time.process_time() - began)
    began = time.process_time()
    fresh = attribute(world.module, next_token_loss, world.train, one, estimator="logra", weight_decay=L2)
    anew = time.process_time() - began
    assert float(spearmanr(fresh.scores[:, 0], found.scores[:, 0])[0]) > 0.999
    record_property("seconds of a question", round(min(times), 4))
    record_property("seconds of recomputation", round(anew, 2))
    record_property("recomputation over question", round(anew / min(times), 1))


def test_exact_sees_every_root_column_of_a_sequence(small: World) -> None:
    """The curvature of the head against one written out here."""
    module = head_of(small)
    problem = pose(module, next_token_loss, (small.train[0],), small.train[1], weight_decay=L2)
    features = _features(module, small.train[0])
    p = torch.softmax(features @ module.head.weight.detach().T, 2)
    share = torch.full((160, 1, 1), 1 / (160 * SMALL.length), dtype=torch.float64)
    dense, size = _hessian(p, features, share), problem.layout.size
    curvature = Exact(damping=0.0).fit(problem)
    eye = torch.eye(size, dtype=torch.float64)[:, ::7]
    torch.testing.assert_close(dense @ curvature.solve(eye), eye, rtol=0, atol=1e-8)
    scores = score(problem, curvature, evaluation_of(problem, small.slices, "loss"))
    assert scores.form == "first-order"
