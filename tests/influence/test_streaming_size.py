"""Memory and time of a streamed run from 10⁵ to 10⁷ records of 100 columns, each size in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditkit.influence.streaming.tables import open_table

ROOT = Path(__file__).parents[2]


def measured(folder: Path, n: int) -> dict[str, Any]:
    folder.mkdir()
    command = [sys.executable, "-m", "tests.influence.streamed_size", str(folder), str(n)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["records"] == n
    return found


@pytest.mark.prove
def test_from_a_hundred_thousand_to_ten_million(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    sizes = (10**5, 10**6, 10**7)
    runs = [measured(tmp_path / str(n), n) for n in sizes]
    for n, run in zip(sizes, runs, strict=True):
        record_property(f"{n:,} records", f"peak {run['peak MiB']:.0f} MiB, {run['CPU s']:.1f} CPU s")
    growth = runs[2]["peak MiB"] / runs[0]["peak MiB"] - 1
    # What every run pays (imports, the fit, slices) falls out of the differences.
    small, large = ((runs[k + 1]["CPU s"] - runs[k]["CPU s"]) / (sizes[k + 1] - sizes[k]) * 1e6 for k in (0, 1))
    record_property("growth of peak memory", growth)
    record_property("CPU µs a record, 10⁵ to 10⁶ and 10⁶ to 10⁷", f"{small:.2f} and {large:.2f}")
    record_property("departure from linear time", large / small - 1)
    assert growth < 0.2


READ = """
import sys
from auditkit.influence.streaming.tables import open_table
table = open_table(sys.argv[1], None)
if sys.argv[2] == "whole":
    records = sum(part.batch.num_rows for part in table.parts(2048, shard=2**18))
    assert records == table.rows, records
else:
    next(table.parts(2048, shard=2**18))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_row_group_larger_than_the_bound_is_not_held(tmp_path: Path, compression: str) -> None:
    path, n = tmp_path / "one.parquet", 400_000
    pq.write_table(
        pa.table({f"f{k}": pa.array(range(k, n + k), pa.float64()) for k in range(40)}),
        path,
        row_group_size=n,
        use_dictionary=False,
        compression=compression,
    )
    assert open_table(path, None).files[0].groups == (n,)

    def peak(how: str) -> int:
        command = [sys.executable, "-c", READ, str(path), how]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    grown = (peak("whole") - peak("first")) * 1024
    assert grown < 0.2 * n * 40 * 8
