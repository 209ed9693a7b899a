"""Mean risk and marks by group and slice: right where shown, and never telling of a few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from auditkit.privacy import risk
from auditkit.privacy.membership import Retrained
from auditkit.privacy.whom import Piece, by_group_and_slice
from auditkit.subject.types import Floats, Grouping, Ints, Mask

N = 800


def known(distance: Floats, seed: int = 0, models: int = 32) -> Retrained:
    rng = np.random.default_rng(seed)
    inside = rng.random((models, len(distance))) < 0.5
    return Retrained(rng.normal(size=inside.shape) + distance * inside, inside)


def told(flag: Mask, codes: Ints, slices: list[Piece], *, persons: Ints | None = None, **given: Any) -> Any:
    distance = np.where(codes == 0, 2.0, 0.0)
    grouping = Grouping("sex", ("f", "m"), codes, "m", True)
    return by_group_and_slice(
        known(distance, **given), flag, groupings={"sex": grouping}, favourable=np.arange(len(flag)) % 2 == 0,
        slices=slices, persons=persons, level=0.95, minimum=10,
    )  # fmt: skip


def test_a_group_s_mean_is_that_of_its_records_risks_and_its_interval_holds_the_truth() -> None:
    codes = (np.arange(N) >= 200).astype(np.int64)
    groups, _ = told(np.zeros(N, dtype=bool), codes, [])
    every = risk.measure(known(np.where(codes == 0, 2.0, 0.0)), level=0.95, generator=np.random.default_rng(0)).value
    for row, code, truth in zip(groups, (0, 1), (0.8413, 0.5), strict=True):
        assert row.measure == "privacy.average_risk" and row.estimate.n == (codes == code).sum()
        assert row.estimate.value == pytest.approx(every[codes == code].mean(), abs=1e-9)
        assert row.estimate.low - 0.005 <= truth <= row.estimate.high + 0.005


def test_a_slice_has_its_mean_and_the_share_marked() -> None:
    codes = (np.arange(N) >= 200).astype(np.int64)
    flag, mask = np.arange(N) % 200 < 40, np.arange(N) < 400
    _, (found,) = told(flag, codes, [Piece("s", "why", mask)])
    assert (found.name, found.why) == ("s", "why")
    assert found.flagged.events == 80 and found.flagged.n == found.average.n == 400
    assert 0.6 < found.average.value < 0.75


def test_a_small_group_and_the_next_smallest_are_withheld() -> None:
    codes = np.where(np.arange(N) < 5, 0, 1)
    groups, _ = told(np.zeros(N, dtype=bool), codes, [])
    assert [row.estimate.value for row in groups] == [None, None]
    assert all("fewer than 10 persons" in row.estimate.withheld for row in groups)


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (np.arange(N) < 205, False),  # differs from the group by 5 records
        (np.arange(N) < 195, False),
        (np.arange(N) < 9, False),
        (np.arange(N) < N - 4, False),  # leaves 4 out
        (np.arange(N) < 300, True),
        (np.zeros(N, dtype=bool), False),
    ],
)
def test_a_slice_that_sets_a_few_apart_is_withheld_whole(mask: Mask, shown: bool) -> None:
    codes = (np.arange(N) >= 200).astype(np.int64)
    _, (found,) = told(np.zeros(N, dtype=bool), codes, [Piece("s", "", mask)])
    assert found.average.known is found.flagged.known is shown
    assert shown or found.average.withheld


def test_two_slices_that_differ_by_a_few_are_not_both_shown() -> None:
    codes = (np.arange(N) >= 200).astype(np.int64)
    pieces = [Piece("a", "", np.arange(N) < 400), Piece("b", "", np.arange(N) < 406)]
    _, (one, other) = told(np.zeros(N, dtype=bool), codes, pieces)
    assert one.average.known and not other.average.known


@pytest.mark.parametrize(("inside", "outside"), [(5, 30), (30, 5), (30, 0), (0, 30), (12, 12), (3, 3)])
def test_marks_in_a_slice_tell_of_no_few_inside_or_outside(inside: int, outside: int) -> None:
    codes = (np.arange(N) >= 200).astype(np.int64)
    mask, flag = np.arange(N) >= 400, np.zeros(N, dtype=bool)
    flag[np.flatnonzero(mask)[:inside]] = True
    flag[200 : 200 + outside] = True
    _, (found,) = told(flag, codes, [Piece("s", "", mask)])
    assert found.average.known
    open_ = all(count == 0 or count >= 10 for count in (inside, outside))
    assert found.flagged.known is open_
    assert found.flagged.events is None or found.flagged.events == inside


def test_a_slice_that_cannot_be_put_to_training_records_says_why() -> None:
    _, (found,) = told(np.zeros(N, dtype=bool), np.arange(N) % 2, [Piece("s", "", None, "no decisions")])
    assert found.average.withheld == found.flagged.withheld == "no decisions"


def test_persons_are_what_is_counted() -> None:
    """Twelve records of four persons are four."""
    codes = (np.arange(N) >= 200).astype(np.int64)
    mask = (np.arange(N) >= 200) & (np.arange(N) < 212)
    persons = np.where(mask, 10_000 + np.arange(N) // 3, np.arange(N))
    _, (by_record,) = told(np.zeros(N, dtype=bool), codes, [Piece("s", "", mask)])
    _, (by_person,) = told(np.zeros(N, dtype=bool), codes, [Piece("s", "", mask)], persons=persons)
    assert by_record.average.known and not by_person.average.known
