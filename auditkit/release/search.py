"""Searching texts for ids, rare texts, single values and digests: set membership on tokens, in one pass over a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final

import numpy as np

from auditkit.release.secrets import RUN, Secrets, significant
from auditkit.release.texts import Text

GAP: Final = 3
"""Most characters between two pieces of one id."""
_BEFORE_DIGIT: Final = re.compile(r"[ \t\u00a0]{1,3}|[ \t\u00a0]?[-_./\\#|\u2010-\u2015]{1,3}[ \t\r\n]{0,2}")
"""What may stand in an id before a piece that begins with a digit. A name, a colon or a sign of equality and a number
is a figure and its value: `"n": 4000` is no record N-4000, and `p = 0.6036` no person P-06036."""
INSIDE: Final = 6
"""Characters from which an id is also looked for inside a longer word."""
ANSWER_DIGITS: Final = (10, 14)
"""A number of 10 to 13 significant digits is compared at 10, a longer one at 14: fewer would meet by chance."""
SIMPLE: Final = 100_000
"""A fraction of whole numbers up to this is a share of records, whoever else has the same."""
NUMBER: Final = re.compile(
    r"(?<![\w.])[-+\N{MINUS SIGN}]?(?:\d{1,3}(?:[,\u202f\u00a0]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])"
)
_HEX: Final = "|".join(f"[0-9a-fA-F]{{{length}}}" for length in (128, 96, 64, 56, 40, 32))
ABBREVIATED: Final = 8
"""Digits from which the beginning of a public digest is known for one; an id in it stands there by chance."""
_HEX_WORD: Final = re.compile(rf"(?<![0-9a-z])[0-9a-f]{{{ABBREVIATED},}}(?![0-9a-z])")
HEX_DIGEST: Final = re.compile(rf"(?<![0-9A-Za-z])(?:{_HEX})(?![0-9A-Za-z])")
BASE64_DIGEST: Final = re.compile(
    r"(?<![\w+/=.-])(?:[\w+/-]{43}=?|[\w+/-]{27}=?|[\w+/-]{22}(?:==)?|[\w+/-]{86}(?:==)?)(?![\w+/=.-])"
)


@dataclass(frozen=True)
class Searcher:
    """Secrets, ready: `found` says what of them a text holds."""

    secrets: Secrets

    @cached_property
    def _wanted(self) -> frozenset[str]:
        return self.secrets.ids | self.secrets.texts

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        """Every beginning of what is looked for: a window that is none of these is given up at once."""
        return frozenset(wanted[:k] for wanted in self._wanted for k in range(1, len(wanted) + 1))

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        return tuple(sorted({len(plain) for plain in self.secrets.ids if len(plain) >= INSIDE}))

    def found(self, texts: Iterable[Text]) -> tuple[str, ...]:
        """Kinds of secret that the texts hold, and how many of each; never the secret itself."""
        kinds: dict[str, set[str]] = {}
        seen = set[str]()
        for text in texts:
            if text.content in seen:
                continue
            seen.add(text.content)
            for kind, what in self._of(text):
                kinds.setdefault(kind, set()).add(what)
        return tuple(f"{len(what)} {kind}" for kind, what in sorted(kinds.items()))

    def _of(self, text: Text) -> Iterator[tuple[str, str]]:
        content = text.content.lower()
        runs = [(found.start(), found.end(), found[0]) for found in RUN.finditer(content)]
        if text.prose:
            content = self._without_digests(content)
            runs = [(found.start(), found.end(), found[0]) for found in RUN.finditer(content)]
        yield from self._windows(content, runs, prose=text.prose)
        if text.prose:
            yield from self._inside(runs)
            yield from self._numbers(content)
            yield from self._digests(text.content)

    @cached_property
    def _openings(self) -> frozenset[str]:
        return frozenset(own[:k] for own in self.secrets.digests for k in range(ABBREVIATED, len(own) + 1))

    def _without_digests(self, content: str) -> str:
        """The text without the digests that may stand in it, whole or abbreviated."""
        return _HEX_WORD.sub(lambda m: "~~~~" if m[0] in self._openings else m[0], content)

    def _windows(self, content: str, runs: list[tuple[int, int, str]], *, prose: bool) -> Iterator[tuple[str, str]]:
        """Ids and texts, with whatever can stand between their pieces; in code, as they are written."""
        wanted, beginnings, literal = self._wanted, self._beginnings, self.secrets.literal
        for k, (start, first, run) in enumerate(runs):
            joined, at, end, whole = run, k, first, prose
            while joined in beginnings:
                if joined in wanted and (whole or content[start:end] in literal):
                    yield ("ids or rare texts", joined)
                at += 1
                if at == len(runs) or runs[at][0] - end > GAP:
                    break
                whole = whole and _joins(content, end, runs[at][0])
                end = runs[at][1]
                joined += runs[at][2]
            if run in self.secrets.numbers and prose and content[max(start - 1, 0) : start] not in (".", ","):
                yield ("ids", run)

    def _inside(self, runs: list[tuple[int, int, str]]) -> Iterator[tuple[str, str]]:
        """Ids inside a longer word."""
        ids, lengths = self.secrets.ids, self._lengths
        for run in {run for *_, run in runs if lengths and len(run) > lengths[0]}:
            for length in lengths:
                for at in range(len(run) - length + 1):
                    if run[at : at + length] in ids:
                        yield ("ids", run[at : at + length])

    def _numbers(self, content: str) -> Iterator[tuple[str, str]]:
        for token in set(NUMBER.findall(content)):
            plain = re.sub("[,\u202f\u00a0]", "", token).replace("\N{MINUS SIGN}", "-")
            digits = significant(plain)
            if digits < 5:
                continue
            value = float(plain)
            if value in self.secrets.values:
                yield ("values of features", plain)
            if digits >= ANSWER_DIGITS[0] and self._answer(value, digits):
                yield ("values of single records", plain)

    def _answer(self, value: float, digits: int) -> bool:
        """Whether a single record has this value, as exactly as it is written, and no share of records could."""
        if not np.isfinite(value):
            return False
        slack = 10.0 ** (1 - (ANSWER_DIGITS[1] if digits >= ANSWER_DIGITS[1] else ANSWER_DIGITS[0])) * abs(value)
        first, last = np.searchsorted(self.secrets.answers, (value - slack, value + slack))
        return bool(first < last) and abs(float(Fraction(value).limit_denominator(SIMPLE)) - value) > slack

    def _digests(self, content: str) -> Iterator[tuple[str, str]]:
        """Digests that the result does not state: a content hash of a record can be tried out."""
        for token in set(HEX_DIGEST.findall(content)):
            if token.lower() not in self._openings and any(c.isdigit() for c in token):
                yield ("digests", token)
        for token in set(BASE64_DIGEST.findall(content)):
            kinds = (str.isdigit, str.isupper, str.islower)
            if all(any(kind(c) for c in token) for kind in kinds) and "_" not in token and "-" not in token:
                yield ("digests", token)


def _joins(content: str, end: int, start: int) -> bool:
    """Whether two pieces, of which one ends and the other starts here, can be of one id."""
    if not content[start].isdigit():
        return True
    gap = content[end:start]
    decimal = gap in (".", ",") and content[end - 1].isdigit()
    return not decimal and _BEFORE_DIGIT.fullmatch(gap) is not None
