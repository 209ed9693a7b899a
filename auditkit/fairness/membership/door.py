"""The notebook's door: memberships as arrays in, a MembershipPart out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from auditkit.errors import DataError
from auditkit.fairness.membership.assess import assess
from auditkit.policy.bins import group_label
from auditkit.policy.schema import FairnessSettings
from auditkit.result import MembershipPart
from auditkit.stats.weighted import relative
from auditkit.subject.labels import answers_of, column_of, group_texts, numbers_of
from auditkit.subject.memberships import as_probabilities, membership_of
from auditkit.subject.types import Floats, Mask


def measure_membership(
    truth: ArrayLike,
    decision: ArrayLike,
    *,
    groups: Mapping[str, ArrayLike] | pd.DataFrame,
    kind: str,
    name: str = "membership",
    reference: object = None,
    persons: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    settings: FairnessSettings | None = None,
    minimum_cell: int = 10,
    seed: int = 0,
) -> MembershipPart:
    """Group statistics where a record may have several groups, or only a probability of each.

    Args:
        truth, decision: [M] 1 favourable, 0 not, missing unknown. groups: label -> [M] 1 or 0 (`several`), or the
            probability of belonging to it (`probabilities`); a record with a missing entry is unknown.
        kind: `several` or `probabilities`. name: what the attribute is called. reference: a group; `largest` (also if
            not given); `others`: each with everybody outside it. persons: [M] ids; they are resampled, not rows.
        weights: [M] sample weights, not negative. settings, minimum_cell, seed: as for `measure`.

    Raises:
        DataError: lengths differ, a share is none, a label or decision is neither 0, 1 nor missing.
    """
    labels = [group_label(label) for label in dict(groups)]
    named = {group_label(label): values for label, values in dict(groups).items()}
    given = {"truth": truth, "decision": decision, "persons": persons, "weights": weights}
    named |= {name: values for name, values in given.items() if values is not None}
    lengths = sorted({len(column_of(values, label)) for label, values in named.items()})
    if not labels or len(lengths) != 1:
        raise DataError(f"groups and arrays of one length are needed, and these have {', '.join(map(str, lengths))}")
    if kind not in ("several", "probabilities"):
        raise DataError(f"the kind of a membership is 'several' or 'probabilities', not {kind!r}")
    compared = None if reference is None else group_label(reference)
    if compared is not None and compared not in (*labels, "largest", "others"):
        raise DataError(f"the reference {reference!r} is no group; there are {', '.join(labels)}, largest and others")
    share, known = _shares(dict(groups), kind, name)
    return assess(
        membership_of(
            name, kind="several" if kind == "several" else "probabilities", labels=labels, share=share, known=known,
            reference=compared,
        ),
        truth=answers_of(truth, "truth"),
        decision=answers_of(decision, "decision"),
        persons=None if persons is None else group_texts(persons, "persons"),
        weights=_weights(weights),
        settings=FairnessSettings() if settings is None else settings,
        minimum_cell=minimum_cell,
        generator=np.random.default_rng(seed),
    )  # fmt: skip


def _shares(groups: Mapping[str, ArrayLike], kind: str, name: str) -> tuple[Floats, Mask]:
    """Shares [M, G], 0 where unknown, and which records are known [M]."""
    share = np.column_stack(
        [numbers_of(values, f"membership of {group_label(label)}") for label, values in groups.items()]
    )
    known = np.asarray(np.isfinite(share).all(axis=1), dtype=np.bool_)
    if kind == "several" and not np.isin(share[known], (0.0, 1.0)).all():
        raise DataError("a membership of several groups is neither 0, 1 nor missing")
    share = np.where(known[:, None], share, 0.0)
    share = as_probabilities(name, share, known) if kind == "probabilities" else share
    if not share.any():
        raise DataError(f"no record belongs to a group of {name!r}")
    return share, known


def _weights(values: ArrayLike | None) -> Floats | None:
    if values is None:
        return None
    weights = numbers_of(values, "weights")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise DataError("weights are numbers of at least 0, none missing, and not all 0")
    return relative(weights)
