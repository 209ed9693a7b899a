"""What several models decide about the same records, counted: groups x truth x both decisions, model by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Final

import numpy as np

from auditkit.errors import DataError
from auditkit.fairness import disclosure
from auditkit.fairness.metrics import DECISIONS, METRICS, MISSING, TRUTHS, Cell
from auditkit.policy.schema import FairnessSettings
from auditkit.stats.paired import Rate, Tallied, tallied
from auditkit.subject.types import UNKNOWN, Floats, Grouping, Ints, Mask

SLOTS = TRUTHS * DECISIONS * DECISIONS
"""Combinations of truth, first decision and second decision, in that order."""
EVERYONE: Final = -2
"""In place of a group: all records, unknown membership included."""
COMPARED: tuple[str, ...] = tuple(name for name in METRICS if name != "base_rate")
"""The base rate is of the labels, which no model changes."""


@dataclass(frozen=True)
class Answers:
    """The records that every model decides about; the audited model is the first."""

    truth: Ints
    """[R] 0, 1 or MISSING."""
    decisions: Mapping[str, Ints]
    """Name -> [R] 0 or 1; the audited model has the empty name and stands first."""
    persons: Ints | None
    """[R] codes from 0; None where every record is a person of its own."""
    weights: Floats | None
    """[R] or None."""
    kept: Mask
    """[M] which of the records given these are."""

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the models beside the audited one."""
        return tuple(self.decisions)[1:]

    def slot(self, first: str, second: str) -> Ints:
        """[R] truth x both decisions."""
        both = self.decisions[first] * DECISIONS + self.decisions[second]
        return np.asarray(self.truth * DECISIONS * DECISIONS + both, dtype=np.int64)


def answers(
    *,
    truth: Floats,
    decision: Floats,
    others: Mapping[str, Floats],
    persons: Ints | None,
    weights: Floats | None = None,
) -> Answers:
    """Check and keep what every model decides about.

    Args:
        truth, decision: [M] of the audited model; NaN is missing. others: name -> [M]. persons: [M] codes, or None.
        weights: [M] not negative and finite, or None.

    Raises:
        DataError: lengths differ, or a value is neither 0, 1 nor missing; or a weight is no weight.
    """
    given = {"label": truth, "decision": decision, **{f"decision of {name!r}": own for name, own in others.items()}}
    for what, values in given.items():
        if len(values) != len(truth):
            raise DataError(f"{len(values):,} values of the {what} do not fit {len(truth):,} records")
        if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            raise DataError(f"the {what} of a record is neither favourable (1) nor unfavourable (0)")
    if "" in others:
        raise DataError("a model that is compared needs a name")
    if weights is not None and (len(weights) != len(truth) or not (np.isfinite(weights) & (weights >= 0)).all()):
        raise DataError("weights are needed for every record, none of them negative or missing")
    decided = np.stack([~np.isnan(own) for own in (decision, *others.values())]).all(axis=0)
    if weights is not None:
        decided &= weights > 0
    repeats = persons is not None and len(np.unique(persons[decided])) < int(decided.sum())
    return Answers(
        truth=np.where(np.isnan(truth), float(MISSING), truth)[decided].astype(np.int64),
        decisions={name: own[decided].astype(np.int64) for name, own in {"": decision, **others}.items()},
        persons=np.unique(persons[decided], return_inverse=True)[1] if repeats and persons is not None else None,
        weights=None if weights is None else weights[decided],
        kept=np.asarray(decided, dtype=np.bool_),
    )


@dataclass(frozen=True)
class Board:
    """One grouping's counts for one pair of models."""

    tallied: Tallied
    records: Ints
    """[G + 1, SLOTS]; the last group is unknown membership."""
    persons: Ints
    """[G + 1, SLOTS] distinct persons."""

    def rate(self, metric: str, group: int, which: int) -> Rate:
        """A metric of the first (0) or the second (1) model in one group (or of EVERYONE), over all slots."""
        own = METRICS[metric]
        return Rate(*(self._spread(_mask(cells, which), group) for cells in (own.events, own.trials)))

    def count(self, inside: Floats) -> int:
        """Records in the slots that are marked [S]."""
        return int(inside @ self.records.ravel())

    def _spread(self, mask: Floats, group: int) -> Floats:
        out = np.zeros(self.records.shape)
        out[slice(None) if group == EVERYONE else group] = mask
        return out.ravel()


