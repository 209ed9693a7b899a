"""A run that a signal ends leaves no process and no folder but what it names, and goes on to the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from auditkit.cli import main
from tests.bank.lender import write_lender

DAY = "2026-11-23"
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
ANSWERS = (0, 1, 3)
MARK = "AUDITKIT_TEST_MARK"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lender")
    return write_lender(folder, training="{module: logistic, l2: 0.003}", influence="{}")


def start(policy: Path, out: Path, scratch: Path, mark: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "auditkit", "run", str(policy), "--out", str(out), "--as-of", DAY]
    scratch.mkdir(exist_ok=True)
    environment = {**os.environ, MARK: mark, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def alive(mark: str) -> list[str]:
    """Processes that carry the mark in their environment."""
    held = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                held.append((process / "cmdline").read_bytes().decode())
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return held


def gone(mark: str) -> bool:
    """Whether all processes with the mark end; a killed parent's child may need a moment."""
    for _ in range(100):
        if not alive(mark):
            return True
        time.sleep(0.05)
    return False


def contents(place: Path) -> dict[str, bytes]:
    return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}


def whole_run(policy: Path, folder: Path) -> tuple[dict[str, bytes], float]:
    """The bytes of a run that nothing stops, and the seconds it takes."""
    began = time.perf_counter()
    process = start(policy, folder / "whole", folder / "scratch", "whole")
    said, _ = process.communicate()
    assert process.returncode in ANSWERS, said
    return contents(folder / "whole" / policy.stem), time.perf_counter() - began


def stop_and_go_on(
    policy: Path, folder: Path, number: signal.Signals, *, after: Callable[[subprocess.Popen[str]], None]
) -> int:
    """Stop a run by a signal, look at what it left, and let it go on; the exit code and the bytes of the whole run."""
    mark, out, scratch = uuid.uuid4().hex, folder / uuid.uuid4().hex, folder / "scratch"
    process = start(policy, out, scratch, mark)
    after(process)
    process.send_signal(number)
    said, _ = process.communicate()
    code = process.returncode
    assert gone(mark), (number, alive(mark))
    # torch keeps a cache of its own there, in every run.
    assert {entry.name for entry in scratch.iterdir() if not entry.name.startswith("torchinductor")} == set(), number
    left = {entry.name for entry in (out / policy.stem).iterdir()} if (out / policy.stem).exists() else set()
    if code in CODES.values():
        assert code == CODES[number], said
        if number != signal.SIGKILL:
            assert all(name in said for name in left), (said, left)
    else:
        assert code in ANSWERS, said
    again = start(policy, out, scratch, mark)
    again.communicate()
    assert contents(out / policy.stem) == whole_run_of[policy]
    return code


whole_run_of: dict[Path, dict[str, bytes]] = {}


def until(line: str) -> Callable[[subprocess.Popen[str]], None]:
    """Wait until the run prints a line that ends so."""

    def wait(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for said in process.stdout:
            if said.strip().endswith(line):
                return

    return wait


@pytest.mark.parametrize(
    "number",
    [number if number == signal.SIGTERM else pytest.param(number, marks=pytest.mark.prove) for number in CODES],
    ids=lambda number: number.name,
)
def test_stopped_while_the_pdf_is_made_it_ends_at_once_and_goes_on(
    tmp_path: Path, policy: Path, number: signal.Signals
) -> None:
    whole_run_of.setdefault(policy, whole_run(policy, tmp_path)[0])
    assert stop_and_go_on(policy, tmp_path, number, after=until("evidence")) == CODES[number]


@pytest.mark.prove
@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_stopped_at_thirty_moments(
    tmp_path: Path, policy: Path, number: signal.Signals, record_property: Callable[[str, object], None]
) -> None:
    whole_run_of[policy], seconds = whole_run(policy, tmp_path)
    draw = random.Random(int(number))  # noqa: S311 - moments of a test
    codes = []
    for _ in range(30):
        pause = draw.uniform(0.05, 1.0) * seconds
        codes.append(stop_and_go_on(policy, tmp_path, number, after=lambda _, pause=pause: time.sleep(pause)))
    stopped = sum(code == CODES[number] for code in codes)
    record_property(f"{number.name}: runs stopped, of 30", stopped)
    assert stopped >= 15


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_terminal_fails_a_run(tmp_path: Path, policy: Path, encoding: str) -> None:
    text = policy.read_text("utf-8")
    plain = policy.with_name(f"{encoding}.yaml")
    plain.write_text(text.replace("{minimum-cell: 10}", "{minimum-cell: 10, formats: [json]}"), "utf-8")
    command = [sys.executable, "-m", "auditkit", "run", str(plain), "--out", str(tmp_path), "--as-of", DAY]
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode in ANSWERS, done.stderr


@pytest.mark.parametrize("output", ["/dev/full", "closed pipe"])
def test_an_output_that_is_gone_does_not_fail_a_run(tmp_path: Path, policy: Path, output: str) -> None:
    plain = policy.with_name("gone.yaml")
    text = policy.read_text("utf-8")
    plain.write_text(text.replace("{minimum-cell: 10}", "{minimum-cell: 10, formats: [json]}"), "utf-8")
    command = [sys.executable, "-m", "auditkit", "run", str(plain), "--out", str(tmp_path), "--as-of", DAY]
    if output == "closed pipe":
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb", closefd=True) as stream:
            done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, check=False)
            # What it cannot flush is nobody's fault.
    else:
        with Path(output).open("wb") as stream:
            done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, check=False)
    assert done.returncode in ANSWERS, done.stderr
    assert list((tmp_path / "gone").glob("2026-*/public/audit.json"))


def test_a_missing_policy_is_answered_before_torch_is_loaded(tmp_path: Path) -> None:
    script = (
        "import sys; from auditkit.cli import main; code = main(['run', sys.argv[1]]); "
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "no.yaml")], capture_output=True, check=False)
    assert done.returncode == 2, done.stderr


def test_sigterm_while_a_policy_is_checked_has_its_own_code(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: object, **__: object) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return ""

    monkeypatch.setattr("auditkit.preflight.check", check)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["check", str(policy)]) == 143
    assert signal.getsignal(signal.SIGTERM) is before
