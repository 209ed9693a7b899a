"""The report's colours, in one place for charts and tests, and the contrast between two of them (WCAG 2.2)."""

from __future__ import annotations

INK = "#1b2733"
MUTED = "#55606b"
BLUE = "#0b5394"
ORANGE = "#8f4700"
GREY = "#8a94a0"
"""Lines only: too light for text on white."""
ZONE = "#f6e9dc"
"""Fill of the zone below four-fifths; text and marks on it are INK or ORANGE."""
PAPER = "#ffffff"
TEXT_ON = ((INK, PAPER), (INK, ZONE), (MUTED, PAPER), (BLUE, PAPER), (ORANGE, PAPER), (ORANGE, ZONE))
"""Every pair of text and ground that a figure draws; each must reach 4.5 to 1."""
MARKS_ON = ((GREY, PAPER), (BLUE, ZONE), (ORANGE, ZONE))
"""Every pair of mark and ground; each must reach 3 to 1."""


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
