"""One streamed run of N records with 100 float32 columns, in a process of its own: `streamed_size.py FOLDER N`.

Writes the table in pieces in another process, so that this one's peak memory is that of the run; prints it, the CPU
time of the run, and its folder's size.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

COLUMNS = 100
PIECE = 50_000


def write(path: Path, n: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"f{k}" for k in range(COLUMNS)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("y", pa.int8())])
    chance = np.random.default_rng(3)
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, n, PIECE):
            count = min(PIECE, n - start)
            x = [chance.standard_normal(count, dtype=np.float32) for _ in names]
            y = (x[0] + x[1] * x[2] > 0).astype(np.int8)
            writer.write_table(pa.table([*x, y], schema=schema))


def score(path: Path, out: Path) -> dict[str, Any]:
    import numpy as np
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    from auditkit.influence import attribute_table

    def encode(batch: Any) -> tuple[Tensor, Tensor]:
        x = np.empty((batch.num_rows, COLUMNS), dtype=np.float32)
        for k in range(COLUMNS):
            x[:, k] = batch.column(k).to_numpy()
        return torch.from_numpy(x), torch.from_numpy(batch.column(COLUMNS).to_numpy().astype(np.int64))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(COLUMNS, 64), nn.ReLU(), nn.Linear(64, 2)).eval()
    slices = {f"slice {k}": (torch.randn(500, COLUMNS), torch.randint(0, 2, (500,))) for k in range(4)}
    found = attribute_table(module, loss, path, encode, slices, out=out, weight_decay=1e-3)
    return {"records": found.records, "shards": len(found.shards)}


def highest() -> int:
    """Peak resident KiB of this program; `ru_maxrss` would begin at the size of the process that started it."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(folder: Path, n: int) -> None:
    path, out = folder / "train.parquet", folder / "out"
    writer = get_context("spawn").Process(target=write, args=(path, n))
    writer.start()
    writer.join()
    before = time.process_time()
    said = score(path, out)
    spent = time.process_time() - before
    peak = highest() / 1024
    bytes_out = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    json.dump({**said, "peak MiB": peak, "CPU s": spent, "written MiB": bytes_out / 2**20}, sys.stdout)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
