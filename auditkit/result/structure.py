"""Structural checks: what data and model allow to be learned whatever attack is run."""

from __future__ import annotations

from auditkit.result.estimate import Estimate, Record


class StructuralCheck(Record):
    """One check: a figure, what it counts, what it means, and whether it warns."""

    name: str
    unit: str
    """`share`, `count` or `ratio`."""
    estimate: Estimate
    of: str
    """What the figure is a share or a count of."""
    meaning: str
    warns: bool = False


class Structure(Record):
    """The checks, in the order in which they are printed."""

    checks: tuple[StructuralCheck, ...] = ()
