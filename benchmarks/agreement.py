"""Agreement with kronfluence's EK-FAC at equal factors: runs the test and keeps its figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.report import Row, Section
from benchmarks.runner import ROOT

TITLE = "Agreement with kronfluence EK-FAC, factors injected"
TEXT = (
    "Both use the same eigenvectors, eigenvalues, damping and layers; what differs is how scores are formed from them. "
    "Errors are relative to the column's norm. Times are of fit, slice scores and self-influence through each "
    "library's own door."
)
TEST = "tests/influence/test_kronfluence_agreement.py"


def section(folder: Path, *, quick: bool) -> Section:
    """Run the test in this environment; a failure is a row, not the end of the benchmark."""
    report = folder / "junit.xml"
    command = [sys.executable, "-m", "pytest", TEST, "-q", "-p", "no:randomly", "-m", "" if not quick else "not prove"]
    done = subprocess.run(  # noqa: S603 - our own test
        [*command, f"--junitxml={report}", "-o", "junit_family=xunit1"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not report.exists():
        return Section("agreement", TITLE, TEXT, (Row("auditkit", TEST, 0, {}, done.stdout.strip()[-300:]),))
    return Section("agreement", TITLE, TEXT, tuple(_rows(report)))


def _rows(report: Path) -> list[Row]:
    rows = []
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - as above
        name = case.get("name", "").removeprefix("test_").replace("_", " ")
        ended = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        figures = {p.get("name", ""): _number(p.get("value", "")) for p in case.iter("property")}
        why = "" if ended is None else f"{ended.tag}: {ended.get('message', '')[:200]}"
        rows.append(Row("auditkit", name, 0, {} if why else figures, why))
        print(" ", rows[-1].line(), flush=True)
    return rows


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
