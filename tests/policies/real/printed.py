"""What a report prints, held against its result: every figure of the HTML and of the PDF must come from somewhere.

Nothing here knows the layout. The HTML falls into blocks (cells, paragraphs, list items, headings, alternative texts);
each block's figures are explained by, in this order: a text of the result that stands there word for word; an interval,
which must be that of one estimate of the result whose value and n stand in the same block and whose group, level and
measure stand around it; a figure of the result, rounded as printed; a number that counts tables, figures and sections.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lxml.html
import numpy as np
from numpy.typing import NDArray

from tests.policies.real.blocks import Block, around, blocks, folded, plain
from tests.policies.real.claims import parsed, prints, tokens

FIGURE = r"[-−]?[\d,]*\.?\d+"
INTERVAL = re.compile(rf"(?<![\w.,−-])({FIGURE})(?: ?%| points| nats)? to ({FIGURE})(?![\w,.]*\d)")
NUMBERED = re.compile(r"\b(Tables?|Figures?|Sections?|Part|Bin)((?: ?A?\d+(?:\.\d+)*(?:,| and|–|-)?)+)")
LEFT = re.compile(r"(\d+) further (measure|level)s?( by [^,]+)?")
"""How many the report leaves to `audit.json`; `miscounted` counts them again."""
TEMPLATE = (
    "99th percentile",  # the percentile that the result's fields p99_raises and p99_lowers are named for
    "0.80, 1.25",  # the four-fifths rule and its inverse, drawn as lines
    "below 0.80",  # the same rule in the glossary
    "first 16 of 64 digits",  # how much of a digest is printed
    "SHA-256",
    "< 0.001",  # a p-value below what is printed
    "at least 10 false positives",  # the stated condition of a resolved rate
)
"""Figures of the templates' own wording: none is of the data."""


@dataclass(frozen=True)
class Estimate:
    """One estimate of the result, with the words that must stand around it."""

    where: str
    value: float | None
    low: float
    high: float
    n: int | None
    words: tuple[str, ...]

    def is_printed(self, low: str, high: str, text: list[str]) -> bool:
        """Whether these limits, with value and n among the block's figures, are this estimate."""
        # Both limits as they are, or both as percentages.
        return (
            any(prints(low, self.low, (scale,)) and prints(high, self.high, (scale,)) for scale in (1, 100))
            and (self.value is None or any(prints(token, self.value) for token in text))
            and (self.n is None or any(token.replace(",", "") == str(self.n) for token in text))
        )


class Result:
    """The figures, texts and estimates of one `audit.json`."""

    def __init__(self, document: dict[str, Any], raw: bytes) -> None:
        self.document = document
        self.figures: list[float] = []
        self.texts: set[str] = {hashlib.sha256(raw).hexdigest(), hashlib.sha256(raw).hexdigest()[:16]}
        self.estimates: list[Estimate] = []
        titles = {note["measure"]: note["title"] for note in document["fairness"]["metrics"]}
        self._walk(document, "", (), titles)
        attacks = [document["privacy"], *document["privacy"]["attacks"]]
        for row in (row for attack in attacks for row in attack["resolution"]):
            if row["tpr"]["value"] is not None:  # printed as how many times chance
                self.figures.append(row["tpr"]["value"] / row["false_positive_rate"])

    def _walk(self, node: Any, where: str, words: tuple[str, ...], titles: dict[str, str]) -> None:
        if isinstance(node, dict):
            words = (*words, *_words(node, titles))
            if {"value", "low", "high", "n"} <= node.keys() and None not in (node["low"], node["high"]):
                numbers = (node[name] for name in ("value", "low", "high", "n"))
                self.estimates.append(Estimate(where, *numbers, words))
            if ".calibration.points" in where and None not in (node["low"], node["high"]):
                around = (*words, "by mean score")
                self.estimates.append(Estimate(where, node["y"], node["low"], node["high"], None, around))
            for key, value in node.items():
                self._keep(str(key))
                if key == "method":
                    self.figures += [read[0] for read in map(parsed, tokens(value)) if read]
                self._walk(value, f"{where}.{key}", words, titles)
        elif isinstance(node, list):
            for k, value in enumerate(node):
                self._walk(value, f"{where}[{k}]", words, titles)
        elif isinstance(node, str):
            self._keep(node)
        elif isinstance(node, int | float) and not isinstance(node, bool):
            self.figures.append(float(node))

    def _keep(self, text: str) -> None:
        read = parsed(text)
        if read is not None:
            self.figures.append(read[0])
        elif re.search(r"\d", text):
            self.texts.add(plain(text))

    def ranges(self, low: str, high: str, block: Block) -> bool:
        """Whether the two are the ends of something else than an interval: of values, of steps, of family sizes.

        Ends of values are the least and the largest of one measure over the groups of one attribute, both named around.
        """
        for lead, met in self.said.items():
            if re.search(rf"{lead} {re.escape(low)} to {re.escape(high)}(?![\d.]*\d)", block.text):
                return {float(low), float(high)} <= met
        near = folded(block.around)
        spans = (
            (min(values), max(values)) for (measure, on), values in self.spread.items()
            if folded(measure) in near and folded(on) in near
        )  # fmt: skip
        return f"runs from {low}" in block.text and any(prints(low, a) and prints(high, b) for a, b in spans)

    @cached_property
    def said(self) -> dict[str, set[float]]:
        """Words of methods and caveats -> the numbers after them; a report may join several texts to one range."""
        parts = [self.document[name] for name in ("fairness", "findings", "statutory")]
        text = json.dumps(parts, ensure_ascii=False)
        found = {
            lead: {float(number) for number in re.findall(rf"{lead} ([\d.]*\d)", text)}
            for lead in ("rounded to", "simultaneous over", "would show about", "design effect")
        }
        tail = (self.document["privacy"]["screen"] or {}).get("tail")
        ends = [tail["points"][0]["x"], tail["points"][-1]["x"]] if tail else []
        return found | {"of its median, from": {float(f"{x:.3g}") for x in ends}}

    @cached_property
    def spread(self) -> dict[tuple[str, str], list[float]]:
        """Title and attribute -> the values of a measure over the attribute's groups."""
        titles = {note["measure"]: note["title"] for note in self.document["fairness"]["metrics"]}
        found: dict[tuple[str, str], list[float]] = {}
        for row in self.document["fairness"]["measurements"]:
            if row["group"] and row["estimate"]["value"] is not None:
                found.setdefault((titles[row["measure"]], row["on"]), []).append(row["estimate"]["value"])
        return found

    @cached_property
    def literal(self) -> list[str]:
        """Texts of the result that hold digits, longest first."""
        return sorted(self.texts, key=len, reverse=True)

    @cached_property
    def _sorted(self) -> NDArray[np.float64]:
        return np.unique(np.array(self.figures))

    def prints(self, token: str) -> bool:
        """Whether some figure of the result is printed like this."""
        read = parsed(token)
        if read is None:
            return False
        wide = max(read[1], 1e-9) * 1.01
        for scale in (1, 100):
            low, high = np.searchsorted(self._sorted, [(read[0] - wide) / scale, (read[0] + wide) / scale])
            if any(prints(token, float(figure)) for figure in self._sorted[low:high]):
                return True
        return False


