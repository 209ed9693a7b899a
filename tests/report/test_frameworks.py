"""The rule sets in the report: what is told first, and requirement, place and evidence of each checklist row."""

from __future__ import annotations

import io
import re
from datetime import date

import lxml.html
import pypdf
import pytest

from auditkit.policy.frameworks import available, load_framework
from auditkit.report import html
from auditkit.report.book import Book
from auditkit.report.views import background
from auditkit.result import AuditResult, FrameworkItem
from auditkit.statements import rule_sets


@pytest.fixture(scope="module")
def everything(full: AuditResult) -> AuditResult:
    named = [load_framework(name) for name in available()]
    return full.model_copy(update={"frameworks": rule_sets(named, date(2026, 11, 23))})


def book(result: AuditResult, *sections: str) -> Book:
    numbers = {name: str(k) for k, name in enumerate(sections, 1)}
    return Book(result, "html", sections=frozenset(sections), numbers=numbers)


def item(section: str, *measures: str) -> FrameworkItem:
    return FrameworkItem(
        requirement="Rates", kind="computed", evidence=section, measures=measures, certainty="secondary"
    )


def test_every_rule_set_has_its_checklist_and_what_is_told_stands_first(everything: AuditResult) -> None:
    section = lxml.html.fromstring(html.render(everything).decode()).get_element_by_id("frameworks")
    text = re.sub(r"\s+", " ", section.text_content().replace("\u00a0", " "))
    assert len(section.findall(".//table")) == len(available())
    first = text.index("What has to be known of the rule sets named.")
    assert first < text.index("Checklist:")
    for words in ("superseded by SR 26-2", "applies from 2027-01-01", "are both named", "conflict: disparate impact"):
        assert text.index(words) > first
        assert text.count(words) == (2 if words == "are both named" else 1), words
    rows = section.findall(".//tbody/tr")
    assert len(rows) == sum(len(part.items) for part in everything.frameworks)
    assert all(len(row) == 4 and all(cell.text_content().strip() for cell in row) for row in rows)


def test_evidence_is_the_measures_with_a_figure(full: AuditResult) -> None:
    own = book(full, "fairness", "privacy", "method")
    known = next(m.measure for m in full.fairness.measurements if m.estimate.known)
    assert background._evidence(own, item("fairness", known)).links == ((own.title(known), "", ""),)  # in no table
    assert background._evidence(own, item("fairness", "fairness.nothing")).text == "no figure in this audit"
    both = background._evidence(own, item("fairness", known, "fairness.nothing"))
    assert both.links == ((own.title(known), "", ""), ("of other measures no figure in this audit", "", ""))
    attested = item("fairness").model_copy(update={"kind": "attested"})
    assert background._evidence(own, attested).text == "statement, date and signature"


def test_evidence_leads_to_the_first_table_that_shows_a_measure(full: AuditResult) -> None:
    measures = ("fairness.impact_ratio", "fairness.tpr_difference", "fairness.fnr", "model.accuracy")
    part = full.frameworks[0].model_copy(update={"items": (item("fairness", *measures),)})
    page = lxml.html.fromstring(html.render(full.model_copy(update={"frameworks": (part,)})).decode())
    cell = page.get_element_by_id("frameworks").findall(".//tbody/tr")[0][3]
    titles = 0
    for link in cell.iter("a"):
        table = page.get_element_by_id(link.get("href").removeprefix("#"))
        assert f"Table {table.get('id').removeprefix('table-')}" == link.text_content().replace("\u00a0", " ")
        heads = {head.text_content().strip() for head in table.iter("th")}
        named = re.sub(r"\s+", " ", link.tail).removeprefix(": ").strip().split("; ")
        assert set(named) <= heads, named
        titles += len(named)
    assert titles == len(measures)


def test_a_requirement_leads_to_the_part_of_a_section(full: AuditResult) -> None:
    own = book(full, "fairness")
    own.section = 2
    own.heading("What goes along with protected attributes", "fairness-proxies")
    part = full.frameworks[0].model_copy(update={"items": (item("fairness-proxies"), item("fairness-discovery"))})
    near, none = (row.cells for row in background._checklist(own, part).rows)
    assert (near[2].text.replace("\u00a0", " "), near[2].link) == ("Section 2.1", "fairness-proxies")
    assert none[2].link == "fairness"  # the report has no such part, and its section says so
    assert near[3].text == none[3].text == "not assessed in this audit"


def test_evidence_without_measures_is_the_part_of_the_result(full: AuditResult) -> None:
    own = book(full, "fairness", "method", "statutory")
    assert background._evidence(own, item("method")).text == "audit.json: limits"
    assert background._evidence(own, item("fairness")).text == "audit.json: fairness"
    assert background._evidence(own, item("statutory")).text == "not assessed in this audit"  # the result has none
    assert background._evidence(own, item("influence")).text == "not assessed in this audit"  # no such section


def test_how_well_a_reading_is_established_stands_under_how(full: AuditResult) -> None:
    own = book(full, "fairness")
    part = full.frameworks[0].model_copy(update={"items": (item("fairness"), item("privacy"))})
    rows = background._checklist(own, part).rows
    assert (rows[0].cells[1].text, rows[0].cells[1].detail) == ("computed", "read about")
    assert rows[1].cells[2].text == "not in this report" and not rows[1].cells[2].link


def test_the_pdf_says_the_page(full_pdf: bytes) -> None:
    reader = pypdf.PdfReader(io.BytesIO(full_pdf))
    pages = [re.sub(r"\s+", " ", page.extract_text()) for page in reader.pages]
    (said,) = {m for page in pages for m in re.findall(r"Section (\d+), page (\d+)", page)}
    assert re.search(rf"{said[0]} Fairness across groups", pages[int(said[1]) - 1])
