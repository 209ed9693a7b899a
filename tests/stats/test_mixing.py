"""The bound on shared groups: exact tails in small cases, its level, and that it sees copies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from auditkit.stats.mixing import parted, parted_p_value


def _lots(groups: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width = int(groups.max()) + 1
    return np.bincount(groups[member], minlength=width), np.bincount(groups[~member], minlength=width)


@pytest.mark.parametrize("sizes", [[2] * 8, [2] * 4 + [1] * 8, [3, 3, 3, 3, 2, 2], [4, 4, 4, 4], [1] * 6 + [5, 5]])
@pytest.mark.parametrize("first", [8, 5])
def test_the_bound_lies_above_the_exact_tail_of_every_division(sizes: list[int], first: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    found: list[tuple[float, float]] = []
    known: dict[tuple[tuple[int, int], ...], tuple[float, float]] = {}
    for chosen in combinations(range(len(groups)), first):
        member = np.zeros(len(groups), dtype=bool)
        member[list(chosen)] = True
        lots = _lots(groups, member)
        # Groups of one size are alike: their order changes nothing.
        key = tuple(sorted(zip(*(lot.tolist() for lot in lots), strict=True)))
        if key not in known:
            known[key] = (parted(*lots), parted_p_value(*lots))
        found.append(known[key])
    values, bounds = np.array(found).T
    exact = np.array([(values >= value - 1e-9).mean() for value in values])
    assert np.all(bounds >= exact * (1 - 1e-6))


def test_pairs_that_are_all_parted_have_the_power_of_a_coin() -> None:
    pairs = 40
    p = parted_p_value(np.ones(pairs, dtype=np.int64), np.ones(pairs, dtype=np.int64))
    # Exactly: 2^pairs ways of parting every pair, of all ways to choose half of the rows.
    exact = float(np.exp(pairs * np.log(2) - sum(np.log((pairs + k) / k) for k in range(1, pairs + 1))))
    assert exact <= p <= 20 * exact


@pytest.mark.parametrize("cells", [8, 200, 3000])
def test_a_copy_is_seen_and_a_second_lot_of_the_same_cells_is_not(cells: int) -> None:
    rng = np.random.default_rng(cells)
    member = np.arange(800) < 400
    for _ in range(50):
        assert parted_p_value(*_lots(rng.integers(0, cells, 800), member)) > 1e-2
    once = rng.integers(0, cells, 400)
    assert parted_p_value(*_lots(np.concatenate([once, once]), member)) < 1e-5


def test_lots_that_share_nothing_are_no_finding() -> None:
    ones = np.repeat([1, 0], 50)
    assert parted_p_value(ones, 1 - ones) == 1.0
    assert parted_p_value(np.array([5, 3]), np.array([0, 0])) == 1.0
