from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditkit.report import html
from tests.browser import chromium
from tests.report import example

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.executable() is None, reason="Chromium is absent"),
]

LIGHT_AND_WIDE, DARK_AND_NARROW, LIGHT_AND_NARROW = (1280, False), (360, True), (360, False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    program = chromium.executable()
    assert program is not None
    with chromium.Chromium(program, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module", params=["full", "minimal", "hostile"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(html.render(getattr(example, request.param)()))
    return path


@pytest.fixture(scope="module")
def full_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(html.render(example.full()))
    return path


@pytest.mark.parametrize("view", [LIGHT_AND_WIDE, DARK_AND_NARROW, LIGHT_AND_NARROW])
def test_the_page_fits_asks_for_nothing_and_complains_of_nothing(
    browser: chromium.Chromium, report: Path, view: tuple[int, bool]
) -> None:
    browser.open(report, width=view[0], dark=view[1])
    root = "document.documentElement"
    assert browser.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.evaluate("document.fonts.ready.then(() => document.fonts.check('16px \"Source Sans Pro\"'))")
    assert browser.requests() == []
    assert browser.complaints() == []


def test_dark_and_light_differ(browser: chromium.Chromium, full_report: Path) -> None:
    grounds = []
    for dark in (False, True):
        browser.open(full_report, width=1280, dark=dark)
        grounds.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(16, 23, 30)"]


def test_tables_sort_and_show_breaches_only(browser: chromium.Chromium, full_report: Path) -> None:
    browser.open(full_report, width=1280, dark=False)
    shown = "[...document.querySelectorAll('#table-1 tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].innerText)"
    assert browser.evaluate(shown) == ["F1", "F2", "F3", "F4", "P1", "P2", "M1", "I1"]
    press = "document.querySelector('#table-1').closest('.table-block').querySelector('button.filter').click()"
    browser.evaluate(press)
    assert browser.evaluate(shown) == ["F1", "F2", "F4"]
    assert browser.evaluate("document.getElementById('live').textContent") == "3 of 8 rows shown"
    browser.evaluate(press)
    sort = "document.querySelectorAll('#table-1 thead button')[3].click()"
    browser.evaluate(sort)
    assert browser.evaluate(shown)[-2:] == ["M1", "I1"]  # severity: high, medium, low
    browser.evaluate(sort)
    assert browser.evaluate(shown)[:2] == ["M1", "I1"]
    assert (
        browser.evaluate("document.querySelectorAll('#table-1 thead th')[3].getAttribute('aria-sort')") == "descending"
    )
    assert browser.complaints() == []


def test_numbers_sort_as_numbers(browser: chromium.Chromium, full_report: Path) -> None:
    browser.open(full_report, width=1280, dark=False)
    table = "[...document.querySelectorAll('table')].find(t => t.caption.innerText.includes('by ethnicity'))"
    browser.evaluate(f"{table}.tHead.rows[0].cells[1].firstChild.click()")
    counts = browser.evaluate(f"[...{table}.tBodies[0].rows].map(r => r.cells[1].dataset.sort ?? '')")
    numbers = [int(count) for count in counts if count]
    assert len(numbers) > 4 and numbers == sorted(numbers)


def axe() -> Path | None:
    """axe-core where `AUDITKIT_AXE` names it, or beside a globally installed node."""
    named = os.environ.get("AUDITKIT_AXE")
    if named:
        return Path(named)
    npm = shutil.which("npm")
    if npm is None:
        return None
    root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
    found = Path(root) / "axe-core" / "axe.min.js"
    return found if root and found.is_file() else None


@pytest.mark.skipif(axe() is None, reason="axe-core is absent: npm install -g axe-core, or set AUDITKIT_AXE")
@pytest.mark.parametrize("view", [LIGHT_AND_WIDE, DARK_AND_NARROW])
def test_axe_finds_no_violation(browser: chromium.Chromium, report: Path, view: tuple[int, bool]) -> None:
    source = axe()
    assert source is not None
    browser.open(report, width=view[0], dark=view[1])
    browser.evaluate(source.read_text(encoding="utf-8") + "; true")
    rules = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
    found = browser.evaluate(f"axe.run(document, {{runOnly: {rules}}}).then(r => r.violations.map(v => v.id))")
    assert found == []
