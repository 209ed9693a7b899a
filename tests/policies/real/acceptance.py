"""What every real audit passes: the result recomputed, the HTML against the result, the PDF against the HTML."""

from __future__ import annotations

import copy
from typing import Any

import pikepdf
import pypdf

from tests.policies.real.blocks import blocks, seen
from tests.policies.real.claims import complaints, count_figures, tokens
from tests.policies.real.printed import Result, miscounted, unexplained
from tests.policies.real.recompute import Audited, keyed, result_complaints

SHOWN = 20


def hold_result(audited: Audited) -> int:
    """Every figure of the result equals its recomputation; how many there are.

    And the claims are sharp: with every figure moved, every figure is complained about.
    """
    found = result_complaints(audited)
    assert not found, f"{len(found)} figures:\n" + "\n".join(found[:SHOWN])
    parts = keyed(audited.document)
    moved = complaints(_moved(copy.deepcopy(parts)), audited.expected)
    assert sum("nobody claims" not in text for text in moved) == count_figures(parts)
    return count_figures(audited.document)


def _moved(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _moved(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_moved(value) for value in node]
    is_number = isinstance(node, int | float) and not isinstance(node, bool)
    return node * 1.117 + 0.2531 if is_number else node


def result_of(audited: Audited) -> Result:
    """The result as printed reports are held against it."""
    return Result(audited.document, (audited.folder / "public" / "audit.json").read_bytes())


def hold_html(audited: Audited) -> int:
    """Every figure of the HTML comes from the result; how many there are."""
    result = result_of(audited)
    found = unexplained(result, audited.html)
    assert not found, f"{len(found)} figures:\n" + "\n".join(found[:SHOWN])
    return sum(len(tokens(block.text)) for block in blocks(audited.html))


def hold_counts(audited: Audited) -> None:
    """What the HTML leaves to `audit.json` it counts rightly."""
    found = miscounted(result_of(audited), audited.html)
    assert not found, f"{len(found)} counts:\n" + "\n".join(found[:SHOWN])


def hold_pdf(audited: Audited) -> int:
    """The PDF is tagged, has several pages, and prints the figures of the HTML and no others but page numbers."""
    with pikepdf.open(audited.pdf) as document:
        assert bool(document.Root.MarkInfo.Marked)
        assert "/StructTreeRoot" in document.Root
    pages = pypdf.PdfReader(audited.pdf).pages
    assert len(pages) > 1
    on_paper = {token for page in pages for token in tokens(page.extract_text())}
    on_screen = set(tokens(seen(audited.html)))
    assert not on_paper - on_screen - {str(number + 1) for number in range(len(pages))}
    assert not on_screen - on_paper
    return len(pages)
