"""When a remedy must not be tried in public: with and without it would tell of a few persons."""

from __future__ import annotations

from auditkit.privacy.disclosure import small
from auditkit.remedies.types import Material
from auditkit.subject.persons import support
from auditkit.subject.types import Mask


def too_few(removed: Mask, material: Material) -> str:
    """Why models with and without these rows [P] are not compared; empty where they may be."""
    minimum = material.minimum_cell
    for part in (removed, ~removed & material.training):
        if small(support(part, material.persons), minimum):
            return (
                f"fewer than {minimum} persons or records would be removed, or stay: figures with and without them "
                "would tell of them"
            )
    return ""
