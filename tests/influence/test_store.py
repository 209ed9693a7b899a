from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import DataError, IntegrityError, PolicyError
from auditkit.influence import attribute, build_store, open_store
from tests.influence.modules import Tabular
from tests.influence.stores import L2, World, away, built, small_world
from tests.worlds import cross_entropy, trained_mlp


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


def test_a_question_has_the_answer_of_the_estimator_without_the_training_data(world: World, tmp_path: Path) -> None:
    module, train, slices = world
    weights = torch.rand(len(train[1]), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    built(world, tmp_path, sample_weight=weights)
    found = open_store(tmp_path).query(module, cross_entropy, slices)
    truth = attribute(module, cross_entropy, train, slices, estimator="logra", weight_decay=L2, sample_weight=weights)
    assert found.slice_names == truth.slice_names and found.unit == truth.unit
    assert found.self_influence is not None and truth.self_influence is not None
    assert away(found.scores, truth.scores) < 1e-6
    assert away(found.self_influence, truth.self_influence) < 1e-6
    torch.testing.assert_close(found.values, truth.values)
    said, wanted = ({q.name: q.value for q in a.quality} for a in (found, truth))
    for name in ("damping", "distance to optimum", "curvature inside the projection"):
        assert said[name] == pytest.approx(wanted[name], rel=1e-5), name


def test_only_its_owner_reads_a_store(world: World, tmp_path: Path) -> None:
    built(world, tmp_path / "store")
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_a_measure_of_the_callers_own(world: World, tmp_path: Path) -> None:
    module, train, slices = world

    def favourable(outputs: Tensor) -> Tensor:
        return torch.softmax(outputs, 1)[:, 1]

    found = built(world, tmp_path).query(module, cross_entropy, slices, measure=favourable)
    truth = attribute(module, cross_entropy, train, slices, estimator="logra", weight_decay=L2, measure=favourable)
    assert away(found.scores, truth.scores) < 1e-6


def test_float16_says_its_error_and_keeps_to_it(world: World, tmp_path: Path) -> None:
    module, _, slices = world
    wide, narrow = built(world, tmp_path / "a"), built(world, tmp_path / "b", precision="float16")
    one, two = (store.query(module, cross_entropy, slices) for store in (wide, narrow))
    error = {q.name: q.value for q in two.quality}["rounding of the store"]
    assert error is not None and 1e-5 < error < 5e-4
    assert 1e-6 < away(two.scores, one.scores) < 5e-3
    sizes = [sum(p.stat().st_size for p in (tmp_path / d).rglob("gradients-*.npy")) for d in "ab"]
    assert sizes[1] < 0.6 * sizes[0]
    kept = {q.name: q.value for q in one.quality}["rounding of the store"]
    assert kept is not None and kept < 1e-7


def test_damage_is_found_and_named(world: World, tmp_path: Path) -> None:
    built(world, tmp_path)
    for name, what in (
        ("shards/gradients-000001.npy", "shard 1 .* is not what was written"),
        ("shards/records-000002.safetensors", "shard 2 .* is not what was written"),
        ("projection.safetensors", "not what was written.*projection|projection.*not what was written"),
    ):
        path = tmp_path / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(IntegrityError, match=what):
            open_store(tmp_path)
        path.write_bytes(whole)
        open_store(tmp_path)
    (tmp_path / "shards/gradients-000000.npy").unlink()
    with pytest.raises(IntegrityError, match=r"shard 0 .* is absent"):
        open_store(tmp_path)


def test_another_model_loss_or_setting_is_refused_by_name(world: World, tmp_path: Path) -> None:
    module, train, slices = world
    store = built(world, tmp_path)
    other, *_ = trained_mlp()
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-12
    with pytest.raises(IntegrityError, match="built for other model parameters"):
        store.query(other, cross_entropy, slices)
    wider = nn.Sequential(*module, nn.Identity()).double().eval()
    with pytest.raises(IntegrityError, match="built for other architecture"):
        store.query(wider, cross_entropy, slices)

    def doubled(outputs: Tensor, targets: Tensor) -> Tensor:
        return 2 * cross_entropy(outputs, targets)

    with pytest.raises(IntegrityError, match="other loss"):
        build_store(module, doubled, train, tmp_path, weight_decay=L2, shard_rows=17)
    with pytest.raises(IntegrityError, match="other settings"):
        built(world, tmp_path, rank=3)
    with pytest.raises(IntegrityError, match=r"shard 1 .* other training data"):
        changed = train[0].clone()
        changed[20] += 1e-9
        build_store(module, cross_entropy, (changed, train[1]), tmp_path, weight_decay=L2, shard_rows=17)
    with pytest.raises(PolicyError, match="precision 'float8' is not known"):
        built(world, tmp_path, precision="float8")
    with pytest.raises(DataError, match="differ in kind or shape"):
        store.query(module, cross_entropy, {"narrow": (slices["even"][0].int(), slices["even"][1])})


def test_category_codes_beside_numbers(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = Tabular().double().eval()
        numbers, codes, y = torch.randn(30, 2).double(), torch.randint(0, 5, (30, 3)), torch.arange(30) % 2
    slices = {"all": ((numbers, codes), y)}
    for rank in (1, 64):
        store = build_store(
            module, cross_entropy, ((numbers, codes), y), tmp_path / str(rank), rank=rank, weight_decay=1e-2
        )
        found = store.query(module, cross_entropy, slices)
        assert found.scores.shape == (30, 1) and bool(found.scores.abs().max() > 0)
    truth = attribute(module, cross_entropy, ((numbers, codes), y), slices, estimator="logra", weight_decay=1e-2)
    assert away(found.scores, truth.scores) < 1e-6
