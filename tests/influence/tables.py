"""A small trained network with its training records as Parquet files, and a run over them that may be killed.

As a script: `tables.py FOLDER TRIALS` prepares one run, measures its length, then kills it at random moments and lets a
new process finish it, TRIALS times; prints what each ended in. Children are forked, so that their work begins at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.influence import TableAttribution, attribute_table

FEATURES = 5
N, SHARD = 6000, 400
SHARDS = N // SHARD
L2 = 1e-2


def per_record(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def network(seed: int = 0, *, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(FEATURES, 7), nn.Tanh(), nn.Linear(7, 3))
    return module.to(dtype).eval()


def records(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features [n, 5], labels [n] and sample weights [n]."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(n, FEATURES))
    y = (x[:, 0] + x[:, 1] ** 2 > 0.5).astype(np.int64) + (x[:, 2] > 1)
    return torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(chance.uniform(0.5, 1.5, n))


def as_table(x: Tensor, y: Tensor, w: Tensor) -> Any:
    columns = {f"f{k}": x[:, k].numpy() for k in range(FEATURES)}
    return pa.table({"name": [f"r{k}" for k in range(len(y))], **columns, "y": y.numpy(), "w": w.numpy()})


def encode(batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    x = np.stack([batch.column(f"f{k}").to_numpy() for k in range(FEATURES)], axis=1)
    return torch.from_numpy(x), *(torch.from_numpy(batch.column(name).to_numpy().copy()) for name in "yw")


def unweighted(batch: Any) -> tuple[Tensor, Tensor]:
    return encode(batch)[:2]


def single(batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, y, w = encode(batch)
    return x.float(), y, w


def slices_of(x: Tensor, y: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    return {"first": (x[:40], y[:40]), "second": (x[40:90], y[40:90])}


def scores_of(found: TableAttribution, names: Sequence[str] = ("first", "second")) -> Tensor:
    """[N, S + 1], self-influence last."""
    return torch.from_numpy(np.stack([found.scores(name) for name in (*names, "self_influence")], axis=1))


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder and the digest of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def run(folder: Path, out: Path) -> TableAttribution:
    """The run that is killed: a subsample, several shards, weights."""
    x, y, _ = records(100, seed=1)
    return attribute_table(
        network(),
        per_record,
        folder,
        encode,
        slices_of(x, y),
        out=out,
        weight_decay=L2,
        fit_records=600,
        rows_per_batch=64,
        rows_per_shard=SHARD,
        top=5,
        identifier="name",
    )


def child(folder: Path, out: Path) -> int:
    """A process of its own that runs; its number."""
    number = os.fork()
    if not number:
        try:
            run(folder, out)
            os._exit(0)
        except BaseException as reason:
            sys.stderr.write(f"{type(reason).__name__}: {reason}\n")
            os._exit(1)
    return number


def finished(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def wait_for(shards: int, out: Path) -> None:
    """Until so many shards are finished: the moments of odd trials lie where scores are written."""
    began = time.monotonic()
    while len(list(out.glob("scores-*.parquet"))) < shards:
        assert time.monotonic() - began < 200, "the run writes no shards"
        time.sleep(0.001)


def main(folder: Path, trials: int) -> None:
    table, reference = folder / "train", folder / "whole"
    table.mkdir()
    x, y, w = records(N)
    pq.write_table(as_table(x, y, w), table / "a.parquet", row_group_size=701)
    began = time.monotonic()
    assert finished(child(table, reference)) == 0
    length, expected = time.monotonic() - began, contents(reference)
    moments, told = random.Random(7), []  # noqa: S311 - moments of a test
    while len(told) < trials:
        out = folder / f"trial-{len(told)}"
        number = child(table, out)
        if len(told) % 2:
            wait_for(moments.randint(1, SHARDS - 1), out)
            time.sleep(moments.uniform(0, length / SHARDS))
        else:
            time.sleep(moments.uniform(0, length))
        os.kill(number, signal.SIGKILL)
        if finished(number) == -signal.SIGKILL:  # else it had ended before that moment
            left = len(list(out.glob("scores-*.parquet"))) if out.exists() else 0
            code = finished(child(table, out))
            told.append({"shards": left, "code": code, "same": contents(out) == expected})
        shutil.rmtree(out)
    json.dump({"length": length, "shards": len(expected), "trials": told}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
