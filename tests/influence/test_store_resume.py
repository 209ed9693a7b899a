from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from auditkit.errors import IntegrityError
from auditkit.influence import build_store, open_store
from auditkit.influence.storage import shards as shards_module
from tests.influence.stores import L2, World, away, built, contents, small_world
from tests.worlds import cross_entropy


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_appending_equals_building_in_one_go(world: World, tmp_path: Path, precision: str) -> None:
    module, (x, y), slices = world
    weights = torch.rand(len(y), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = {"weight_decay": L2, "shard_rows": 17, "precision": precision, "rank": 2}
    whole = build_store(module, cross_entropy, (x, y), tmp_path / "a", sample_weight=weights, **given)  # type: ignore[arg-type]
    part = build_store(module, cross_entropy, (x[:40], y[:40]), tmp_path / "b", sample_weight=weights[:40], **given)  # type: ignore[arg-type]
    first = part.query(module, cross_entropy, slices)
    assert part.records == 40 and len(first.scores) == 40
    both = part.append(module, cross_entropy, (x[40:], y[40:]), weight_decay=L2, sample_weight=weights[40:])
    assert both.records == whole.records == len(y)
    one, two = (store.query(module, cross_entropy, slices) for store in (whole, both))
    assert away(two.scores, one.scores) < 1e-6 and away(both.self_influence, whole.self_influence) < 1e-9
    torch.testing.assert_close(both.loss, whole.loss)
    names = {path.name for path in (tmp_path / "b").glob("*")}
    assert sum(name.startswith("inverse") for name in names) == 1


class Stop(Exception):
    """Stands for a kill."""


def test_a_build_stopped_at_any_write_ends_in_the_same_bytes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(world, tmp_path / "whole", shard_rows=30)
    wanted = contents(tmp_path / "whole")
    replace, calls = Path.replace, {"left": 10**9}

    def stopping(path: Path, target: Path) -> Path:
        calls["left"] -= 1
        if calls["left"] == 0:
            raise Stop
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stopping)
    begun = 10**9
    built(world, tmp_path / "counted", shard_rows=30)
    writes = begun - calls["left"]
    assert writes > 3 * 3
    for stop in range(1, writes + 1):
        folder = tmp_path / f"stopped {stop}"
        calls["left"] = stop
        with pytest.raises(Stop):
            built(world, folder, shard_rows=30)
        calls["left"] = 10**9
        built(world, folder, shard_rows=30)
        assert contents(folder) == wanted, f"stopped at write {stop}"


def test_finished_shards_are_not_computed_again(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(world, tmp_path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a finished shard was written again")

    monkeypatch.setattr(shards_module.ShardWriter, "append", never)
    built(world, tmp_path)


def test_a_stopped_append_goes_on_with_its_records_only(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, (x, y), slices = world
    given = {"weight_decay": L2, "shard_rows": 17}
    store = build_store(module, cross_entropy, (x[:40], y[:40]), tmp_path, **given)  # type: ignore[arg-type]
    before = store.query(module, cross_entropy, slices).scores
    with monkeypatch.context() as patch:
        finish, calls = shards_module.ShardWriter.finish, []

        def stopping(writer: shards_module.ShardWriter, **named: object) -> None:
            if calls:
                raise Stop
            calls.append(1)
            finish(writer, **named)  # type: ignore[arg-type]

        patch.setattr(shards_module.ShardWriter, "finish", stopping)
        with pytest.raises(Stop):
            store.append(module, cross_entropy, (x[40:], y[40:]), weight_decay=L2)
    # The old store still answers as before.
    torch.testing.assert_close(open_store(tmp_path).query(module, cross_entropy, slices).scores, before, rtol=0, atol=0)
    with pytest.raises(IntegrityError, match="shard 3 of the gradient store holds other training data"):
        store.append(module, cross_entropy, (x[41:], y[41:]), weight_decay=L2)
    both = store.append(module, cross_entropy, (x[40:], y[40:]), weight_decay=L2)
    assert both.records == len(y)


def test_there_is_no_store_or_it_is_not_finished(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IntegrityError, match="there is no gradient store"):
        open_store(tmp_path)

    def stopping(*_: object, **__: object) -> None:
        raise Stop

    monkeypatch.setattr(shards_module.ShardWriter, "finish", stopping)
    with pytest.raises(Stop):
        built(world, tmp_path)
    with pytest.raises(IntegrityError, match="not finished"):
        open_store(tmp_path)


_BUILD = """
import sys
from pathlib import Path
import torch
from torch import nn
from auditkit.influence import build_store
from tests.worlds import cross_entropy
torch.manual_seed(0)
module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()
x, y = torch.randn(600, 4).double(), torch.arange(600) % 3
build_store(module, cross_entropy, (x, y), Path(sys.argv[1]), weight_decay=1e-2, shard_rows=29)
"""


@pytest.mark.prove
def test_killed_at_twenty_random_moments(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The process is killed (SIGKILL), not asked to stop."""

    def start(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _BUILD, str(folder)], cwd=Path(__file__).parents[2])

    began = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    lasted, wanted = time.monotonic() - began, contents(tmp_path / "whole")
    draw, killed = np.random.default_rng(0), 0
    for k in range(20):
        folder = tmp_path / str(k)
        process = start(folder)
        first = time.monotonic()
        while not (folder / "store.json").is_file() and process.poll() is None and time.monotonic() - first < 60:
            time.sleep(0.001)
        time.sleep(float(draw.uniform(0, 0.15 * lasted)))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() != 0
        assert start(folder).wait() == 0
        assert contents(folder) == wanted
    record_property("builds killed before their end, of 20", killed)
