"""Who is exposed: mean risk by protected group and by slice of the training records, beside the share marked.

A mean over a group tells of its records; printed beside the mean over all it also tells of those left out. So a cell is
shown only if it and what is left in every line that is public hold nobody or at least the minimum of persons, and a
slice only if it differs from no group and no other slice shown by a few persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from auditkit.privacy import risk
from auditkit.privacy.composition import splits
from auditkit.privacy.disclosure import isolates, publishable, published_rate, safe_cell
from auditkit.privacy.membership import Retrained
from auditkit.result import Estimate, Measurement, SliceExposure
from auditkit.subject.types import Grouping, Ints, Mask

AVERAGE = "privacy.average_risk"
SCREENED = "privacy.screen_share"


@dataclass(frozen=True)
class Piece:
    """The training records that pass one slice's filter."""

    name: str
    why: str = ""
    mask: Mask | None = None
    """[N]; None where the filter cannot be put to training records."""
    reason: str = ""


def by_group_and_slice(
    known: Retrained,
    flag: Mask,
    *,
    groupings: Mapping[str, Grouping],
    favourable: Mask,
    slices: Sequence[Piece],
    persons: Ints | None,
    level: float,
    minimum: int,
) -> tuple[tuple[Measurement, ...], tuple[SliceExposure, ...]]:
    """Mean risk by group; mean risk and share marked by slice.

    Args:
        known: margins and membership [B, P], training records first. flag: [N] marked.
        groupings: codes [N]. favourable: [N]. persons: [N] or None.
        slices: the policy's filters on training records. level: coverage of intervals, each on its own.
        minimum: minimum cell.
    """
    nobody = np.zeros(len(flag), dtype=np.bool_)
    cells: list[tuple[str, str, Mask, str]] = []
    shown: list[Mask] = [nobody, ~nobody]
    few = f"withheld: it would tell of fewer than {minimum} persons, here or by subtraction"
    for split in splits(groupings, favourable, ~nobody):
        if not split.is_protected:
            continue
        open_ = publishable(split.cells, split.lines, nobody, persons, minimum=minimum)
        for name, cell, is_open in zip(split.levels, split.cells, open_, strict=True):
            empty = "no training records in this group"
            cells.append((split.column, name, cell, empty if not cell.any() else "" if is_open else few))
            shown += [cell] if is_open else []
    pieces = [(piece, _hidden(piece, shown, persons, few=few, minimum=minimum)) for piece in slices]
    wanted = [cell for _, _, cell, why in cells if not why]
    wanted += [piece.mask for piece, why in pieces if piece.mask is not None and not why]
    means = iter(risk.averages(known, wanted, level=level) if wanted else [])
    groups = tuple(
        Measurement(measure=AVERAGE, on=on, group=name, unit="score", estimate=_absent(why, level) or next(means))
        for on, name, _, why in cells
    )
    found = []
    for piece, why in pieces:
        average = share = _absent(why, level)
        if piece.mask is not None and average is None:
            average, others = next(means), [other for other in shown if other is not piece.mask]
            share = _share(piece.mask, flag, persons, others, level=level, minimum=minimum)
        if average is not None and share is not None:
            found.append(SliceExposure(name=piece.name, why=piece.why, average=average, flagged=share))
    return groups, tuple(found)


def shares_by_slice(
    flag: Mask,
    slices: Sequence[Piece],
    *,
    groupings: Mapping[str, Grouping],
    favourable: Mask,
    persons: Ints | None,
    level: float,
    minimum: int,
) -> tuple[Measurement, ...]:
    """Share of each slice's training records that is marked; by the same rule as `by_group_and_slice`.

    Arguments as there. Groups that are public count as shown.
    """
    nobody = np.zeros(len(flag), dtype=np.bool_)
    shown: list[Mask] = [nobody, ~nobody]
    for split in splits(groupings, favourable, ~nobody):
        if split.is_protected:
            open_ = publishable(split.cells, split.lines, flag, persons, minimum=minimum)
            shown += [cell for cell, is_open in zip(split.cells, open_, strict=True) if is_open]
    few = f"withheld: it would tell of fewer than {minimum} persons, here or by subtraction"
    found = []
    for piece in slices:
        estimate = _absent(_hidden(piece, shown, persons, few=few, minimum=minimum), level)
        if estimate is None and piece.mask is not None:
            others = [other for other in shown if other is not piece.mask]
            estimate = _share(piece.mask, flag, persons, others, level=level, minimum=minimum)
        if estimate is not None:
            found.append(
                Measurement(measure=SCREENED, on="slice", group=piece.name, unit="share", estimate=estimate)
            )
    return tuple(found)


def _hidden(piece: Piece, shown: list[Mask], persons: Ints | None, *, few: str, minimum: int) -> str:
    """Why nothing is said of a slice; empty, and the slice counts as shown, where it may be."""
    if piece.mask is None:
        return piece.reason
    if not piece.mask.any():
        return "no training record passes the filter"
    if any(isolates(piece.mask, other, persons, minimum) for other in shown):
        return few
    shown.append(piece.mask)
    return ""


def _share(
    mask: Mask, flag: Mask, persons: Ints | None, shown: Sequence[Mask], *, level: float, minimum: int
) -> Estimate:
    """Share marked in a slice: exact, or as a band, or not at all where it sets a few of the marked apart."""
    found = published_rate(flag[mask], None if persons is None else persons[mask], level=level, minimum=minimum)
    few = found.known and (mask & flag).any() and any(
        isolates(mask & flag, other & flag, persons, minimum) for other in shown if (other & flag).any()
    )  # fmt: skip
    if few or not safe_cell(~mask, flag, persons, minimum=minimum):
        reason = f"withheld: with other shares shown it would tell of fewer than {minimum} persons"
        return found if not found.known else Estimate(value=None, level=level, withheld=reason)
    return found


def _absent(why: str, level: float) -> Estimate | None:
    return Estimate(value=None, level=level, withheld=why) if why else None
