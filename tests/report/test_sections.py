from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from auditkit.report import html
from auditkit.report.book import Book, slug
from auditkit.report.renderers import RENDERERS
from auditkit.report.sections import SECTIONS
from auditkit.report.views import fairness, influence, privacy
from auditkit.resources import templates_dir
from auditkit.result import AuditResult, Estimate, Measurement

ROOT = Path(__file__).parents[2]


def test_every_row_has_its_template_and_every_template_its_row() -> None:
    assert {section.template for section in SECTIONS} == {
        f"sections/{p.name}" for p in (templates_dir() / "sections").iterdir()
    }
    assert len({section.id for section in SECTIONS}) == len(SECTIONS)


def test_importing_the_renderers_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import auditkit.report.renderers\n"
        "print(sorted({'torch', 'matplotlib', 'weasyprint', 'jinja2', 'pandas'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_formats_have_the_names_of_the_public_files() -> None:
    assert {name: r.file for name, r in RENDERERS.items()} == {
        "json": "audit.json", "html": "report.html", "pdf": "report.pdf",
    }  # fmt: skip


def test_a_rule_links_to_the_part_of_its_attribute(full: AuditResult) -> None:
    book = Book(full, "html", sections=frozenset({"fairness", "privacy"}))
    assert book.link("fairness", on="sex x age") == "fairness-sex-x-age"
    assert book.link("privacy") == "privacy" and book.link("#privacy-attack") == "privacy"
    assert book.link("unheard-of") == ""
    assert slug("…") == "part"


def test_pivoting_loses_no_row(full: AuditResult) -> None:
    rows = full.fairness.measurements
    cells = [fairness.pivot(rows, on) for on in full.fairness.attributes]
    assert sum(len(groups) for cell in cells for groups in cell.values()) == len(rows)


def test_patterns_stand_in_the_order_of_their_excess(full: AuditResult) -> None:
    view = influence.view(full, Book(full, "html"))
    slices = view["slices"]
    assert isinstance(slices, list) and len(slices) == 2
    first = [row.cells[0].text for row in slices[0]["tables"][0].rows]
    assert first[:2] == ["label = not repaid", "sex = female"]


def test_the_curve_stops_where_the_data_do_not_resolve(full: AuditResult) -> None:
    assert privacy._resolved_from(full.privacy.resolution) == pytest.approx(0.005)


def test_rows_over_all_records_have_a_table(minimal: AuditResult) -> None:
    row = Measurement(measure="fairness.selection_rate", estimate=Estimate(value=0.4321, low=0.4, high=0.46, n=1969))
    part = minimal.fairness.model_copy(update={"measurements": (*minimal.fairness.measurements, row)})
    assert "43.2" in html.render(minimal.model_copy(update={"fairness": part})).decode()


@pytest.mark.parametrize("part", ["fairness", "influence", "privacy"])
def test_a_withheld_part_gives_its_reason(full: AuditResult, part: str) -> None:
    changed = getattr(full, part).model_copy(update={"status": "withheld", "reason": "below the floor of 0.3"})
    assert "below the floor of 0.3" in html.render(full.model_copy(update={part: changed})).decode()
