"""Forty bad policies and data files: each gives the complaints of its `expect.yaml`, word for word, and its exit code.

A case is a folder `bad/NN-name/` with `policy.yaml`, whatever files it needs, and `expect.yaml`:

    exit: 2
    complaints:
      - "policy.yaml:3:1: unknown key 'rule'; did you mean 'rules'?"

The lines are those of `str(complaint)`, in order, seen from the case's own folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from auditkit.errors import AuditError
from auditkit.policy.load import load
from auditkit.preflight import check

HERE = Path(__file__).parent
BAD = sorted(folder for folder in (HERE / "bad").iterdir() if folder.is_dir())
GOOD = sorted((HERE / "good").glob("*.yaml"))
FIRST_DATA_CASE = 29


def complaints_of(path: Path) -> tuple[int, list[str]]:
    """The exit code and the complaints of checking one policy, its data and its model without running the audit."""
    try:
        check(path)
    except AuditError as error:
        return error.exit_code, [str(complaint) for complaint in error.complaints]
    return 0, []


@pytest.mark.parametrize("folder", BAD, ids=lambda folder: folder.name)
def test_a_bad_policy_gives_its_one_expected_answer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, expected = expected_of(folder)
    shutil.copytree(folder, tmp_path / folder.name)
    monkeypatch.chdir(tmp_path / folder.name)
    exit_code, lines = complaints_of(Path("policy.yaml"))
    assert lines == expected
    assert exit_code == code


@pytest.mark.parametrize("folder", BAD, ids=lambda folder: folder.name)
def test_no_expected_complaint_is_jargon(folder: Path) -> None:
    text = (folder / "expect.yaml").read_text(encoding="utf-8").lower()
    for word in (
        "pydantic",
        "validation error",
        "traceback",
        "extra_forbidden",
        "nonetype",
        "dict_type",
        "tuple",
        "posixpath",
    ):
        assert word not in text


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_policy_loads(path: Path) -> None:
    loaded = load(path)
    assert loaded.policy.name
    assert loaded.policy.data.evaluation.is_absolute()


def test_the_cases_are_numbered_without_a_gap() -> None:
    numbers = [int(folder.name[:2]) for folder in BAD]
    assert numbers == list(range(1, len(BAD) + 1))
    assert len(BAD) >= FIRST_DATA_CASE - 1


def expected_of(folder: Path) -> tuple[int, list[str]]:
    expected = YAML(typ="safe", pure=True).load((folder / "expect.yaml").read_text(encoding="utf-8"))
    return expected["exit"], expected["complaints"]


BY_COMMAND = ("01", "08", "24", "30", "39")  # a key, an empty file, a filter, the data, the model


@pytest.mark.parametrize("number", BY_COMMAND)
def test_the_command_line_gives_the_same_lines_and_the_exit_code(number: str, tmp_path: Path) -> None:
    (folder,) = (case for case in BAD if case.name.startswith(number))
    shutil.copytree(folder, tmp_path / folder.name)
    command = [sys.executable, "-m", "auditkit", "run", "policy.yaml", "--out", "audits"]
    done = subprocess.run(
        command, cwd=tmp_path / folder.name, capture_output=True, text=True, check=False, timeout=120
    )
    code, lines = expected_of(folder)
    assert done.returncode == code
    assert [line.removeprefix("  ") for line in done.stderr.splitlines()[1:]] == lines
    assert "Traceback" not in done.stderr
    assert not (tmp_path / folder.name / "audits").exists()