def _words(node: dict[str, Any], titles: dict[str, str]) -> list[str]:
    """What must stand around the estimates of a record: its group or level, and its measure by its title."""
    words = [node[key] for key in ("group", "level", "column") if isinstance(node.get(key), str) and node[key]]
    measure = node.get("measure", "")
    if measure in titles:
        words.append(titles[measure].split(",")[0])
    return words


def unexplained(result: Result, html: Path) -> list[str]:
    """Figures of the HTML that the result does not give, each with its block."""
    found = []
    for block in blocks(html):
        found += _of_block(result, block)
    return found


def _of_block(result: Result, block: Block) -> list[str]:
    text = block.text
    for phrase in TEMPLATE:
        text = text.replace(phrase, " ")
    for literal in result.literal:
        if literal in text:
            text = re.sub(rf"(?<![\w.,]){re.escape(literal)}(?!\w|[.,]\d)", " ", text)
    text = LEFT.sub(" ", NUMBERED.sub(r"\1", text))
    figures, found = tokens(text), []
    for low, high in INTERVAL.findall(text):
        if result.ranges(low, high, block):
            continue
        met = [e for e in result.estimates if e.is_printed(low, high, figures)]
        near = folded(block.around)
        if not any(all(folded(word) in near for word in e.words) for e in met):
            other = ", ".join(e.where for e in met[:3]) or "of no estimate"
            found.append(f"{low} to {high} in {block.text!r}: {other}")
    return found + [f"{token} in {block.text!r}" for token in figures if not result.prints(token)]


def miscounted(result: Result, html: Path) -> list[str]:
    """Counts of what a report leaves out that are not what its tables leave out."""
    root, found = lxml.html.parse(str(html)).getroot(), []
    for note in root.iter("p"):
        counted = LEFT.search(plain(note.text_content()))
        if counted is None:
            continue
        number, kind, by = int(counted[1]), counted[2], (counted[3] or "").removeprefix(" by ")
        left = _levels_left(result, note) if kind == "level" else {_measures_left(result, note, by)}
        if number not in left:
            found.append(f"{plain(note.text_content())!r}: it ought to be {sorted(left)}")
    return found


def _levels_left(result: Result, note: Any) -> set[int]:
    """Levels of the compositions that the table before the note can be of, less the table's rows.

    Which they are follows from how many records its heads say, and from the measure and direction in its title.
    """
    table = note.xpath("preceding::table[1]")[0]
    heads = plain(" ".join(head.text_content() for head in table.iterfind(".//thead//th")))
    least = min(int(n.replace(",", "")) for n in re.findall(r"\(([\d,]+) records\)", heads))
    title = around(table.find(".//th"))
    rows = len(table.findall("tbody/tr"))
    parts = [
        part for item in result.document["influence"]["slices"] for part in item["compositions"]
        if part["n"] == least and item["name"] in title and part["direction"].removesuffix("s") in title
    ]  # fmt: skip
    return {len(part["rows"]) - rows for part in parts}


def _measures_left(result: Result, note: Any, by: str) -> int:
    """Measures of an attribute that stand in no head of a table of its own, in its chapter or in the annex."""
    measured = {row["measure"] for row in result.document["fairness"]["measurements"] if row["on"] == by}
    titles = {n["title"] for n in result.document["fairness"]["metrics"] if n["measure"] in measured}
    tables = (
        table for table in note.getroottree().iter("table")
        if plain(table.find("caption").text_content()).removesuffix(", continued").endswith(f"by {by}")
    )  # fmt: skip
    return len(titles - {plain(head.text_content()) for table in tables for head in table.iter("th")})
