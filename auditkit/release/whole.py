"""Parts that are published whole or not at all beside an earlier release: they count over many sets at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from auditkit.release.blank import blanked, emptied
from auditkit.release.cells import Name
from auditkit.result import FairnessPart, Measurement, PrivacyPart, RemediesPart

EVALUATION: Final = "evaluation"
ATTACKS: Final = ("_auc", "_tpr_at_fpr_", "_gap", "_loss", "epsilon_lower_bound")
"""In the name of a measure of privacy: it counts over whole splits, and over no marked set."""


def across(part: FairnessPart, reason: str) -> dict[str, Any]:
    """What a fairness part loses where any set of evaluation records is held: all that compares many sets.

    Tests, scores and strata count again over the groups, and found slices over sets of which no release is told.
    """
    found = {name: getattr(part, name) for name in ("discovery", "proxies", "models")}
    emptied_ = {name: None if piece is None else emptied(piece, reason) for name, piece in found.items()}
    told = tuple(emptied(piece, reason) for piece in part.memberships)
    others = tuple(emptied(piece, reason) for piece in part.outcomes)
    return {"tests": (), "scores": (), "conditional": (), "memberships": told, "outcomes": others, **emptied_}


def remedies(part: RemediesPart, held: frozenset[Name], reason: str) -> RemediesPart:
    """Nothing of what was tried where any set is held: retrained models count over training and evaluation records."""
    if part.status == "not-applicable" or not held:
        return part
    return emptied(part, reason)


def privacy(part: PrivacyPart, held: frozenset[Name], splits: Sequence[str], reason: str) -> PrivacyPart:
    """Nothing where a split or a group of it is held; without what stands on marked records where a mark is."""
    if part.status == "not-applicable":
        return part
    whole = bool(splits) or any(name.split != EVALUATION and not name.mark for name in held)
    if not whole and not any(name.mark for name in held):
        return part
    rows = tuple(blanked(row, reason) if whole or _marked(row) else row for row in part.measurements)
    if whole:
        kept = {"measurements": rows, "threat_model": part.threat_model, "not_tested": part.not_tested}
        return emptied(part, reason).model_copy(update=kept)
    pieces = {name: getattr(part, name, None) for name in MARKED}
    without = {
        name: None if piece is None or "status" not in type(piece).model_fields else emptied(piece, reason)
        for name, piece in pieces.items() if name in type(part).model_fields
    }  # fmt: skip
    return part.model_copy(update={"measurements": rows, **without})


MARKED: Final = ("exposure", "persons", "who", "structure", "screen", "duplicates")
"""Pieces of the privacy part that count marked records."""


def _marked(row: Measurement) -> bool:
    return bool(row.on) or not any(word in row.measure for word in ATTACKS)
