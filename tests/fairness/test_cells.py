from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import DataError
from auditkit.fairness.cells import cell_of, count, repeated

ROWS = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 5), st.one_of(st.none(), st.integers(0, 6))), max_size=50)


@given(ROWS)
def test_records_and_persons_are_what_counting_by_hand_gives(rows: list[tuple[int, int, int | None]]) -> None:
    codes, cell = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
    persons = np.array([row[2] for row in rows], dtype=object)
    cells = count(codes=codes, groups=3, cell=cell, persons=persons)
    names = [f"lone {i}" if person is None else person for i, person in enumerate(persons)]
    for group in range(4):
        members = [i for i in range(len(rows)) if (codes[i] if codes[i] >= 0 else 3) == group and cell[i] >= 0]
        assert cells.group_records[group] == len(members)
        assert cells.group_persons[group] == len({names[i] for i in members})
        for c in range(6):
            inside = [i for i in members if cell[i] == c]
            assert cells.records[group, c] == len(inside)
            assert cells.persons[group, c] == len({names[i] for i in inside})


def test_without_repeats_persons_change_nothing() -> None:
    generator = np.random.default_rng(0)
    codes, cell = generator.integers(-1, 3, 500), generator.integers(0, 4, 500)
    plain = count(codes=codes, groups=3, cell=cell, persons=None)
    single = count(codes=codes, groups=3, cell=cell, persons=np.arange(500).astype(object))
    assert not single.repeats
    assert np.array_equal(plain.kinds, single.kinds)
    assert np.array_equal(plain.persons_of_kind, single.persons_of_kind)
    assert len(plain.kinds) == 16, "as many kinds as cells, however many records"


def test_a_missing_person_never_repeats() -> None:
    persons = np.array(["p", None, "q", "p", None, float("nan")], dtype=object)
    assert repeated(persons).tolist() == [True, False, False, True, False, False]


def test_cells_of_labels_and_decisions() -> None:
    truth = np.array([0, 0, 1, 1, np.nan, np.nan, 1.0])
    decision = np.array([0, 1, 0, 1, 0, 1, np.nan])
    assert cell_of(truth=truth, decision=decision).tolist() == [0, 1, 2, 3, 4, 5, -1]


@pytest.mark.parametrize("values", [np.array([0.5]), np.array([2.0]), np.array([-1.0])])
def test_what_is_neither_favourable_nor_not_is_refused(values: np.ndarray) -> None:
    with pytest.raises(DataError, match="label"):
        cell_of(truth=values, decision=np.array([1.0]))
    with pytest.raises(DataError, match="decision"):
        cell_of(truth=np.array([1.0]), decision=values)


def test_memberships_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="outside the 2 declared groups"):
        count(codes=np.array([0, 2]), groups=2, cell=np.array([0, 0]), persons=None)
    with pytest.raises(DataError, match="do not fit 3 evaluation records"):
        count(codes=np.array([0, 1]), groups=2, cell=np.array([0, 0, 0]), persons=None)
