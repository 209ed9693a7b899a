"""The dated record that `make prove` leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
PROOFS = """
import pytest

def test_measured(record_property):
    record_property("slice Pearson", 0.981234)
    record_property("records", 150)

def test_missed(record_property):
    record_property("share", 0.25)
    assert False

@pytest.fixture
def world():
    raise RuntimeError("no world")

def test_without_a_world(world):
    pass
"""


def test_the_record_holds_outcome_figures_and_machine(tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "test_proofs.py").write_text(PROOFS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "--proof-dir", "results"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    (record,) = (tmp_path / "results").glob("prove-*.md")
    text = record.read_text()
    assert f"{os.cpu_count()} cores" in text
    rows = [line for line in text.splitlines() if line.startswith("| test_proofs")]
    assert len(rows) == 3
    assert "test_measured | passed | slice Pearson 0.9812; records 150 |" in rows[0]
    assert "test_missed | failed | share 0.25 |" in rows[1]
    assert "test_without_a_world | failed | — |" in rows[2]
