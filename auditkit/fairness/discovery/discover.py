"""The door: outcomes in, the slices that were found on one half of the persons and confirmed on the other out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.fairness.discovery.conditions import Conditions, conditions
from auditkit.fairness.discovery.confirm import Confirmation, confirm
from auditkit.fairness.discovery.search import search
from auditkit.result import Discovery, Slice, WorstSlices
from auditkit.subject.persons import person_codes, support
from auditkit.subject.types import Floats, Ints, Mask

WANTED: Final = 10
"""Slices taken from the search to the confirmation, for each outcome."""
LEAST_SHARE: Final = 0.01
"""Share of the searched records that a slice needs; never fewer than the minimum group."""


@dataclass(frozen=True)
class Outcome:
    """One thing that may go wrong more often in some slice."""

    name: str
    """`wrong decisions`, `declined of those with a favourable label`, ..."""
    value: Floats
    """[M] 1.0 it does, 0.0 it does not, NaN the record does not count."""


def discover(
    frame: pd.DataFrame,
    outcomes: Sequence[Outcome],
    *,
    numeric: Collection[str] | None,
    persons: Ints | None,
    level: float,
    false_discovery: float,
    minimum_group: int,
    minimum_cell: int,
    generator: np.random.Generator,
) -> tuple[Discovery, dict[str, NDArray[np.generic]]]:
    """Search half of the persons for slices with an outsized outcome, and confirm them on the other half.

    Args:
        frame: [M] evaluation rows, the columns to form conditions of. outcomes: see `Outcome`.
        numeric: columns measured as numbers; None: by column type. persons: [M] codes, or None.
        level: coverage of intervals, together over the slices of one outcome.
        false_discovery: level of Benjamini-Hochberg over the slices of one outcome.
        minimum_group: records that a slice needs on either half.
        minimum_cell: persons below which nothing is published.
        generator: draws the halves.

    Returns:
        What may be published, and restricted arrays: `discovery_half` [M] bool, the records searched, and
        `discovery_p` [outcomes, WANTED] of every slice tested, NaN beyond them.

    Wrong where the confirming half is not a fresh sample of the same population: what is confirmed holds for this
    population, with this model; nothing is said of why.
    """
    searched = _half(len(frame), persons, generator)
    told = [
        _one(frame, outcome, searched, numeric=numeric, persons=persons, level=level,
             false_discovery=false_discovery, minimum_group=minimum_group, minimum_cell=minimum_cell)
        for outcome in outcomes
    ]  # fmt: skip
    parts = [part for part, _ in told]
    p = np.full((len(told), WANTED), np.nan)
    for row, (_, tested) in enumerate(told):
        p[row, : len(tested)] = [one.p for one in tested]
    found = Discovery(
        status="assessed" if parts else "not-applicable",
        reason="" if parts else "no outcome can be measured",
        searched=int(searched.sum()),
        confirmed_on=int((~searched).sum()),
        false_discovery=false_discovery,
        outcomes=tuple(parts),
    )
    return found, {"discovery_half": searched, "discovery_p": p}


def _one(
    frame: pd.DataFrame,
    outcome: Outcome,
    searched: Mask,
    *,
    numeric: Collection[str] | None,
    persons: Ints | None,
    level: float,
    false_discovery: float,
    minimum_group: int,
    minimum_cell: int,
) -> tuple[WorstSlices, tuple[Confirmation, ...]]:
    counted = np.isfinite(outcome.value)
    halves = (counted & searched, counted & ~searched)
    least = max(minimum_group, int(np.ceil(LEAST_SHARE * halves[0].sum())))
    made = conditions(frame[counted], numeric=numeric, minimum=2 * least)
    place = np.flatnonzero(counted)
    here, there = (np.flatnonzero(half[place]) for half in halves)
    found = search(_rows(made, here), outcome.value[halves[0]], least=least, wanted=WANTED)
    masks = [made.mask(chosen)[there] for chosen in found.chosen]
    own = None if persons is None else persons[halves[1]]
    tested = confirm(masks, outcome.value[halves[1]], own, level=level)
    shown = _shown(masks, outcome.value[halves[1]], own, minimum_cell)
    public = WorstSlices(
        outcome=outcome.name,
        n_searched=int(halves[0].sum()),
        n_confirming=int(halves[1].sum()),
        conditions=len(made.texts),
        complete=found.complete,
        tested=len(tested),
        withheld=len(tested) - sum(shown),
        slices=tuple(
            _slice(made, chosen, row, false_discovery)
            for chosen, row, open_ in zip(found.chosen, tested, shown, strict=True)
            if open_
        ),
    )
    return public, tested


def _slice(made: Conditions, chosen: tuple[int, ...], row: Confirmation, level: float) -> Slice:
    return Slice(
        where=" AND ".join(made.texts[at] for at in chosen),
        inside=row.inside,
        outside=row.outside,
        excess=row.excess,
        p=row.p,
        adjusted_p=row.adjusted,
        confirmed=row.adjusted <= level,
    )


def _rows(made: Conditions, at: Ints) -> Conditions:
    return Conditions(made.texts, made.column, made.holds[at])


def _half(rows: int, persons: Ints | None, generator: np.random.Generator) -> Mask:
    """[M] records of a random half of the persons."""
    codes = person_codes(persons, rows)
    count = int(codes.max(initial=-1)) + 1
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[generator.permutation(count)[: count // 2]] = True
    return np.asarray(chosen[codes], dtype=np.bool_)


def _shown(masks: Sequence[Mask], outcome: Floats, persons: Ints | None, minimum: int) -> list[bool]:
    """Which slices may be published: no cell of one, and no difference of two, tells of a few persons."""
    hit = outcome == 1.0
    kept: list[Mask] = []
    shown = []
    for mask in masks:
        sides = [(mask, ~mask), *((mask & ~other, other & ~mask) for other in kept)]
        cells = [side & part for pair in sides for side in pair for part in (hit, ~hit)]
        open_ = not any(0 < support(cell, persons) < minimum for cell in cells)
        open_ = open_ and all(support(cell, persons) >= minimum for cell in cells[:4])
        shown.append(open_)
        if open_:
            kept.append(mask)
    return shown


def outcomes_of(truth: Floats, decision: Floats) -> tuple[Outcome, ...]:
    """What may go wrong with decisions: wrong ones, and the two ways of being wrong; those that the labels allow.

    Args:
        truth: [M] 1.0 favourable, 0.0 not, NaN unknown. decision: [M] likewise.
    """
    wrong = np.where(np.isfinite(truth) & np.isfinite(decision), (truth != decision).astype(np.float64), np.nan)
    rows: Mapping[str, Floats] = {
        "decisions that differ from the label": wrong,
        "unfavourable decisions among favourable labels": np.where(truth == 1.0, wrong, np.nan),
        "favourable decisions among unfavourable labels": np.where(truth == 0.0, wrong, np.nan),
    }
    return tuple(Outcome(name, value) for name, value in rows.items() if np.isfinite(value).any())
