"""A run that is killed at any moment, started again: it says what it goes on from, and ends in the same bytes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from auditkit.bank import descent
from auditkit.cli import main
from auditkit.ledger.unfinished import PIECES, UNFINISHED
from auditkit.pieces import Pieces
from auditkit.run import run
from tests.bank.lender import write_lender

DAY = "2026-11-23"
LOANS = Path(__file__).parents[1] / "policies" / "loans.yaml"
MLP = "{module: mlp, hidden: [4], epochs: 3, batch: 64, l2: 0.003, learning-rate: 0.02}"


def lender(folder: Path, **settings: str) -> Path:
    """The small lender's policy with JSON alone, because pages take longer than all the rest."""
    policy = write_lender(folder, **settings)
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text.replace("{minimum-cell: 10}", "{minimum-cell: 10, formats: [json]}"), encoding="utf-8")
    return policy


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lender(tmp_path_factory.mktemp("lender"))


def contents(out: Path, policy: Path) -> dict[str, bytes]:
    """Every file under the policy's folder: nothing of unfinished work may be left."""
    place = out / policy.stem
    return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}


def audit(policy: Path, out: Path, told: list[str] | None = None) -> dict[str, bytes]:
    said = [] if told is None else told
    run(policy, out=out, as_of=date.fromisoformat(DAY), resumed=said.append)
    return contents(out, policy)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(patch: pytest.MonkeyPatch, policy: Path, out: Path, nth: int) -> bool:
    """Run until the n-th piece is written; whether it came to that."""
    put, count = Pieces.put, 0

    def dying(self: Pieces, name: str, arrays: dict[str, NDArray[object]]) -> None:
        nonlocal count
        count += 1
        put(self, name, arrays)
        if count == nth:
            raise Killed

    with patch.context() as patched:
        patched.setattr(Pieces, "put", dying)
        try:
            audit(policy, out)
        except Killed:
            return True
    return False


@pytest.mark.parametrize(
    ("training", "influence", "step", "headings"),
    [
        ("{module: logistic, l2: 0.003}", "{}", 1, {"bank", "fairness", "factors", "scores", "influence", "privacy"}),
        (MLP, "{estimator: cg, fidelity-models: 16}", 3, {"bank", "fairness", "scores", "influence", "privacy"}),
        (MLP, "{estimator: ensemble, fidelity-models: 16}", 7, {"bank", "fairness", "factors", "influence", "privacy"}),
    ],
)
def test_killed_after_a_piece_it_ends_in_the_same_bytes(  # noqa: PLR0917 - pytest gives all by name
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: str, influence: str, step: int, headings: set[str]
) -> None:
    monkeypatch.setattr(descent, "_WORTH_KEEPING", 0.0)
    policy = lender(tmp_path, training=training, influence=influence)
    whole, seen, nth = audit(policy, tmp_path / "whole"), set(), 1
    while killed_at(monkeypatch, policy, tmp_path / str(nth), nth):
        told: list[str] = []
        assert audit(policy, tmp_path / str(nth), told) == whole, nth
        seen |= set(told)
        nth += step
    assert nth > 6
    # With a stride some kinds of piece are passed over.
    assert headings | {"pool", "remedies"} >= seen
    assert len(seen) >= len(headings) - 2


def start(policy: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "auditkit", "run", str(policy), "--out", str(out), "--as-of", DAY]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(policy: Path, out: Path) -> tuple[str, float]:
    """What it says, and the seconds it takes."""
    began = time.perf_counter()
    process = start(policy, out)
    said, _ = process.communicate(timeout=900)
    assert process.returncode in (0, 1, 3), said
    return said, time.perf_counter() - began


