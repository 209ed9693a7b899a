from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.privacy import disclosure


@settings(max_examples=150, deadline=None)
@given(
    codes=st.lists(st.integers(-1, 4), min_size=1, max_size=120),
    share=st.sampled_from([0.0, 0.1, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 1000),
)
def test_no_withheld_cell_can_be_had_by_subtraction(codes: list[int], share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.array(codes)
    flag = rng.random(len(group)) < share
    cells = [group == code for code in range(5)]
    whole = np.ones(len(group), dtype=bool)
    shown = disclosure.publishable(cells, [whole], flag, None, minimum=10)
    rest = whole.copy()
    for cell, open_ in zip(cells, shown, strict=True):
        if open_:
            rest &= ~cell
            assert not any(0 < int(part.sum()) < 10 for part in (cell, cell & flag, cell & ~flag))
    hidden = [int(part.sum()) for part in (rest, rest & flag, rest & ~flag)]
    # Either nothing small is left over, or nothing at all is shown.
    assert all(count == 0 or count >= 10 for count in hidden) or not any(
        open_ and cell.any() for open_, cell in zip(shown, cells, strict=True)
    )


def test_a_single_small_cell_takes_the_next_smallest_with_it() -> None:
    group = np.repeat([0, 1, 2], [400, 100, 5])
    flag = np.concatenate([np.arange(400) < 200, np.arange(100) < 50, np.zeros(5, dtype=bool)])
    cells = [group == code for code in range(3)]
    whole = np.ones(505, dtype=bool)
    assert disclosure.publishable(cells, [whole], flag, None, minimum=10) == [True, False, False]


def test_an_intersection_is_held_along_its_margins() -> None:
    a, b = np.repeat([0, 0, 1, 1], [100, 5, 100, 100]), np.repeat([0, 1, 0, 1], [100, 5, 100, 100])
    flag = np.arange(305) % 2 == 0
    cells = [(a == i) & (b == j) for i in (0, 1) for j in (0, 1)]
    margins = [a == 0, a == 1, b == 0, b == 1]
    shown = disclosure.publishable(cells, [np.ones(305, dtype=bool), *margins], flag, None, minimum=10)
    assert not shown[0] and not shown[1] and not shown[3]


def test_persons_are_counted_not_their_records() -> None:
    flag = np.zeros(60, dtype=bool)
    flag[:24] = True
    persons = np.concatenate([np.repeat(np.arange(6), 4), 100 + np.arange(36)])
    assert disclosure.published_rate(flag, None, level=0.95, minimum=10).events == 24
    assert disclosure.published_rate(flag, persons, level=0.95, minimum=10).value is None


@pytest.mark.parametrize("minimum", [5, 10])
@given(n=st.integers(1, 300), events=st.integers(0, 300))
@settings(max_examples=80, deadline=None)
def test_a_published_rate_tells_no_small_count_and_its_band_holds_the_exact_interval(
    minimum: int, n: int, events: int
) -> None:
    events = min(events, n)
    hits = np.arange(n) < events
    public = disclosure.published_rate(hits, None, level=0.95, minimum=minimum)
    small = 0 < events < minimum or 0 < n - events < minimum
    if n < minimum:
        assert public.value is public.n is public.events is public.low is None
        return
    assert (public.value is None) == small
    assert (public.events is None) == small
    exact = disclosure.rate(hits, None, level=0.95)
    assert public.low <= exact.low + 1e-12 and public.high >= exact.high - 1e-12  # type: ignore[operator]
    if small:
        # Every small count gives the same row, so the row does not tell which it was.
        other = np.arange(n) < (1 if 0 < events < minimum else n - 1)
        assert public == disclosure.published_rate(other, None, level=0.95, minimum=minimum)
