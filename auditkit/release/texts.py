"""The texts that a public file holds, in whatever form they are written into it.

A text is *prose* where words and numbers mean themselves (HTML, JSON, metadata, a PDF's text layer): there an id is
found with other separators, inside a longer word, split by tags. It is *code* where digits run together by chance
(paths of figures, operators of a page, compressed data): there only an id as it is written counts.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

DEPTH: Final = 3
"""Codings within codings that are undone."""
LEAST: Final = 3
"""Characters of a text worth looking into."""
_INLINE: Final = re.compile(r"</?(?:a|abbr|b|bdi|bdo|code|em|i|mark|s|small|span|strong|sub|sup|tspan|u|wbr)\b[^<>]*>")
_TAG: Final = re.compile(r"<[^<>]*>")
_PATH: Final = re.compile(
    r"""\s(?:d|points|transform|viewBox|x|y|x1|x2|y1|y2|cx|cy|r|width|height)=("[^"]*"|'[^']*')"""
)
_DATA: Final = re.compile(r"data:[\w.+/-]+;base64,([A-Za-z0-9+/=]+)")
_CALLS: Final = re.compile(r"translate|scale|rotate|matrix|px|pt|%")
_NUMERIC: Final = re.compile(r"[\sMmLlHhVvCcSsQqTtAaZz0-9eE.,+()-]*")
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_PERCENT: Final = re.compile(r"[^\s\"'<>%]{0,80}(?:%[0-9A-Fa-f]{2}[^\s\"'<>%]{0,80})+")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([0-7]{3}))")
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{6,}={0,2}(?![A-Za-z0-9+/=_-])")
_HEX: Final = re.compile(r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9A-Fa-f]{2}[\s:]?){3,})(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Text:
    """A text and how it has to be read."""

    content: str
    prose: bool = True


def texts_of(content: bytes) -> Iterator[Text]:
    """Every text of a file that is no PDF, the file itself first."""
    yield from _of(_decoded(content), DEPTH)
    try:
        document = json.loads(content)
    except (ValueError, UnicodeDecodeError):
        return
    yield from (inner for text in _strings(document) if "\\" in json.dumps(text) for inner in _of(text, DEPTH))


def texts_in(text: str) -> Iterator[Text]:
    """A text and what is coded in it."""
    yield from _of(text, DEPTH)


def code(content: bytes) -> Text:
    """Bytes in which digits run together by chance."""
    return Text(content.decode("latin-1"), prose=False)


def _of(text: str, depth: int) -> Iterator[Text]:
    if len(text) < LEAST:
        return
    paths: list[str] = []
    if "base64," in text:
        for found in _DATA.finditer(text):
            yield from _embedded(found[1], depth)
        text = _DATA.sub(" ", text)
    if "<" in text and ">" in text:
        bare = html.unescape(_PATH.sub(lambda found: _kept(found, paths), text))
        yield Text(_INVISIBLE.sub("", bare))
        yield Text(_INVISIBLE.sub("", _TAG.sub("   \n   ", _INLINE.sub("", bare))))
        yield from (Text(path, prose=False) for path in paths)
    else:
        yield Text(_INVISIBLE.sub("", html.unescape(text)))
    if depth:
        for inner in _coded(text):
            yield from _of(inner, depth - 1)


def _embedded(coded: str, depth: int) -> Iterator[Text]:
    """A file that stands in the text as a `data:` address: what it says where it can be read, else its bytes.

    Its letters as they are coded are code: among the hundred thousand of a font any short id occurs by chance.
    """
    content = _from_base64(coded)
    yield Text(coded, prose=False)
    read = list(_readable(content))
    yield from (text for inner in read for text in (_of(inner, depth - 1) if depth else ()))
    if not read:
        yield code(content)


def _kept(found: re.Match[str], paths: list[str]) -> str:
    """Attributes of a figure that hold numbers alone are code; others stay."""
    if not _NUMERIC.fullmatch(_CALLS.sub("", found[1][1:-1])):
        return found[0]
    paths.append(found[1])
    return " "


def _coded(text: str) -> Iterator[str]:
    """What stands in the text in another coding: percent signs, escapes, base64, hexadecimal."""
    for found in _PERCENT.finditer(text):
        yield unquote_to_bytes(found[0]).decode("utf-8", "replace")
    if "\\" in text:
        plain = _ESCAPE.sub(lambda m: chr(int(m[1] or m[2], 16) if not m[3] else int(m[3], 8)), text)
        if plain != text:
            yield plain
    for found in _BASE64.finditer(text):
        yield from _readable(_from_base64(found[0]))
    for found in _HEX.finditer(text):
        yield from _readable(_from_hex(re.sub(r"[\s:]", "", found[1])))


def _from_base64(token: str) -> bytes:
    plain = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(token: str) -> bytes:
    try:
        return bytes.fromhex(token)
    except ValueError:
        return b""


def _readable(content: bytes) -> Iterator[str]:
    """The bytes as text where they are one; compressed and drawn things are not."""
    if content[:2] in (b"\xfe\xff", b"\xff\xfe"):
        yield content.decode("utf-16", "replace")
        return
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return
    if len(text) >= LEAST and all(c.isprintable() or c in "\t\r\n" for c in text):
        yield text


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8", "replace")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value
