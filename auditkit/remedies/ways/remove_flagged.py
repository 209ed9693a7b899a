"""The records marked as exposed are not learned from; and who is exposed next is shown.

Source: Carlini et al., The Privacy Onion Effect, NeurIPS 2022: removing the records most at risk exposes a layer that
was safe before. Never a remedy by itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from auditkit.policy.settings import Section
from auditkit.remedies.recipe import trained_without
from auditkit.remedies.types import Material, Trial
from auditkit.remedies.withheld import too_few

ONION: Final = (
    "Risk is compared on the records that stay. Removing the records most at risk can expose others that stood behind "
    "them (Carlini et al. 2022): exposure is a matter of the training procedure, and deletion alone does not end it."
)


def propose(settings: Section | None, material: Material) -> Trial | str:
    """The marked records, and with persons all records of the marked persons, are taken out of every half."""
    if material.exposed is None:
        return "exposure was not measured, so that no record is marked"
    removed = np.zeros(len(material.bank.plan.rows), dtype=np.bool_)
    removed[material.training] = material.exposed
    if not removed.any():
        return "no training record is marked as exposed"
    if material.persons is not None:
        removed = np.asarray(np.isin(material.persons, material.persons[removed]), dtype=np.bool_)
    withheld = too_few(removed, material)
    if withheld:
        return withheld
    return Trial(
        what="The records marked as exposed are not learned from"
        + ("." if material.persons is None else ", nor are other records of the same persons."),
        train=trained_without(material, removed),
        removed=removed,
        notes=(ONION,),
        onion=True,
    )
