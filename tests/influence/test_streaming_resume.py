"""A streamed run that is killed goes on from what is finished and ends in the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from auditkit.errors import DataError, IntegrityError
from auditkit.influence.streaming.passing import Pass
from tests.influence import tables

ROOT = Path(__file__).parents[2]


def killed(folder: Path, trials: int) -> list[dict[str, int]]:
    command = [sys.executable, "-m", "tests.influence.tables", str(folder), str(trials)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: list[dict[str, int]] = json.loads(done.stdout)["trials"]
    return told


def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    told = killed(tmp_path, 3)
    assert len(told) == 3
    assert all(trial["code"] == 0 and trial["same"] for trial in told), told


@pytest.mark.prove
def test_killed_at_twenty_random_moments(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    told = killed(tmp_path, 20)
    record_property("shards finished when killed", ", ".join(str(trial["shards"]) for trial in told))
    record_property("identical bytes", f"{sum(trial['same'] for trial in told)} of {len(told)}")
    assert len(told) == 20
    assert all(trial["code"] == 0 and trial["same"] for trial in told), told
    assert len({trial["shards"] for trial in told}) > 3


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pq.write_table(tables.as_table(*tables.records(1500)), tmp_path / "train.parquet", row_group_size=300)
    return tmp_path / "train.parquet"


def test_what_is_finished_is_not_computed_again(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.run(table, tmp_path / "out")
    before = tables.contents(tmp_path / "out")

    def never(*_: object) -> None:
        raise AssertionError("a finished shard was scored again")

    monkeypatch.setattr(Pass, "_scored", never)
    tables.run(table, tmp_path / "out")
    assert tables.contents(tmp_path / "out") == before


def test_a_shard_that_is_gone_is_written_again(table: Path, tmp_path: Path) -> None:
    found = tables.run(table, tmp_path / "out")
    before = tables.contents(tmp_path / "out")
    found.shards[1].unlink()
    found.shards[2].write_bytes(b"other")
    again = tables.run(table, tmp_path / "out")
    assert tables.contents(tmp_path / "out") == before
    assert again.slices == found.slices


def test_another_run_is_not_continued(table: Path, tmp_path: Path) -> None:
    tables.run(table, tmp_path / "out")
    other = tmp_path / "other.parquet"
    pq.write_table(tables.as_table(*tables.records(1500, seed=9)), other, row_group_size=300)
    with pytest.raises(DataError, match="another run"):
        tables.run(other, tmp_path / "out")


def test_the_same_records_elsewhere_are_the_same_run(table: Path, tmp_path: Path) -> None:
    tables.run(table, tmp_path / "out")
    before = tables.contents(tmp_path / "out")
    tables.run(table.rename(tmp_path / "moved.parquet"), tmp_path / "out")
    assert tables.contents(tmp_path / "out") == before


def test_a_damaged_piece_is_refused(table: Path, tmp_path: Path) -> None:
    tables.run(table, tmp_path / "out")
    piece = tmp_path / "out" / "pieces" / "progress-0-of-1.safetensors"
    content = bytearray(piece.read_bytes())
    content[-3] ^= 1
    piece.write_bytes(content)
    with pytest.raises(IntegrityError):
        tables.run(table, tmp_path / "out")
