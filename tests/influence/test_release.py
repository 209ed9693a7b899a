"""What may be told of slices and gaps: nothing that isolates fewer persons than the minimum cell."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.influence.disclosure import releases
from auditkit.influence.targets import Kind, Target
from auditkit.subject.types import Grouping, Mask

M = 100
ROWS = np.arange(M)


def target(members: Mask, name: str = "s", kind: Kind = "slice") -> Target:
    n = int(members.sum())
    return Target(name, kind, "why", "where", n, "mean loss", "loss", members / n)


def sexes(*sizes: int) -> Grouping:
    """Groups f, m, x of these sizes, in this order; the other rows are unknown."""
    codes = np.full(M, -1)
    codes[: sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
    return Grouping(name="sex", labels=("f", "m", "x")[: len(sizes)], codes=codes, reference="m", reference_stated=True)


@pytest.mark.parametrize(
    ("members", "told"), [(100, True), (99, False), (91, False), (90, True), (10, True), (9, False)]
)
def test_a_slice_isolates_nobody_from_the_whole(members: int, told: bool) -> None:
    (found,) = releases([target(members > ROWS)], {}, ROWS, None, minimum=10)
    assert (not found.withheld, found.count) == (told, told)


def test_of_two_slices_that_isolate_one_person_the_later_is_withheld() -> None:
    slices = [target(ROWS < 50), target(ROWS < 49), target(ROWS < 30)]
    assert [bool(r.withheld) for r in releases(slices, {}, ROWS, None, minimum=10)] == [False, True, False]


def test_a_slice_isolates_nobody_from_a_group() -> None:
    found = releases([target(ROWS < 51)], {"sex": sexes(50, 50)}, ROWS, None, minimum=10)
    assert found[0].withheld


def test_sets_that_overlap_but_for_few_on_one_side_only_isolate_nobody() -> None:
    # Rows 0-49 and 3-99: three rows are in the first alone, but fifty in the second alone.
    found = releases([target(ROWS < 50), target(ROWS >= 3)], {}, ROWS, None, minimum=2)
    assert [bool(r.withheld) for r in found] == [False, False]
    slices = [target((ROWS >= 20) & (ROWS < 60)), target((ROWS >= 22) & (ROWS < 80))]
    found = releases(slices, {}, ROWS, None, minimum=10)
    assert [bool(r.withheld) for r in found] == [False, False]


def test_a_slice_and_a_group_beside_it_leave_nobody_alone() -> None:
    men_told = {"sex": sexes(47, 50)}  # 3 unknown
    assert releases([target(ROWS < 47)], men_told, ROWS, None, minimum=10)[0].withheld
    assert not releases([target(ROWS < 40)], men_told, ROWS, None, minimum=5)[0].withheld


def test_persons_and_not_records_are_counted() -> None:
    persons = np.array([f"p{i // 10}" for i in ROWS], dtype=object)
    (found,) = releases([target(ROWS < 50)], {}, ROWS, persons, minimum=10)
    assert found.withheld == "fewer than 10 persons"


@pytest.mark.parametrize(
    ("sizes", "told"), [((50, 50), True), ((48, 49), False), ((45, 52, 3), False), ((40, 40), True)]
)
def test_a_gaps_count_is_withheld_where_a_count_beside_it_is(sizes: tuple[int, ...], told: bool) -> None:
    grouping = sexes(*sizes)
    gap = target(np.isin(grouping.codes, (0, 1)), "sex: f minus m", "gap")
    (found,) = releases([gap], {"sex": grouping}, ROWS, None, minimum=10)
    assert not found.withheld and found.count is told
