"""One library at one piece of work in a process of its own: `python -m benchmarks.job ORDER.json` (see `runner`).

The order names task, library, way, size and a folder; the answer is written there as `answer.json` and `scores.npz`.
Everything runs on one thread. The library's work comes first and the plain epochs after it, so that the peak of memory
is the library's.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.contest import Case, Found, Way

EPOCHS = 5
PLAIN_SECONDS = 1.0
"""Plain epochs are repeated at least this long, for a steady median."""


@dataclass(frozen=True)
class Order:
    """What to do."""

    task: str
    peer: str
    """Empty: load the data and stop, for the baseline of memory."""
    way: str
    size: int
    folder: str
    """To write to."""
    known: str
    """What the tasks prepared: a file written by torch."""
    limit: int
    """Seconds of processor time after which the system ends this process."""
    tries: int
    """Dampings of a grid that are tried at most."""


@dataclass(frozen=True)
class Answer:
    """What it took."""

    processor_seconds: float
    wall_seconds: float
    epoch_seconds: float
    """Processor time of one plain training epoch."""
    peak: int
    """Bytes, of this process so far."""
    before: int
    """Bytes held just before the library's work, its imports included."""
    damping: float | None
    """Of the columns in `scores`, where it was picked by hand."""
    notes: str


def main(order: Order) -> None:
    """Do one order."""
    resource.setrlimit(resource.RLIMIT_CPU, (order.limit, order.limit + 5))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    case, epoch, choose = _prepared(order)
    folder = Path(order.folder)
    if not order.peer:
        nothing = Answer(0, 0, 0, _peak(), _peak(), None, "")
        (folder / "answer.json").write_text(json.dumps(asdict(nothing)))
        return
    if order.task == "speed":
        _warm(case, _way(order), folder / "warming")
    found, answer = _tried(case, _way(order, order.tries), folder, choose)
    answer["epoch_seconds"] = _plain(epoch, copy.deepcopy(case.module).train())
    own = {} if found.self_influence is None else {"own": found.self_influence.numpy()}
    np.savez(folder / "scores.npz", scores=found.scores.numpy(), **own)
    (folder / "answer.json").write_text(json.dumps(asdict(Answer(**answer))))


def _warm(case: Case, chosen: Way, scratch: Path) -> None:
    """One call on a handful of rows."""
    from benchmarks.tasks import speed

    scratch.mkdir()
    chosen.run(speed.warming(case), scratch, None)


def _way(order: Order, tries: int = 0) -> Way:
    from benchmarks.peers import load

    found = next(w for w in load(order.peer).ways if w.key == order.way)
    return replace(found, grid=found.grid[:tries])


def _prepared(order: Order) -> tuple[Case, Callable[[nn.Module], None] | None, Callable[[Found], float]]:
    """The case, a plain epoch of it, and how dampings are compared."""
    if order.task == "speed":
        from benchmarks.tasks import speed

        case = speed.case_of(Path(order.known))
        return case, lambda m: speed.plain_epoch(case, m), lambda _: 0.0
    if order.task == "loo":
        from benchmarks.tasks import leave_one_out

        return leave_one_out.case_of(leave_one_out.world()), None, lambda _: 0.0
    from benchmarks.tasks import subsets

    world, known = subsets.world_of(order.task), torch.load(order.known, weights_only=False)
    return (
        subsets.case_of(world, known),
        lambda m: subsets.plain_epoch(world, m),
        lambda found: subsets.tuning_score(found.scores.numpy(), known),
    )


def _tried(case: Case, chosen: Way, folder: Path, choose: Callable[[Found], float]) -> tuple[Found, dict[str, Any]]:
    """The library's answer; of several dampings the one with the best score on the models for tuning."""
    before, best, kept = _resident(), -np.inf, None
    for k, damping in enumerate(chosen.grid or (None,)):
        scratch = folder / f"scratch-{k}"
        scratch.mkdir()
        wall, processor = time.perf_counter(), time.process_time()
        found = chosen.run(case, scratch, damping)
        took = {"processor_seconds": time.process_time() - processor, "wall_seconds": time.perf_counter() - wall}
        if not bool(torch.isfinite(found.scores).all()):
            if chosen.grid:
                continue
            raise FloatingPointError("scores are not finite")
        value = choose(found) if chosen.grid else 0.0
        if value > best:
            best = value
            kept = (found, {**took, "peak": _peak(), "before": before, "damping": damping, "notes": found.notes})
    if kept is None:
        raise FloatingPointError("scores are not finite with any damping")
    return kept


def _plain(epoch: Callable[[nn.Module], None] | None, module: nn.Module) -> float:
    """Processor seconds of one plain epoch, median of several; the first, which warms up, is left out."""
    if epoch is None:
        return 0.0
    epoch(module)
    seconds: list[float] = []
    while len(seconds) < EPOCHS or sum(seconds) < PLAIN_SECONDS:
        start = time.process_time()
        epoch(module)
        seconds.append(time.process_time() - start)
        if len(seconds) >= 100:
            break
    return median(seconds)


def _peak() -> int:
    """Bytes. Not ru_maxrss, which starts from the size of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(Order(**json.loads(Path(sys.argv[1]).read_text())))
