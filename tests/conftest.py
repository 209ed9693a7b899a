"""What holds for every test (one thread, no screen, repeatable in CI); the record that `make prove` keeps."""

from __future__ import annotations

import os

# Read when the numerical libraries are loaded, so it must be set before any test imports them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import platform
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine may stall any single example, so time per example says nothing about the code.
settings.register_profile("developer", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

LAST_FLAG = "--durations=15"
"""The last flag of `make prove` itself; what follows is a selection that the record must name."""
RECORDED = ("torch", "numpy", "scipy", "scikit-learn", "fairlearn", "pandas")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof-dir", metavar="FOLDER", help="write outcomes and figures there, dated")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--proof-dir")
    # Under xdist the outcomes of all workers come together in the controlling process.
    if folder and not hasattr(config, "workerinput"):
        given = [str(a) for a in config.invocation_params.args]
        chosen = " ".join(given[given.index(LAST_FLAG) + 1 :]) if LAST_FLAG in given else ""
        config.pluginmanager.register(ProofRecord(Path(folder), chosen), "proof-record")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Figures of numpy's types as Python's: xdist carries no others from a worker."""
    report = yield
    figures = report.user_properties
    report.user_properties = [(name, value.item() if hasattr(value, "item") else value) for name, value in figures]
    return report


class ProofRecord:
    """Collects what acceptance tests measure: `record_property(name, figure)` in a test joins its row."""

    def __init__(self, folder: Path, chosen: str) -> None:
        self.folder = folder
        self.command = f"`make prove PYTEST_FLAGS='{chosen}'`" if chosen else "`make prove`"
        self.started = datetime.now(UTC)
        self.rows: list[tuple[str, str, str, float]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            figures = "; ".join(f"{name} {_figure(value)}" for name, value in report.user_properties)
            self.rows.append((report.nodeid, report.outcome, figures, report.duration))

    def pytest_sessionfinish(self) -> None:
        if not self.rows:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"prove-{self.started:%Y-%m-%d-%H%M}.md"
        path.write_text(self._text(), encoding="utf-8")
        print(f"\nfigures written to {path}")  # noqa: T201

    def _text(self) -> str:
        versions = ", ".join(f"{name} {version(name)}" for name in RECORDED)
        head = [
            f"# Acceptance lines at full size, {self.started:%Y-%m-%d %H:%M} UTC",
            "",
            f"Command: {self.command}. "
            f"Machine: {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.machine()}. "
            f"Python {sys.version.split()[0]}, {versions}.",
            "",
            "| test | outcome | figures | seconds |",
            "| --- | --- | --- | ---: |",
        ]
        rows = [
            f"| {test} | {outcome} | {figures or '—'} | {seconds:.1f} |"
            for test, outcome, figures, seconds in sorted(self.rows)
        ]
        return "\n".join([*head, *rows, ""])


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
