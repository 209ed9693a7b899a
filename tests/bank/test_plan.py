from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.bank.plan import half, plan
from auditkit.bank.types import Size
from auditkit.errors import DataError
from auditkit.subject.types import Table


def table(train: int, reserve: int, evaluation: int, *, per_person: int | None = None) -> Table:
    rows = train + reserve + evaluation
    persons = None if per_person is None else (np.arange(rows) // per_person).astype(str).astype(object)
    return Table(
        frame=pd.DataFrame(index=range(rows)),
        split=np.repeat(["train", "reserve", "evaluation"], [train, reserve, evaluation]),
        ids=np.arange(rows).astype(str).astype(object),
        persons=persons,
        label=np.zeros(rows),
        weights=np.ones(rows),
        groupings={},
        digests={},
    )


@given(st.lists(st.integers(1, 9), min_size=2, max_size=60), st.integers(0, 2**32))
def test_a_half_holds_whole_persons_and_lacks_less_than_anybody_left_out(sizes: list[int], seed: int) -> None:
    persons = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    members = half(persons, np.random.default_rng(seed))
    inside, outside = set(persons[members].tolist()), set(persons[~members].tolist())
    assert not inside & outside
    lacking = len(persons) // 2 - int(members.sum())
    assert 0 <= lacking < min(sizes[person] for person in outside)


@given(st.integers(2, 300), st.integers(0, 2**32))
def test_without_persons_the_half_is_exact(rows: int, seed: int) -> None:
    assert half(np.arange(rows), np.random.default_rng(seed)).sum() == rows // 2


def test_every_record_is_in_half_of_the_subsets_and_pairs_in_a_quarter() -> None:
    generator = np.random.default_rng(0)
    drawn = np.stack([half(np.repeat(np.arange(20), 2), generator) for _ in range(4000)]).astype(float)
    np.testing.assert_allclose(drawn.mean(0), 0.5, atol=4.5 * 0.5 / np.sqrt(4000))
    # Two persons of 20 are both in with chance 10·9 / (20·19).
    together = (drawn[:, 0] * drawn[:, 2]).mean()
    assert together == pytest.approx(90 / 380, abs=4.5 * 0.43 / np.sqrt(4000))
    assert (drawn[:, 0] == drawn[:, 1]).all()


@pytest.mark.parametrize("kind", ["train-halves", "pool-halves"])
def test_evaluation_rows_are_never_inside_and_parts_are_disjoint(kind: str) -> None:
    data = table(30, 20, 25, per_person=3)
    drawn = plan(data, kind, Size(5, 8, 3), np.random.default_rng(1))  # type: ignore[arg-type]
    splits = set(data.split[drawn.rows].tolist())
    assert splits == ({"train"} if kind == "train-halves" else {"train", "reserve"})
    assert drawn.masks.shape == (16, len(drawn.rows)) and len(drawn.rows) == (30 if kind == "train-halves" else 50)
    assert drawn.measuring.tolist() == [False] * 5 + [True] * 11
    assert not set(drawn.subset[drawn.measuring].tolist()) & set(drawn.subset[~drawn.measuring].tolist())
    assert drawn.first.tolist() == list(range(5, 13)) and drawn.subset[13:].tolist() == [5, 6, 7]


def test_a_repeated_subset_has_the_same_rows_and_another_seed() -> None:
    drawn = plan(table(40, 0, 10), "train-halves", Size(0, 6, 2), np.random.default_rng(2))
    for again in (6, 7):
        first = int(drawn.subset[again])
        assert (drawn.masks[first] == drawn.masks[again]).all()
    assert len(set(drawn.seeds.tolist())) == 8
    assert len({mask.tobytes() for mask in drawn.masks}) == 6


def test_the_generator_decides_everything() -> None:
    one, same, other = (
        plan(table(40, 0, 10), "train-halves", Size(1, 4, 1), np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert (one.masks == same.masks).all() and (one.seeds == same.seeds).all()
    assert (one.masks != other.masks).any() and (one.seeds != other.seeds).any()


def test_rows_without_a_person_are_persons_of_their_own() -> None:
    data = table(12, 0, 2, per_person=2)
    assert data.persons is not None
    data.persons[[0, 1, 2, 3]] = None
    generator = np.random.default_rng(5)
    masks = np.stack([plan(data, "train-halves", Size(0, 1, 0), generator).masks[0] for _ in range(60)])
    assert (masks[:, 0] != masks[:, 1]).any()
    assert (masks[:, 4] == masks[:, 5]).all()


def test_what_cannot_be_halved_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.reserve"):
        plan(table(10, 0, 5), "pool-halves", Size(0, 2, 0), np.random.default_rng(0))
    with pytest.raises(DataError, match="two persons"):
        plan(table(10, 0, 5, per_person=10), "train-halves", Size(0, 2, 0), np.random.default_rng(0))
