"""Two processes that share the records against one that holds them all, and what happens when one of them fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from auditkit.launch import spawn
from auditkit.processes import ALONE, Processes
from tests.bank.lender import write_lender
from tests.influence import two

ROOT = Path(__file__).parents[2]
DAY = "2026-11-23"
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def relative(found: Tensor, wanted: Tensor) -> float:
    norms = wanted.norm(dim=0)
    return float(((found - wanted).norm(dim=0) / torch.where(norms > 0, norms, torch.ones_like(norms))).max())


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], dict[str, object]]:
    out = tmp_path_factory.mktemp("two") / "found.pt"
    done = subprocess.run(
        [*TORCHRUN, str(Path(two.__file__)), str(out)], env=environment(), capture_output=True, text=True, check=False,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[tuple[str, str, str], dict[str, object]] = torch.load(out, weights_only=False)
    return found


@pytest.mark.parametrize("case", two.cases(), ids=" / ".join)
def test_two_processes_give_the_scores_of_one(
    of_two: dict[tuple[str, str, str], dict[str, object]], case: tuple[str, str, str]
) -> None:
    found, wanted = of_two[case], two.scored(*case, ALONE)
    for name in ("effects", "self", "leverage"):
        one, other = found[name], wanted[name]
        assert isinstance(one, Tensor)
        assert isinstance(other, Tensor)
        assert one.shape == other.shape
        assert relative(one, other) <= TOLERANCE[case[2]], name
    assert found["counts"] == wanted["counts"]
    # What is said is the same but for the digits of figures: residuals are rounding themselves.
    assert skeleton(found["said"]) == skeleton(wanted["said"])


def skeleton(said: object) -> list[tuple[str, str]]:
    assert isinstance(said, list)
    return [(name, re.sub(r"[0-9][0-9.,e+-]*", "#", text)) for name, _, text in said]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_are_consecutive_and_of_one_length_but_for_a_row(count: int, size: int) -> None:
    shares = [Processes(rank, size).share(count) for rank in range(size)]
    assert [place for share in shares for place in range(count)[share]] == list(range(count))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


# --- the command line ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy = write_lender(tmp_path_factory.mktemp("lender"))
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text.replace("{minimum-cell: 10}", "{minimum-cell: 10, formats: [json]}"), encoding="utf-8")
    return policy


def launch(policy: Path, out: Path, *, by: Sequence[str] = TORCHRUN) -> subprocess.CompletedProcess[str]:
    command = [*by, "-m", "auditkit", "run", str(policy), "--out", str(out), "--as-of", DAY]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=500)


def numbers(document: object, path: str = "") -> Iterator[tuple[str, float | str]]:
    """Every figure of a result and, of each text, what lies between its figures."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers(value, f"{path}.{key}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from numbers(value, f"{path}.{index}")
    elif isinstance(document, bool) or document is None:
        yield path, str(document)
    elif isinstance(document, int | float):
        yield path, float(document)
    else:
        yield path, str(document)


def close(here: float | str, there: float | str) -> bool:
    if isinstance(here, str) or isinstance(there, str):
        return here == there
    return abs(here - there) <= 1e-8 * max(abs(here), abs(there)) + 1e-12


@pytest.mark.slow
def test_an_audit_by_torchrun_is_the_audit_of_one_process(lender: Path, tmp_path: Path) -> None:
    one, both = tmp_path / "one", tmp_path / "two"
    alone = launch(lender, one, by=[sys.executable])
    done = launch(lender, both)
    assert alone.returncode in (0, 1, 3), alone.stderr
    # torchrun ends with 1 for every code but 0; the code itself is told.
    assert done.returncode == (1 if alone.returncode else 0), done.stderr
    if alone.returncode:
        assert f"auditkit ends with exit code {alone.returncode}" in done.stderr
    assert done.stdout.count("Rule") == 1
    (here,), (there,) = ((out / lender.stem).iterdir() for out in (one, both))
    assert here.name == there.name
    results = [json.loads((folder / "public" / "audit.json").read_text(encoding="utf-8")) for folder in (here, there)]
    for result in results:
        result["artifacts"] = None  # digests of arrays whose last digits differ
    figures = [dict(numbers(result)) for result in results]
    assert figures[0].keys() == figures[1].keys()
    residual = re.compile(r"\.quality\.\d+\.(value|text)$")
    other = [k for k, v in figures[0].items() if not close(v, figures[1][k]) and not residual.search(k)]
    assert not other
    shards = [there / "restricted" / f"scores-0000{rank}-of-00002.parquet" for rank in range(2)]
    halves = [pd.read_parquet(shard) for shard in shards]
    assert [len(half) for half in halves] == [200, 200]
    whole = pd.read_parquet(here / "restricted" / "scores-00000-of-00001.parquet")
    joined = pd.concat(halves, ignore_index=True)
    assert list(joined.columns) == list(whole.columns)
    assert joined["id"].tolist() == whole["id"].tolist()
    own, wanted = (frame.drop(columns="id").to_numpy() for frame in (joined, whole))
    assert (np.linalg.norm(own - wanted, axis=0) <= 1e-10 * np.linalg.norm(wanted, axis=0)).all()
    assert all(file.stat().st_mode & 0o077 == 0 for file in shards)


@pytest.mark.slow
def test_processes_of_our_own_end_with_the_audits_exit_code(lender: Path, tmp_path: Path) -> None:
    policy = lender.with_name("strict.yaml")
    policy.write_text(lender.read_text(encoding="utf-8").replace("threshold: 0.5", "threshold: 0.99"), encoding="utf-8")
    command = [sys.executable, "-m", "auditkit", "run", str(policy), "--out", str(tmp_path), "--processes", "2"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("M1") == 1


def test_a_wrong_policy_is_told_once_without_a_traceback(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "auditkit", "run", str(tmp_path / "absent.yaml"), "--processes", "2"],
        env=environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("absent.yaml") == 1
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 100


BROKEN = """
import os, signal, sys
from auditkit import cli
from auditkit.errors import NumericsError
from auditkit.influence import assess
if os.environ["RANK"] == "1":
    def broken(*_, **__):
        {what}
    assess.pose = broken
sys.exit(cli.main(["run", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ('raise NumericsError("the loss of record 7 is not finite")', 4, "the loss of record 7 is not finite"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 70, "another process of this audit ended without saying why"),
        ('raise RuntimeError("a defect")', 70, "RuntimeError: a defect"),
    ],
)
def test_what_one_process_meets_stops_both_with_one_message(  # noqa: PLR0917 - pytest gives all by name
    lender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], what: str,
    code: int, said: str,
) -> None:  # fmt: skip
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(what=what), encoding="utf-8")
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    given = [str(lender), "--out", str(tmp_path / "out"), "--as-of", DAY]
    found = spawn(given, 2, program=[sys.executable, str(script)])
    told = capfd.readouterr().err
    assert found == code, told
    assert told.count(said) == 1
    assert "Traceback" not in told
    assert time.monotonic() - began < 200
    assert not list((tmp_path / "out").glob(f"{lender.stem}/{DAY}-*"))