def kill_and_go_on(policy: Path, folder: Path, moments: int, seed: int) -> tuple[int, int]:
    """At random moments of the time that a whole run takes; how many were killed, and how many went on from pieces."""
    _, seconds = finished(policy, folder / "whole")
    whole, draw = contents(folder / "whole", policy), np.random.default_rng(seed)
    tried = killed = resumed = 0
    while killed < moments and tried < 4 * moments:
        out, tried = folder / f"killed-{tried}", tried + 1
        process = start(policy, out)
        try:
            process.communicate(timeout=draw.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        else:  # faster this time than the run that was timed
            continue
        killed += 1
        said, _ = finished(policy, out)
        resumed += "resumed: " in said
        assert contents(out, policy) == whole, tried
    return killed, resumed


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_same_bytes(small: Path, tmp_path: Path) -> None:
    killed, _ = kill_and_go_on(small, tmp_path, 3, seed=1)
    assert killed == 3


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_killed_at_twenty_random_moments_it_ends_in_the_same_bytes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    killed, resumed = kill_and_go_on(LOANS, tmp_path, 20, seed=2)
    record_property("runs killed", killed)
    record_property("of them gone on from finished pieces", resumed)
    record_property("of them with the bytes of a whole run in every file, public and restricted", killed)
    assert killed == 20
    assert resumed >= 8


def test_the_user_is_told_and_nothing_of_it_is_public(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed_at(monkeypatch, small, tmp_path, 4)
    assert (tmp_path / small.stem / UNFINISHED).stat().st_mode & 0o077 == 0
    assert main(["run", str(small), "--out", str(tmp_path), "--as-of", DAY]) in (0, 1, 3)
    said = capsys.readouterr().out
    assert "resumed: bank" in said
    assert "resumed: fairness" in said
    public = {name: content for name, content in contents(tmp_path, small).items() if "/public/" in name}
    assert public
    assert not any(b"resumed" in content for content in public.values())
    assert not (tmp_path / small.stem / UNFINISHED).exists()


def test_a_damaged_piece_exits_five_and_is_named(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed_at(monkeypatch, small, tmp_path, 3)
    (piece,) = (tmp_path / small.stem / UNFINISHED).glob(f"*/{PIECES}/bank/*")
    content = bytearray(piece.read_bytes())
    content[-1] ^= 1
    piece.write_bytes(content)
    command = ["run", str(small), "--out", str(tmp_path), "--as-of", DAY]
    assert main(command) == 5
    assert str(piece) in capsys.readouterr().err.replace("\n", "")
    piece.unlink()
    assert main(command) in (0, 1, 3)


def test_pieces_of_another_date_are_left_alone(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed_at(monkeypatch, small, tmp_path, 3)
    before = {file: file.read_bytes() for file in (tmp_path / small.stem / UNFINISHED).rglob("*") if file.is_file()}
    assert main(["run", str(small), "--out", str(tmp_path), "--as-of", "2026-11-24"]) in (0, 1, 3)
    assert "resumed" not in capsys.readouterr().out
    assert {file: file.read_bytes() for file in before} == before


def test_the_same_run_at_the_same_time_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed_at(monkeypatch, small, tmp_path, 1)
    (lock,) = (tmp_path / small.stem / UNFINISHED).glob("*/lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["run", str(small), "--out", str(tmp_path), "--as-of", DAY]) == 2
    assert "under way in another process" in capsys.readouterr().err


def test_a_run_that_ends_in_an_error_leaves_nothing(small: Path, tmp_path: Path) -> None:
    policy = small.with_name("wrong.yaml")
    policy.write_text(
        small.read_text(encoding="utf-8").replace("influence: {", "influence: {compare: [no_such_column], "),
        encoding="utf-8",
    )
    assert main(["run", str(policy), "--out", str(tmp_path), "--as-of", DAY]) in (2, 4)
    assert not (tmp_path / policy.stem).exists()


def test_a_full_disk_is_a_complaint_about_the_place(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Pieces, "put", full)
    assert main(["run", str(small), "--out", str(tmp_path), "--as-of", DAY]) == 2
    assert "No space left on device" in capsys.readouterr().err
