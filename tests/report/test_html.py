from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import pytest

from auditkit.report import html, json, wording
from auditkit.report.document import allowed_link
from auditkit.report.sections import SECTIONS, always
from auditkit.result import AuditResult, Conclusion


def text(node: Element) -> str:
    return re.sub(r"\s+", " ", "".join(node.itertext()).replace(wording.NBSP, " ")).strip()


def by_id(page: Element, anchor: str) -> Element:
    found = [node for node in page.iter() if node.get("id") == anchor]
    assert len(found) == 1, anchor
    return found[0]


def classes(node: Element) -> list[str]:
    return (node.get("class") or "").split()


def having(page: Element, tag: str, name: str) -> list[Element]:
    return [node for node in page.iter(tag) if name in classes(node)]


def test_every_section_stands_in_every_result(page: Element) -> None:
    ids = {node.get("id") for node in page.iter("section")}
    assert {s.id for s in SECTIONS if s.applies is always} - ids <= {"annex"}


def test_ids_are_unique_and_links_lead_somewhere(page: Element) -> None:
    ids = [node.get("id") for node in page.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    for link in page.iter("a"):
        target = link.get("href") or ""
        assert target == "audit.json" or (target.startswith("#") and target[1:] in ids), target


def test_links_hold_plain_text(page: Element) -> None:
    assert all(len(link) == 0 and text(link) for link in page.iter("a"))


def test_headings_step_down_one_at_a_time(page: Element) -> None:
    levels = [int(node.tag[1]) for node in page.iter() if node.tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))


def test_every_figure_says_its_finding_and_names_its_table(full_page: Element) -> None:
    images = list(full_page.iter("img"))
    assert len(images) == 11
    for image in images:
        alt = image.get("alt") or ""
        tables = re.findall(r"Data in Table ([A0-9, and]+)\.", alt)
        assert 60 < len(alt) < 700 and tables, alt
        for number in re.findall(r"A?\d+", tables[0]):
            by_id(full_page, f"table-{number}")
    captions = [text(node) for node in full_page.iter("figcaption")]
    assert len(captions) == len(images) and len(set(captions)) == len(captions)


def test_every_table_has_a_caption_headings_and_no_empty_cell(page: Element) -> None:
    for table in page.iter("table"):
        columns = [node for node in table.iter("th") if node.get("scope") == "col"]
        assert table.find("caption") is not None and columns
        for row in table.find("tbody") or []:
            assert len(row) == len(columns)
            assert row[0].get("scope") == "row"
            assert all(text(cell) for cell in row)


def printed(node: Element) -> str:
    """The number of a cell without the line under it."""
    return text(node).removesuffix(text(next(iter(having(node, "span", "detail")), Element("span")))).strip()


def expected_numbers(result: AuditResult) -> Iterator[str]:
    for row in result.measurements():
        yield wording.shown(row.estimate, row.unit)
    for group in result.fairness.groups:
        yield wording.count(group.n)
    for finding in result.findings:
        unit = wording.unit_of(finding, result.measurements())
        for estimate in (finding.estimate, *(g.estimate for g in finding.groups)):
            if estimate is not None:
                yield wording.shown(estimate, unit)
    yield from ("reference", "not assessed", "no value")


@pytest.mark.parametrize("section", ["verdicts", "fairness"])
def test_every_number_of_a_table_is_in_the_result(full: AuditResult, full_page: Element, section: str) -> None:
    known = {number.replace(wording.NBSP, " ") for number in expected_numbers(full)}
    cells = [printed(cell) for cell in having(by_id(full_page, section), "td", "num")]
    assert len(cells) > 10
    assert [cell for cell in cells if cell not in known] == []


def test_every_measurement_of_the_result_is_in_the_page(full: AuditResult, full_page: Element) -> None:
    words = text(full_page)
    left = (
        "fairness.tnr",
        "fairness.fnr_difference",
        "fairness.tpr_ratio",
    )  # complements and ratios that no rule judges
    for row in full.measurements():
        if row.measure in left:
            assert f"In audit.json: 3 further measures by {row.on}" in words or row.on == "ethnicity"
            continue
        assert wording.basis(row.estimate, row.unit, bare=True).replace(wording.NBSP, " ") in words, row.measure
        assert wording.shown(row.estimate, row.unit).replace(wording.NBSP, " ") in words


