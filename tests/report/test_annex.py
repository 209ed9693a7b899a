"""The annex: what chapters put off is numbered apart, stands last, is led to, and loses nothing."""

from __future__ import annotations

import re

import lxml.html
import pytest

from auditkit.report import html
from auditkit.report.book import Book, Cell, Column, Row
from auditkit.report.views import fairness, fairness_scores
from auditkit.result import AuditResult, Conditional, Estimate, Point, ScoreGroup, Series, Stratum


@pytest.fixture(scope="module", name="page")
def parsed(full_html: str) -> lxml.html.HtmlElement:
    return lxml.html.fromstring(full_html)


def test_tables_for_the_annex_have_numbers_of_their_own(full: AuditResult) -> None:
    book = Book(full, "html")
    columns, rows = [Column("a")], [Row((Cell("1"),))]
    numbers = [book.table("t", columns, rows, annex=annex).number for annex in (False, True, True, False)]
    assert numbers == ["1", "A1", "A2", "2"]
    put_off = book.put_off("Further", "further")
    assert put_off is not None and put_off.numbers.replace("\u00a0", " ") == "Tables A1–A2"
    assert book.put_off("Nothing waits", "nothing") is None
    book.section = 9
    assert book.heading_of(put_off).number == "9.1" and book.headed == {"further": "9.1"}


def test_every_table_of_the_annex_is_led_to(page: lxml.html.HtmlElement) -> None:
    annex = page.get_element_by_id("annex")
    tables = [table.get("id") for table in annex.iter("table")]
    assert len(tables) > 5 and all(re.fullmatch(r"table-A\d+", name) for name in tables)
    headings = [heading.get("id") for heading in annex.iter("h3")]
    targets = {link.get("href")[1:] for link in page.iter("a") if link.getparent().get("class") == "see"}
    for name in tables:
        over = [h for h in headings if page.get_element_by_id(h) in page.get_element_by_id(name).xpath("preceding::h3")]
        assert name in targets or over[-1] in targets, name


def test_without_anything_put_off_there_is_no_annex(minimal: AuditResult) -> None:
    assert 'id="annex"' not in html.render(minimal).decode()


def rows_of(page: lxml.html.HtmlElement, title: str) -> list[list[str]]:
    for table in page.get_element_by_id("annex").iter("table"):
        if table.find("caption").text_content().strip().endswith(title):
            rows = table.findall(".//tbody/tr")
            return [[re.sub(r"\s+", " ", cell.text_content()).strip() for cell in row] for row in rows]
    raise AssertionError(title)


def test_the_data_of_the_curves_are_in_the_annex(page: lxml.html.HtmlElement) -> None:
    spread = rows_of(page, "Share of records with a score below, by sex")
    assert spread[0] == ["0.1", "20.0 %", "10.0 %"] and len(spread) == 9
    shares = rows_of(page, "Favourable labels by mean score, by sex")
    assert shares[0] == ["Bin 1", "35 % at 0.2, 25 to 45 %", "35 % at 0.2, 25 to 45 %"] and len(shares) == 3
    assert "No curve: mixed (fewer than 30 records or persons in this group)." in page.text_content()


def test_curves_of_too_many_groups_are_not_drawn(full: AuditResult) -> None:
    one = next(s for s in full.fairness.scores if s.group == "asian")
    number = fairness_scores.GROUPS_AT_MOST + 1
    many = tuple(one.model_copy(update={"on": "x", "group": f"g{k}"}) for k in range(number))
    book = Book(full, "html")
    data = fairness_scores.tables(book, "x", many)
    assert len(data) == 6  # two for each four groups
    assert fairness_scores.figure(book, "x", (), {}, many, data=data) is None
    assert fairness_scores.figure(book, "x", (), {}, many[:-1], data=data) is not None


def test_a_rounded_curve_is_printed_without_decimals() -> None:
    series = Series(name="", x_label="", y_label="", points=(Point(x=0.25, y=0.6, low=0.5, high=0.75),))
    assert plain(fairness_scores._shares(series)) == ["60 % at 0.25, 50 to 75 %"]
    exact = series.model_copy(update={"points": (Point(x=0.25, y=0.6021, low=0.5, high=0.75),)})
    assert plain(fairness_scores._shares(exact)) == ["60.2 % at 0.25, 50.0 to 75.0 %"]


def plain(cells: list[Cell]) -> list[str]:
    return [f"{cell.text} {cell.detail}".replace("\u00a0", " ") for cell in cells]


def test_few_groups_stand_in_columns_and_many_in_rows(full: AuditResult) -> None:
    shown = fairness.view(full, Book(full, "html", sections=frozenset({"fairness"})))["attributes"]
    assert isinstance(shown, list)
    tables = {entry["name"]: entry["rates"][0] for entry in shown}
    assert [column.title for column in tables["sex"].columns] == ["Measure", "female", "male"]
    assert tables["sex x age"].columns[0].title == "Group"
    assert {row.cells[0].text for row in tables["sex x age"].rows} >= {"female · 18–24", "male · 62 and over"}


def test_a_group_without_series_has_no_column() -> None:
    nothing = Series(name="", x_label="", y_label="", points=())
    group = ScoreGroup(on="x", group="a", distribution=nothing, calibration=nothing, withheld="too few")
    assert fairness_scores.without("x", (group,)) == "No curve: a (too few)."


def stratum(name: str, *rates: float) -> Stratum:
    group, reference = (Estimate(value=x, low=x - 0.1, high=x + 0.1, n=80, method="Wilson score") for x in rates)
    return Stratum(stratum=name, group_rate=group, reference_rate=reference)


def test_a_reversal_within_strata_stands_out_and_its_rates_are_in_the_annex(full: AuditResult) -> None:
    told = Estimate(value=0.1, low=0.02, high=0.18, n=170, method="Mantel–Haenszel weights")
    none = Estimate(value=None, withheld="withheld: fewer than 30 records")
    rows = (
        Conditional(on="sex", control="branch", group="female", reference="male", crude=told, adjusted=told,
                    odds_ratio=told, strata=(stratum("north", 0.3, 0.2), stratum("south", 0.8, 0.7)),
                    pattern="reverses", words="Female is selected less often over all records, more often within."),
        Conditional(on="sex", control="branch", group="other", reference="male", crude=none, adjusted=none,
                    odds_ratio=none),
    )  # fmt: skip
    page = html.render(full.model_copy(update={"fairness": full.fairness.model_copy(update={"conditional": rows})}))
    text = page.decode()
    assert "<strong>Female is selected less often over all records" in text
    assert "Not compared within strata of branch: other (fewer than 30 records)." in text
    shown = rows_of(lxml.html.fromstring(text), "Selection rates by sex within strata of branch")
    assert [row[:2] for row in shown] == [["female", "north"], ["female", "south"]]
    assert shown[1][2].startswith("80.0 %") and shown[1][3].startswith("70.0 %")
