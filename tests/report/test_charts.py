from __future__ import annotations

import re

import pytest

from auditkit.report import charts, curves, palette
from auditkit.report.drawing import Drawing

RATES = (charts.Mark("female", 0.6, 0.57, 0.63, flagged=True), charts.Mark("male", 0.82, 0.8, 0.84))
RATIOS = (
    charts.Mark("female", 0.73, 0.68, 0.78, flagged=True, note="0.73"),
    charts.Mark("male", None, note="reference"),
)


def rates(marks: tuple[charts.Mark, ...] = RATES) -> Drawing:
    return charts.rates_and_ratios(
        marks, RATIOS, reference=0.82, zone=0.66, lines=(0.8, 1.25), titles=("Selection rate", "Impact ratio")
    )


def scored(label: str, shift: float) -> curves.Scored:
    spread = curves.Curve(((0.0, 0.0), (0.3, 0.2 + shift), (0.7, 0.6 + shift), (1.0, 1.0)))
    shares = curves.Curve(((0.2, 0.3), (0.5, 0.4 + shift), (0.9, 0.9)), ((0.2, 0.4), None, (0.8, 1.0)))
    return curves.Scored(label, spread, shares)


DRAWINGS = {
    "scores of one": lambda: curves.scores((scored("female", 0.1),), reference=scored("male", 0.0)),
    "scores of many": lambda: curves.scores(tuple(scored(f"g{k}", 0.03 * k) for k in range(6)), reference=None),
    "rates": rates,
    "panels": lambda: charts.small_multiples((("TPR", RATES, 0.82), ("FPR", RATES, None))),
    "dumbbells": lambda: charts.dumbbells((("Removal lowers it", (charts.Pair("sex = female", 0.9, 0.47),)),)),
    "roc": lambda: charts.roc(
        (charts.RocPoint(0.01, 0.02, 0.01, 0.03), charts.RocPoint(0.1, 0.2, 0.15, 0.25), charts.RocPoint(1, 1)),
        (charts.RocPoint(0.01, 0.02, label="2 %"),),
    ),
    "tail": lambda: charts.tail(
        ((1, 0.5), (3, 0.1), (10, 0.01), (20, 0.004)), cut=9.0, titles=("Self-influence", "Records")
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_outlines_without_date_script_or_system_font(name: str) -> None:
    svg, width, height = DRAWINGS[name]()
    assert svg.startswith(b"<svg") and width == 643 and height > 60
    for unwanted in (b"<text", b"font-family", b"<script", b"<metadata", b'href="http', b"dc:date"):
        assert unwanted not in svg


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_same_marks_give_the_same_bytes(name: str) -> None:
    first = DRAWINGS[name]()
    for cached in (charts.rates_and_ratios, charts.small_multiples, charts.dumbbells, charts.roc, charts.tail,
                   curves.scores):  # fmt: skip
        cached.cache_clear()
    assert DRAWINGS[name]() == first


def test_a_flagged_mark_changes_shape_and_not_only_colour() -> None:
    plain = tuple(charts.Mark(m.label, m.value, m.low, m.high) for m in RATES)
    drawn = [charts.small_multiples((("Rate", marks, None),))[0] for marks in (RATES, plain)]
    shapes = [set(re.findall(rb'<path id="s[0-9]+" d="([^"]+)"', svg)) for svg in drawn]
    assert len(shapes[0]) == len(shapes[1]) + 1


@pytest.mark.parametrize("label", ["$x^2$ \\frac{", "a" * 300, "Überprüfung ✗ 日", "_^{}%"])
def test_any_label_can_be_drawn(label: str) -> None:
    from auditkit.report.fonts import readable

    svg, *_ = rates((charts.Mark(readable(label), 0.5, 0.4, 0.6), *RATES[1:]))
    assert svg.endswith(b"</svg>")


def test_text_and_marks_reach_their_contrast() -> None:
    assert all(palette.contrast(one, other) >= 4.5 for one, other in palette.TEXT_ON)
    assert all(palette.contrast(one, other) >= 3.0 for one, other in palette.MARKS_ON)
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
