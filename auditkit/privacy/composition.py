"""Who the flagged records are: share flagged by group, and the make-up of the flagged beside the base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from auditkit.privacy.clustered import rate
from auditkit.privacy.disclosure import publishable
from auditkit.result import CompositionRow, Estimate, Measurement
from auditkit.subject.types import UNKNOWN, Grouping, Ints, Mask

LABEL_COLUMN = "label"


@dataclass(frozen=True)
class Split:
    """One way to split the training records: levels, their masks [N], the lines whose totals are public."""

    column: str
    levels: tuple[str, ...]
    cells: tuple[Mask, ...]
    lines: tuple[Mask, ...]
    is_protected: bool = True


def compose(
    flag: Mask,
    *,
    groupings: Mapping[str, Grouping],
    favourable: Mask,
    persons: Ints | None,
    level: float,
    minimum: int,
    measure: str,
) -> tuple[tuple[Measurement, ...], tuple[CompositionRow, ...]]:
    """Share flagged by group, and composition of the flagged by label and protected group.

    Cells that would tell of fewer than `minimum` persons, or let them be had by subtraction, are withheld: in
    the first table by a stated reason, in the second by leaving the level out. Intervals are one by one, not
    simultaneous.
    """
    whole = np.ones(len(flag), dtype=np.bool_)
    shares: list[Measurement] = []
    rows: list[CompositionRow] = []
    for split in splits(groupings, favourable, whole):
        shown = publishable(split.cells, split.lines, flag, persons, minimum=minimum)
        for name, cell, open_ in zip(split.levels, split.cells, shown, strict=True):
            if split.is_protected:
                estimate = _share(flag, cell, persons, shown=open_, level=level, minimum=minimum)
                shares.append(
                    Measurement(measure=measure, on=split.column, group=name, unit="share", estimate=estimate)
                )
            if open_ and flag.any() and cell.any():
                rows.append(_row(split.column, name, flag, cell, persons, level=level))
    return tuple(shares), tuple(rows)


def splits(groupings: Mapping[str, Grouping], favourable: Mask, whole: Mask) -> Iterator[Split]:
    """The label first, then every attribute and intersection in the policy's order."""
    yield Split(
        LABEL_COLUMN,
        ("favourable", "not favourable"),
        (favourable, ~favourable),
        (whole,),
        is_protected=False,
    )
    for grouping in groupings.values():
        cells = tuple(np.asarray(grouping.codes == code, dtype=np.bool_) for code in range(len(grouping.labels)))
        margins = (
            np.asarray(groupings[part].codes == code, dtype=np.bool_)
            for part in grouping.of
            if part in groupings
            for code in range(len(groupings[part].labels))
        )
        unknown = np.asarray(grouping.codes == UNKNOWN, dtype=np.bool_)
        named = (*grouping.labels, "unknown") if unknown.any() else grouping.labels
        cells = (*cells, unknown) if unknown.any() else cells
        yield Split(grouping.name, named, cells, (whole, *margins))


def _share(flag: Mask, cell: Mask, persons: Ints | None, *, shown: bool, level: float, minimum: int) -> Estimate:
    """Share flagged inside one cell, or why it is not shown."""
    if not cell.any():
        return Estimate(value=None, level=level, withheld="no training records in this group")
    if not shown:
        reason = f"withheld: it would tell of fewer than {minimum} persons, here or by subtraction"
        return Estimate(value=None, level=level, withheld=reason)
    return rate(flag[cell], None if persons is None else persons[cell], level=level)


def _row(column: str, name: str, flag: Mask, cell: Mask, persons: Ints | None, *, level: float) -> CompositionRow:
    """Share of the cell among the flagged, beside its share among all training records."""
    share = rate(cell[flag], None if persons is None else persons[flag], level=level)
    base = float(cell.mean())
    lift = None if share.value is None else share.value / base
    return CompositionRow(column=column, level=name, share=share, base_share=base, lift=lift)
