"""A streamed run shared by two processes: the scores of one, a resumed share, and an error that all hear of.

As a script: `test_streaming_processes.py FOLDER` makes each of those runs with two forked processes (so that torch is
loaded once) and prints what the ranks said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch.distributed as dist

from auditkit.errors import AuditError, DataError
from auditkit.influence import TableAttribution
from tests.influence.tables import as_table, contents, encode, finished, records, scores_of
from tests.influence.test_streaming import apart, streamed

ROOT = Path(__file__).parents[2]
N, SAMPLE = 950, 300


def run(table: Path, out: Path, *, fit: int | None) -> TableAttribution:
    return streamed(table, out, encode=careful, fit_records=fit, rows_per_shard=100, identifier="name")


def careful(batch: Any) -> Any:
    if "broken" in batch.column("name").to_pylist():
        raise ValueError("a record that cannot be encoded")
    return encode(batch)


def by_two(table: Path, out: Path, fit: int | None) -> list[str]:
    """What both ranks say at the end of one shared run."""
    meet, said = out.with_suffix(".meet"), [out.with_suffix(f".{rank}") for rank in range(2)]
    children = []
    for rank in range(2):
        children.append(os.fork())
        if not children[-1]:
            dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
            try:
                found = run(table, out, fit=fit)
                told = f"{found.self_influence.raising[0].record} {found.slices[0].total!r}"
            except AuditError as reason:
                told = f"{type(reason).__name__} {reason}"
            said[rank].write_text(told)
            os._exit(0)
    assert [finished(number) for number in children] == [0, 0]
    meet.unlink(missing_ok=True)
    return [path.read_text() for path in said]


def main(folder: Path) -> None:
    table, broken = folder / "t.parquet", folder / "broken.parquet"
    told: dict[str, Any] = {"sample": by_two(table, folder / "sample", SAMPLE)}
    told["before"] = contents(folder / "sample")
    (folder / "sample" / "pieces" / "progress-1-of-2.safetensors").unlink()
    told["again"] = by_two(table, folder / "sample", SAMPLE)
    told["after"] = contents(folder / "sample")
    told["passes"] = by_two(table, folder / "passes", None)
    told["broken"] = by_two(broken, folder / "broken", 50)
    json.dump(told, sys.stdout)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("two")
    whole = as_table(*records(N))
    pq.write_table(whole, folder / "t.parquet", row_group_size=120)
    names = whole.column("name").to_pylist()
    names[900] = "broken"
    pq.write_table(whole.set_column(0, "name", [names]), folder / "broken.parquet")
    command = [sys.executable, "-m", "tests.influence.test_streaming_processes", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize(("kind", "fit"), [("sample", SAMPLE), ("passes", None)])
def test_two_processes_give_the_scores_of_one(
    told: tuple[Path, dict[str, Any]], tmp_path: Path, kind: str, fit: int | None
) -> None:
    folder, said = told
    alone = run(folder / "t.parquet", tmp_path / "alone", fit=fit)
    record, total = said[kind][0].split()
    assert said[kind][0] == said[kind][1]
    assert int(record) == alone.self_influence.raising[0].record
    assert float(total) == pytest.approx(alone.slices[0].total, rel=1e-9)
    shards = tuple(sorted((folder / kind).glob("scores-*.parquet")))
    assert len(shards) == 10
    shared = TableAttribution(shards, N, alone.slices, alone.self_influence, alone.values, alone.quality)
    assert apart(scores_of(shared), scores_of(alone)) < 1e-10


def test_a_share_that_was_not_finished_is_computed_again(told: tuple[Path, dict[str, Any]]) -> None:
    assert told[1]["again"] == told[1]["sample"]
    assert told[1]["after"] == told[1]["before"]


def test_an_error_of_one_process_is_heard_by_both(told: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, said = told
    assert all(one.startswith("DataError") and "cannot be encoded" in one for one in said["broken"]), said
    with pytest.raises(DataError, match="cannot be encoded"):
        run(folder / "broken.parquet", tmp_path / "alone", fit=50)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
