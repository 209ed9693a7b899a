"""Lists, plurals and notes as a reader would say them; numbers and verdicts are in `wording`."""

from __future__ import annotations

import re
from collections.abc import Iterable

NUMBER = re.compile(r"(?<![\w.,])\d+(?:\.\d+)?(?!\w|[.,]\d)")
"""A number that stands alone: not part of a word, nor of one with thousands separators."""


def listed(items: list[str], last: str = "and") -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def collapsed(texts: Iterable[str]) -> list[str]:
    """Texts that differ only in their numbers as one text with ranges: `design effect 1.03 to 1.22`."""
    families: dict[str, list[list[str]]] = {}
    for text in texts:
        families.setdefault(NUMBER.sub("\0", text), []).append(NUMBER.findall(text))
    merged = []
    for pattern, found in families.items():
        columns = (sorted(set(column), key=float) for column in zip(*found, strict=True))
        ranges = iter([c[0] if len(c) == 1 else f"{c[0]} to {c[-1]}" for c in columns])
        merged.append(re.sub("\0", lambda _, ranges=ranges: next(ranges), pattern))  # type: ignore[misc]
    return merged


def plural(number: int, one: str, many: str) -> str:
    """`1 rule`, `3 rules`."""
    return f"{number:,} {one if number == 1 else many}"


def lowered(title: str) -> str:
    """A title inside a sentence; abbreviations keep their capitals."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]
