"""What a bank tells of its progress: the share of its work that is done.

No clock is in here: how long that took, and what is left, is the terminal's to measure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Told: TypeAlias = Callable[[float], None]
"""Hears the share [0, 1] of one bank's work that is done; it never falls."""


def untold(share: float) -> None:
    """Nobody listens."""
