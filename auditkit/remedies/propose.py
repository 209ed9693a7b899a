"""What of each remedy asked for this model and these records allow."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.errors import AuditError
from auditkit.policy.remedies import RemedyName, RemedySettings
from auditkit.remedies.registry import WAYS
from auditkit.remedies.types import Material, Trial


@dataclass(frozen=True)
class Proposal:
    """One entry of the policy: what will be tried, or why nothing is."""

    name: RemedyName
    trial: Trial | None
    reason: str = ""


def proposals(settings: RemedySettings, material: Material) -> tuple[Proposal, ...]:
    """One proposal for each entry of `remedies.try`, in the policy's order."""
    found = []
    for name, stated in settings.asked:
        try:
            trial = WAYS[name].propose(stated, material)
        except AuditError as error:
            trial = str(error)
        found.append(Proposal(name, None, trial) if isinstance(trial, str) else Proposal(name, trial))
    return tuple(found)
