"""Numbers that depend on every bit of a record's content: splitmix64 on 64-bit words in tensors, modulo 2⁶⁴.

Source: Steele, Lea & Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014. What the words of a record are
is said where they are used: `roots` and `sampling` differ in it on purpose.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

GOLDEN: Final = -7046029254386353131
"""The increment between counters, 2⁶⁴ over the golden ratio, as a signed number."""
_FIRST: Final = -4658895280553007687
_SECOND: Final = -7723592293110705685


def mixed(words: Tensor) -> Tensor:
    """Every bit of the words (int64, any shape) made to depend on every bit of the word."""
    words = (words ^ _shifted(words, 30)) * _FIRST
    words = (words ^ _shifted(words, 27)) * _SECOND
    return words ^ _shifted(words, 31)


def _shifted(words: Tensor, by: int) -> Tensor:
    """Shift to the right that brings in zeros; torch's own brings in the sign."""
    return (words >> by) & ((1 << (64 - by)) - 1)
