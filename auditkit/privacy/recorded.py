"""What the screen, the duplicates and the attacks say record by record, for restricted evidence and never public."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from auditkit.privacy import duplicates, screen
from auditkit.privacy.trial import PLAIN, Tried


def restricted(
    screened: screen.Screened, found: duplicates.Found | None, attacked: Tried
) -> dict[str, NDArray[Any]]:
    """The record-level arrays, as far as they exist."""
    arrays: dict[str, NDArray[Any] | None] = {
        "screen_rank": screened.rank,
        "screen_flag": screened.flag,
        "screen_p": screened.p,
        "screen_reference": screened.reference,
        "duplicate_cluster": None if found is None else found.cluster,
        "attack_setting_half": attacked.setting,
    }
    for name, scores in attacked.scores.items():
        if name != PLAIN:
            key = name.replace("-", "_")
            arrays |= {f"{key}_train": scores.members, f"{key}_reserve": scores.nonmembers}
            arrays[f"{key}_fitted"] = scores.fitted
    return {name: array for name, array in arrays.items() if array is not None}
