from __future__ import annotations

import base64
import io
import re

from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st

from auditkit.report import fonts, wording
from auditkit.result import AuditResult


def test_a_character_without_a_glyph_is_written_as_its_number() -> None:
    assert fonts.readable("日本") == "[U+65E5][U+672C]"
    assert fonts.readable("a\u202eb\u0000\u200b") == "a[U+202E]b[U+0000][U+200B]"
    assert fonts.readable("one\ntwo\tthree") == "one two three"
    assert fonts.readable("Größe ≥ 0.8 – ✗") == "Größe ≥ 0.8 – ✗"


@given(st.text(max_size=40))
def test_readable_text_is_covered_and_stays_as_it_is(text: str) -> None:
    shown = fonts.readable(text)
    assert all(ord(char) in fonts.coverage() for char in shown)
    assert fonts.readable(shown) == shown


def test_a_readable_result_keeps_every_number(full: AuditResult) -> None:
    assert fonts.readable_result(full).measurements() == full.measurements()


def test_the_embedded_subsets_hold_every_character_of_the_page(full_html: str) -> None:
    held: set[int] = set()
    for data in re.findall(r"data:font/woff2;base64,([^\"]+)", full_html):
        held |= set(TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap())
    body = full_html.partition("<body>")[2]
    assert {ord(char) for char in body} - held <= {0x0A}
    assert {ord(v.sign) for v in wording.VERDICTS.values()} <= held


def test_the_fonts_are_small(full_html: str) -> None:
    embedded = re.findall(r"data:font/woff2;base64,([^\"]+)", full_html)
    assert len(embedded) >= 5
    assert sum(map(len, embedded)) < 120_000
