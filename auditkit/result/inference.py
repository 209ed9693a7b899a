"""How well an attribute of a training record is guessed through the model, and of a record that it never saw."""

from __future__ import annotations

from auditkit.result.estimate import Estimate, Record, Status


class AttributeInference(Record):
    """One attribute: the share of records whose value is guessed rightly, by whom and of whom."""

    name: str
    status: Status
    reason: str = ""
    levels: int | None = None
    """Values that are told apart."""
    feature: bool = False
    """Whether the model reads it: the guess then rests on what the model answers under each value."""
    members: Estimate | None = None
    """Share of training records guessed rightly."""
    control: Estimate | None = None
    """The same attack on records that the model never saw and on which nothing was fitted."""
    difference: Estimate | None = None
    """`members` less `control`: what having been trained on adds."""
    baseline: Estimate | None = None
    """Share of training records guessed rightly without the model, from the other features and the label."""
    gain: Estimate | None = None
    """`members` less `baseline`: what the model adds to the guess, of training records."""
    notes: tuple[str, ...] = ()


class InferencePart(Record):
    """Attribute inference against a control and a baseline."""

    status: Status
    reason: str = ""
    rule: str = ""
    attributes: tuple[AttributeInference, ...] = ()