def board(found: Answers, codes: Ints, groups: int, first: str, second: str) -> Board:
    """Count one pair of models; codes [R] of the groups, UNKNOWN where not known."""
    place = np.where(codes == UNKNOWN, groups, codes) * SLOTS + found.slot(first, second)
    slots = (groups + 1) * SLOTS
    records = np.bincount(place, minlength=slots)
    persons = records if found.persons is None else _persons(place, found.persons, slots)
    both = tallied(place, slots=slots, weights=found.weights, persons=found.persons)
    return Board(both, records.reshape(-1, SLOTS), persons.reshape(-1, SLOTS))


def _persons(place: Ints, persons: Ints, slots: int) -> Ints:
    """[slots] distinct persons."""
    pairs = np.unique(place * (int(persons.max(initial=-1)) + 1) + persons)
    return np.bincount(pairs // (int(persons.max(initial=-1)) + 1), minlength=slots)


@cache
def _mask(cells: tuple[Cell, ...], which: int) -> Floats:
    """[SLOTS] cells (truth, decision) of one of the two models."""
    out = np.zeros((TRUTHS, DECISIONS, DECISIONS))
    for truth, decision in cells:
        out[(truth, decision) if which == 0 else (truth, slice(None), decision)] = 1.0
    return out.ravel()


@dataclass(frozen=True)
class Standing:
    """What may be said of each group beside several models."""

    why_not: tuple[str, ...]
    """[G] why a group is not assessed; empty where it is."""
    closed: Mask
    """[G + 1] no exact figure is published."""


def standing(
    found: Answers, grouping: Grouping, *, along: tuple[Ints, ...], settings: FairnessSettings, minimum_cell: int
) -> Standing:
    """Rules of `fairness.disclosure`, applied to every model and to every pair of them.

    A group is closed where, in persons,
    - a cell of one model (truth x decision) holds fewer than the minimum cell, zero included;
    - of the audited model and another one so few, but not nobody, share the truth and both decisions: these counts can
      be worked out of what is published. That nobody's decision changes tells no more than one model's figures do;
    - two other models' cells, which are published side by side, differ by somebody and on neither side by the minimum
      cell, as `release.compare` judges two releases.
    """
    groups = len(grouping.labels)
    codes = grouping.codes
    exposed = np.zeros(groups + 1, dtype=np.bool_)
    for first, second in combinations(found.decisions, 2):
        persons = board(found, codes, groups, first, second).persons
        exposed |= _apart(persons, minimum_cell) if first else _small_pair(persons, minimum_cell)
    for name in found.decisions:
        exposed |= _small_cell(board(found, codes, groups, name, name).persons, minimum_cell)
    sizes = _sizes(found, codes, groups)
    least = max(settings.minimum_group, minimum_cell)
    assessed = sizes >= least
    assessed[-1] = False
    exposed |= ~assessed
    sensitive = exposed.copy()
    sensitive[-1] = False
    closed = disclosure.complete(
        withheld=exposed, sensitive=sensitive, sizes=sizes, along=along, minimum=minimum_cell
    )
    what = "records or persons" if found.persons is not None else "records"
    few, none = f"fewer than {least} {what} in this group", "no records of this group in the evaluation data"
    why = tuple("" if assessed[g] else few if sizes[g] else none for g in range(groups))
    return Standing(why, closed)


def _sizes(found: Answers, codes: Ints, groups: int) -> Ints:
    """[G + 1] persons, or records where every record is a person of its own."""
    place = np.where(codes == UNKNOWN, groups, codes)
    return (
        np.bincount(place, minlength=groups + 1) if found.persons is None
        else _persons(place, found.persons, groups + 1)
    )  # fmt: skip


def _small_pair(persons: Ints, minimum: int) -> Mask:
    return np.asarray(((persons > 0) & (persons < minimum)).any(axis=1), dtype=np.bool_)


def _apart(persons: Ints, minimum: int) -> Mask:
    """[G + 1] whether the favourably decided of one truth differ between two models by a few persons."""
    cells = persons.reshape(len(persons), TRUTHS, DECISIONS, DECISIONS)
    lost, gained = cells[:, :, 1, 0], cells[:, :, 0, 1]
    return np.asarray(((lost + gained > 0) & (np.maximum(lost, gained) < minimum)).any(axis=1), dtype=np.bool_)


def _small_cell(persons: Ints, minimum: int) -> Mask:
    """[G + 1] as `fairness.groups` judges one model: labelled cells, and unlabelled ones where there are any."""
    cells = persons.reshape(len(persons), TRUTHS, DECISIONS, DECISIONS)
    own = np.stack([cells[:, :, d, d] for d in range(DECISIONS)], axis=2)
    out = np.zeros(len(persons), dtype=np.bool_)
    for block in (own[:, :MISSING].reshape(len(persons), -1), own[:, MISSING]):
        out |= (block.sum(axis=1) > 0) & (block.min(axis=1) < minimum)
    return out
