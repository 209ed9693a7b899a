"""Starts each library in a process of its own, with a time limit, and keeps what it answers or why it does not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.contest import Found, Peer
from benchmarks.job import Answer, Order
from benchmarks.peers import NAMES, load

ROOT = Path(__file__).parents[1]
PATIENCE = 6
"""Limits are processor time; on a machine that does other things too, a process may wait this many times longer."""
ABSENT = ROOT / ".venv-peers" / "absent"


@dataclass(frozen=True)
class Outcome:
    """One way at one piece of work."""

    task: str
    peer: str
    text: str
    size: int
    answer: Answer | None
    found: Found | None
    why: str
    """Why there is no answer."""


@dataclass(frozen=True)
class Plan:
    """An order before it has a folder."""

    task: str
    peer: str
    shown: str
    """The library's own name."""
    way: str
    text: str
    size: int
    known: Path
    tries: int = 100


def peers(names: Iterable[str]) -> tuple[dict[str, Peer], dict[str, str]]:
    """Adapters that load, and the reason for each that does not."""
    loaded, absent = {}, {}
    for name in names:
        try:
            loaded[name] = load(name)
        except Exception as reason:  # a library may fail to import in any way; it is told
            absent[name] = _absent(name) or tidy(f"does not import: {type(reason).__name__}: {reason}")
    return loaded, absent


def _absent(name: str) -> str:
    """What pip said, where the set-up could not install it."""
    for file in ABSENT.glob("*") if ABSENT.is_dir() else ():
        if file.name.lower().startswith(name):
            return tidy(f"not installed: {file.read_text().strip()}")
    return ""


def tidy(text: str) -> str:
    """Without folders and hosts, which say nothing to a reader on another machine."""
    return re.sub(r"(?:\w+://|(?<![\w.])/)\S*/", "", text)


def plans(loaded: dict[str, Peer], task: str, known: Path, sizes: tuple[int, ...] = (0,)) -> list[Plan]:
    """What is to be run for a task; sizes are rows for `speed`."""
    found = []
    for size in sizes:
        for name in (n for n in NAMES if n in loaded):
            for way in loaded[name].ways:
                if task in way.tasks and (task != "speed" or size in way.sizes):
                    found.append(Plan(task, name, loaded[name].name, way.key, way.text, size, known))
    return found


def run_all(wanted: list[Plan], folder: Path, *, limit: int, together: int) -> Iterator[Outcome]:
    """Outcomes in order; `together` processes at a time, one where time is measured."""
    with ThreadPoolExecutor(together) as pool:
        yield from pool.map(lambda plan: run_one(plan, folder, limit=limit), wanted)


def baseline(size: int, known: Path, folder: Path) -> int:
    """Bytes of a process that only loads torch and the data of `speed`."""
    outcome = run_one(Plan("speed", "", "", "", "", size, known), folder, limit=600)
    if outcome.answer is None:
        raise RuntimeError(outcome.why)
    return outcome.answer.peak


def run_one(plan: Plan, folder: Path, *, limit: int) -> Outcome:
    """One process."""
    own = folder / f"{plan.task}-{plan.peer}-{plan.way}-{plan.size}"
    own.mkdir()
    order = Order(plan.task, plan.peer, plan.way, plan.size, str(own), str(plan.known), limit, plan.tries)
    (own / "order.json").write_text(json.dumps(asdict(order)))
    command = [sys.executable, "-m", "benchmarks.job", str(own / "order.json")]
    # Libraries write to the current folder; that is the job's own.
    threads = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    given: dict[str, Any] = {"cwd": own, "env": threads | {"PYTHONPATH": str(ROOT)}, "timeout": PATIENCE * limit}
    start = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, **given, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return _failed(plan, f"not done within {PATIENCE * limit} s, of which less than {limit} s of processor time")
    if done.returncode == -signal.SIGXCPU:
        return _failed(plan, f"not done within {limit} s of processor time")
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        (own / "stderr").write_text(done.stderr)
        why = tidy(lines[-1])[:300] if lines else f"ended with code {done.returncode}"
        return _failed(plan, f"fails after {time.monotonic() - start:.0f} s: {why}")
    answer = Answer(**json.loads((own / "answer.json").read_text()))
    return Outcome(plan.task, plan.shown, plan.text, plan.size, answer, _found(own, answer), "")


def _failed(plan: Plan, why: str) -> Outcome:
    return Outcome(plan.task, plan.shown, plan.text, plan.size, None, None, why)


def _found(folder: Path, answer: Answer) -> Found | None:
    file = folder / "scores.npz"
    if not file.exists():
        return None
    kept: Any = np.load(file)
    own = torch.from_numpy(kept["own"]) if "own" in kept else None
    return Found(torch.from_numpy(kept["scores"]), own, answer.notes)
