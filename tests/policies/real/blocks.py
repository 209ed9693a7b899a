"""An HTML report as blocks of text: what a reader sees, and what stands around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lxml.html

BLOCKS = {"td", "th", "li", "p", "dt", "dd", "h1", "h2", "h3", "h4", "caption", "figcaption", "pre", "summary", "img"}
SILENT = {"script", "style", "svg", "head"}
CAPTIONS = "./*[contains(@class, 'cap')]//text()"


@dataclass(frozen=True)
class Block:
    """A piece of text and what stands around it: its row, the heads of its column, the titles over it."""

    text: str
    around: str


def blocks(html: Path) -> Iterator[Block]:
    """Every piece of text of the document that a reader sees, alternative texts included."""
    root = lxml.html.parse(str(html)).getroot()
    texts: dict[Any, list[str]] = {}
    sections: dict[Any, str] = {}
    section = ""
    for element in root.iter():
        if not isinstance(element.tag, str) or _is_silent(element):
            continue
        if element.tag in ("h1", "h2", "h3"):
            section = plain(element.text_content())
        for piece, owner in ((element.text, element), (element.tail, element.getparent())):
            if piece and piece.strip() and owner is not None and not _is_silent(owner):
                block = next((e for e in (owner, *owner.iterancestors()) if e.tag in BLOCKS), owner)
                texts.setdefault(block, []).append(piece)
                sections.setdefault(block, section)
        if element.get("alt"):
            texts.setdefault(element, []).append(element.get("alt"))
            sections.setdefault(element, section)
    for block, pieces in texts.items():
        text = plain(" ".join(pieces))
        if _is_number_of_section(block, text):
            continue
        yield Block(_without_number(block, text), " ".join((sections[block], around(block), text)))


def seen(html: Path) -> str:
    """All text of the document that paper shows too, section numbers with it, alternative texts without."""
    root = lxml.html.parse(str(html)).getroot()
    pieces = []
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        for piece, owner in ((element.text, element), (element.tail, element.getparent())):
            if piece and owner is not None and not _is_silent(owner):
                pieces.append(piece)
    return plain(" ".join(pieces))


def _is_silent(element: Any) -> bool:
    return any(e.tag in SILENT for e in (element, *element.iterancestors()))


def _is_number_of_section(block: Any, text: str) -> bool:
    return block.tag not in BLOCKS and re.fullmatch(r"\d+(\.\d+)*", text) is not None and "no" in block.classes


def _without_number(block: Any, text: str) -> str:
    """A heading, or a line of the contents, without the section number that it begins with."""
    in_contents = any(e.tag == "nav" or "contents" in e.get("class", "") for e in (block, *block.iterancestors()))
    return re.sub(r"^\d+(\.\d+)*\s", "", text) if in_contents or block.tag in ("h2", "h3", "h4") else text


def around(block: Any) -> str:
    """A cell's row, the heads over it, and its table's title."""
    if block.tag not in ("td", "th"):
        return ""
    row = block.getparent()
    table = next((e for e in block.iterancestors() if e.tag == "table"), None)
    if table is None:
        return ""
    place = sum(int(e.get("colspan", 1)) for e in block.itersiblings("td", "th", preceding=True))
    heads = []
    for line in table.iterfind(".//thead/tr"):
        at = 0
        for head in line:
            width = int(head.get("colspan", 1))
            if at <= place < at + width:
                heads.append(head.text_content())
            at += width
    caption = table.find("caption")
    title = "" if caption is None else caption.text_content()
    holder = "" if table.getparent() is None else " ".join(table.getparent().xpath(CAPTIONS))
    return plain(" ".join((row.text_content(), *heads, title, holder)))


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\u00a0", " ").replace("\u00ad", "").replace("\u200b", "")).strip()


def folded(text: str) -> str:
    return plain(text).lower().replace("-", " ")
