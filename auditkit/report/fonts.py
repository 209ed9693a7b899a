"""Fonts by path: which characters they can show, what is shown instead of the others, and the CSS that embeds them.

A character that no face has would be drawn by whatever font the reader's machine finds (HTML) or as an empty box that
PDF/UA forbids (PDF). So every text of the result passes `readable` first, and the report embeds subsets of its faces.
"""

from __future__ import annotations

import base64
import io
import unicodedata
from functools import lru_cache
from typing import Literal

from auditkit.resources import FontFace, font_faces
from auditkit.result import AuditResult

TEXT, SYMBOLS, CODE = "Source Sans Pro", "DejaVu Sans", "DejaVu Sans Mono"
BASIC_LATIN = frozenset(range(0x20, 0x7F))
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories never shown as themselves: controls, direction marks, zero-width, surrogates, private, unassigned."""


@lru_cache(maxsize=1)
def coverage() -> frozenset[int]:
    """Code points that every weight of the text shows, by its own face or by the fallback face of that weight."""
    text = [_cmap(face) for face in font_faces() if face.family == TEXT and face.style == "normal"]
    fallback = [_cmap(face) for face in font_faces() if face.family == SYMBOLS]
    return frozenset.intersection(*text) | frozenset.intersection(*fallback)


@lru_cache(maxsize=100_000)  # the page, the paper and the self-test say the same texts
def readable(text: str) -> str:
    """The text with white space made plain and every character that cannot be shown written as `[U+1F600]`."""
    known = coverage()
    out = []
    for char in unicodedata.normalize("NFC", text.replace("\r\n", "\n")):
        if char in "\n\t\r\u2028\u2029":
            out.append(" ")
        elif ord(char) in known and unicodedata.category(char) not in INVISIBLE:
            out.append(char)
        else:
            out.append(f"[U+{ord(char):04X}]")
    return "".join(out)


def readable_result(result: AuditResult) -> AuditResult:
    """The same result with every string made readable; numbers and structure are untouched."""
    return AuditResult.model_validate(_readable_tree(result.model_dump()))


def _readable_tree(node: object) -> object:
    if isinstance(node, str):
        return readable(node)
    if isinstance(node, dict):
        return {_readable_tree(key): _readable_tree(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_readable_tree(item) for item in node]
    return node


def text_face(text: str, *, bold: bool = False) -> FontFace:
    """The face that shows a whole line of a figure: the text face, or the fallback where one character needs it."""
    weight: Literal[400, 700] = 700 if bold else 400
    upright = {f.family: f for f in font_faces() if f.weight == weight and f.style == "normal"}
    return upright[TEXT if all(ord(c) in _cmap(upright[TEXT]) for c in text) else SYMBOLS]


def css(text: str) -> str:
    """`@font-face` rules with base64 WOFF2 subsets that hold the characters of `text` and Basic Latin."""
    used = frozenset(map(ord, text)) | BASIC_LATIN
    plain = frozenset.intersection(*(_cmap(f) for f in font_faces() if f.family == TEXT and f.style == "normal"))
    rules = []
    for face in font_faces():
        if face.style != "normal":
            continue
        wanted = used - plain if face.family == SYMBOLS else used
        if wanted & _cmap(face):
            rules.append(_rule(face, _subset(face, wanted & _cmap(face))))
    return "\n".join(rules)


def _rule(face: FontFace, data: bytes) -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'@font-face{{font-family:"{face.family}";font-weight:{face.weight};font-style:{face.style};'
        f'src:url("data:font/woff2;base64,{encoded}") format("woff2")}}'
    )


@lru_cache(maxsize=16)
def _cmap(face: FontFace) -> frozenset[int]:
    from fontTools.ttLib import TTFont

    with TTFont(face.path, lazy=True) as font:
        return frozenset(font.getBestCmap())


@lru_cache(maxsize=64)
def _subset(face: FontFace, codes: frozenset[int]) -> bytes:
    """A WOFF2 subset; the font's own timestamp is kept, so that the bytes depend on face and characters only."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    options = Options()
    options.layout_features = ["kern", "mark", "mkmk", "ccmp", "locl"]
    options.hinting = False
    options.drop_tables = [*options.drop_tables, "FFTM"]
    with TTFont(face.path, recalcTimestamp=False) as font:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=sorted(codes))
        subsetter.subset(font)
        font.flavor = "woff2"
        out = io.BytesIO()
        font.save(out, reorderTables=True)
        return out.getvalue()
