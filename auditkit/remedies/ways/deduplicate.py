"""One record of each cluster of exact and near copies stays; the others are not learned from."""

from __future__ import annotations

import numpy as np

from auditkit.policy.settings import Section
from auditkit.remedies.recipe import trained_without
from auditkit.remedies.types import Material, Trial
from auditkit.remedies.withheld import too_few
from auditkit.subject.types import Ints, Mask


def propose(settings: Section | None, material: Material) -> Trial | str:
    """All copies but the first of each cluster are taken out of every half."""
    if material.clusters is None:
        return "no features of training records are at hand, so that copies are not known"
    removed = np.zeros(len(material.bank.plan.rows), dtype=np.bool_)
    removed[material.training] = copies(material.clusters)
    if not removed.any():
        return "no training record is a copy of another"
    withheld = too_few(removed, material)
    if withheld:
        return withheld
    return Trial(
        what="Of each cluster of exact and near copies among the training records one record stays.",
        train=trained_without(material, removed),
        removed=removed,
        notes=("Copies in the reserve stay. Risk is compared on the records that both sides learn from.",),
    )


def copies(clusters: Ints) -> Mask:
    """[N] whether a record is a copy of an earlier one of its cluster; -1 is no cluster."""
    first = np.zeros(len(clusters), dtype=np.bool_)
    first[np.unique(clusters, return_index=True)[1]] = True
    return np.asarray((clusters >= 0) & ~first, dtype=np.bool_)
