"""`make setup` and `make audit`, with a recording stand-in for Python: nothing is downloaded or installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = ("Makefile", ".ci/setup", "pyproject.toml", "constraints.txt")

# Notes its arguments; answers the two probes; `-m venv` makes an environment whose python is itself.
FAKE_PYTHON = """#!/usr/bin/env bash
echo "$*" >>"{log}"
case "$*" in
*ensurepip*) exit {no_venv} ;;
-) cat >/dev/null; printf '%b' '{lacking}' ;;
--version) echo "Python 3.11.0" ;;
"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
*"{fails_on}"*) exit 7 ;;
esac
"""
NEVER = "no command says this"


class Checkout:
    """A copy of the set-up's inputs, and a stand-in interpreter that logs each call."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = root / "fake"
        self.log = root / "calls.log"
        self.stamp = root / ".venv" / ".stamp"
        for name in INPUTS:
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        self.fake()

    def fake(self, *, lacking: str = "", no_venv: int = 0, fails_on: str = NEVER) -> None:
        text = FAKE_PYTHON.format(log=self.log, lacking=lacking, no_venv=no_venv, fails_on=fails_on)
        self.program(self.tools / "python", text)
        self.program(self.tools / "id", "#!/bin/sh\necho 1000\n")
        if (self.root / ".venv/bin/python").exists():
            self.program(self.root / ".venv/bin/python", text)

    def audit_exits(self, code: int) -> None:
        self.program(self.root / ".venv/bin/auditkit", f'#!/bin/sh\necho "ran: $*"\nexit {code}\n')

    @staticmethod
    def program(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        environment = keep | {
            "PYTHON": str(self.tools / "python"),
            "PATH": f"{self.tools}:{os.environ['PATH']}",
        }
        self.log.write_text("")
        return subprocess.run(
            ["make", *arguments],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_fresh_clone_installs_torch_first_under_the_constraints(checkout: Checkout) -> None:
    done = checkout.make("setup")
    assert done.returncode == 0, done.stderr
    installs = [call for call in checkout.calls() if " install " in call]
    assert installs[0].endswith("torch==2.13.0")
    assert installs[-1].endswith("--no-build-isolation --editable .[test]")
    assert all("-c constraints.txt" in call for call in installs)


def test_the_second_run_does_nothing(checkout: Checkout) -> None:
    checkout.make("setup")
    done = checkout.make("setup")
    assert (done.returncode, done.stdout, checkout.calls()) == (0, "", [])


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_input_updates_the_environment_in_place(checkout: Checkout, name: str) -> None:
    checkout.make("setup")
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    checkout.make("setup")
    calls = checkout.calls()
    assert any("--editable" in call for call in calls)
    assert not any("-m venv" in call for call in calls)


def test_an_interrupted_set_up_starts_anew(checkout: Checkout) -> None:
    checkout.fake(fails_on="--editable")
    assert checkout.make("setup").returncode != 0
    assert checkout.stamp.read_text() == "building\n"
    checkout.fake()
    done = checkout.make("setup")
    assert done.returncode == 0
    assert "-m venv --clear .venv" in checkout.calls()
    assert checkout.make("setup").stdout == ""


def test_a_moved_checkout_is_set_up_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.make("setup")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in (*INPUTS, ".venv/bin/python", ".venv/.stamp"):
        (moved / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout.root / name, moved / name)
    checkout.root = moved
    checkout.make("setup")
    assert any("--editable" in call for call in checkout.calls())


def test_missing_system_packages_are_named_in_the_line_that_installs_them(checkout: Checkout) -> None:
    checkout.fake(lacking=r"libpango-1.0-0\nlibharfbuzz-subset0\n", no_venv=1)
    checkout.program(checkout.tools / "apt-get", "#!/bin/sh\nexit 99\n")
    done = checkout.make("setup")
    assert done.returncode != 0
    line = "sudo apt-get update && sudo apt-get install -y python3-venv libpango-1.0-0 libharfbuzz-subset0\n"
    assert line in done.stderr
    assert not any("-m venv" in call or " install " in call for call in checkout.calls())


def test_an_old_python_is_refused(checkout: Checkout) -> None:
    checkout.fake(fails_on="sys.version_info")
    done = checkout.make("setup")
    assert done.returncode != 0
    assert "make setup stopped: Python 3.11 or later is needed" in done.stderr


@pytest.mark.parametrize(("code", "answer"), [(0, "is met"), (1, "is breached"), (3, "does not suffice")])
def test_a_verdict_is_an_answer_and_not_a_failure_of_make(checkout: Checkout, code: int, answer: str) -> None:
    checkout.make("setup")
    checkout.audit_exits(code)
    done = checkout.make("audit")
    assert done.returncode == 0
    assert done.stdout.startswith("ran: run policies/loans.yaml\n")
    assert f"(exit code {code})" in done.stdout
    assert answer in done.stdout


@pytest.mark.parametrize("code", [2, 4, 5, 70])
def test_an_audit_that_stopped_fails_make_and_names_the_code(checkout: Checkout, code: int) -> None:
    checkout.make("setup")
    checkout.audit_exits(code)
    done = checkout.make("audit")
    assert done.returncode != 0
    assert f"stopped with exit code {code}" in done.stderr
    assert f"Error {code}" in done.stderr
    assert "answer" not in done.stdout