def test_the_cover_tells_verdict_worst_findings_and_gaps(full: AuditResult, full_page: Element) -> None:
    cover = by_id(full_page, "cover")
    assert "✗ Breaches the policy" in text(cover)
    assert full.conclusion.sentence in text(cover)
    worst = [text(node) for node in having(cover, "li", "finding")]
    assert [w.split()[0] for w in worst] == ["F1", "F2", "P2"]  # the waived F4 and the medium F3 stand behind
    assert all(f.sentence in words for f, words in zip((full.findings[i] for i in (0, 1, 5)), worst, strict=True))
    assert [text(n) for n in having(cover, "dd", "unstated")] == ["not stated", "not stated"]
    assert "Not stated by the policy: Sampling and Deployment." in text(cover)
    assert "membership is unknown by sex for 31" in text(cover)
    assert hashlib.sha256(json.render(full)).hexdigest()[:16] in text(cover)


@pytest.mark.parametrize("verdict", wording.VERDICTS)
def test_a_verdict_is_a_sign_and_a_word(minimal: AuditResult, verdict: str) -> None:
    conclusion = Conclusion.model_validate({"verdict": verdict, "exit_code": 0, "sentence": "One.", "counts": {}})
    page = html.render(minimal.model_copy(update={"conclusion": conclusion})).decode()
    words = wording.VERDICTS[conclusion.verdict]
    assert f'<span class="sign" aria-hidden="true">{words.sign}</span> {words.heading}' in page


def test_parts_that_were_not_assessed_say_why(minimal_html: str) -> None:
    assert minimal_html.count("the predictions adapter brings no model") == 2
    assert "agreement with past decisions" in minimal_html


def test_suppressed_and_withheld_cells_give_their_reason(full_page: Element) -> None:
    words = text(by_id(full_page, "fairness"))
    assert "suppressed" in words and "fewer than 10 records: not shown" in words
    assert "withheld fewer than 30 records" in words
    assert "Suppressed: fewer than 10 records" in words


def test_the_screen_is_called_uncalibrated(full_page: Element) -> None:
    assert text(by_id(full_page, "privacy")).count("uncalibrated") >= 2


def test_the_waiver_is_printed_with_owner_and_end(full_page: Element) -> None:
    assert "F4: waived. Head of model risk: Remedy agreed, due in Q2. Expires 2026-12-31." in text(full_page)
    assert "Breaches, waived" in text(by_id(full_page, "verdicts"))


def test_the_page_needs_nothing_and_allows_nothing_else(full_html: str) -> None:
    assert not re.search(r'(src|href)="(?!data:|#|audit\.json)', full_html)
    assert "url(" not in re.sub(r'url\("data:font/woff2;base64,[^"]+"\)', "", full_html)
    assert " style=" not in full_html and not re.search(r"\son[a-z]+=", full_html)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', full_html)
    assert policy and "default-src &#39;none&#39;" in policy[1]
    for tag in ("style", "script"):
        inner = re.search(rf"<{tag}>(.*?)</{tag}>", full_html, re.DOTALL)
        assert inner
        source = base64.b64encode(hashlib.sha256(inner[1].encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{source}&#39;" in policy[1]


def test_hostile_text_is_inert(hostile_html: str, hostile: AuditResult) -> None:
    assert hostile_html.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile_html
    assert "{{7*7}}" in hostile_html and ">49<" not in hostile_html
    assert not re.search(r"<img src=(?!\"data:)", hostile_html)
    assert not re.search(r'href="(javascript|file)', hostile_html)
    assert "日" not in hostile_html and "[U+65E5]" in hostile_html and "\u202e" not in hostile_html


def test_links_are_allow_listed() -> None:
    assert allowed_link("https://example.org/rule") and allowed_link("#privacy") and allowed_link("mailto:a@b.c")
    for target in (
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//host",
        "https://a b",
        "data:x",
        " https://a",
        'https://"',
    ):
        assert not allowed_link(target)


def test_it_stays_small(full_html: str) -> None:
    assert len(full_html) < 1_200_000
