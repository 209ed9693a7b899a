"""Records that widen a gap and are exposed: counted rightly, beside what chance gives."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest

from auditkit.privacy.joint import Gaps, joint
from auditkit.subject.types import Floats, Mask

N = 1000


def gaps(effects: Floats, *values: float) -> Gaps:
    return Gaps(tuple(f"gap {k}" for k in range(len(values))), values, effects, "")


def row(effects: Floats, flag: Mask, value: float = 0.2, minimum: int = 10) -> object:
    (found,), unit, reason = joint(gaps(effects[:, None], value), flag, persons=None, level=0.95, minimum=minimum)
    assert (unit, reason) == ("records", "")
    return found


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_top_are_those_whose_removal_brings_the_gap_nearest_to_zero(sign: float) -> None:
    """Removing a record whose effect has the sign against the gap's makes it smaller."""
    effects = -sign * np.linspace(1, -1, N)
    flag = np.arange(N) < 40
    found = row(effects, flag, value=0.3 * sign)
    assert found.both.events == 40 and found.both.n == 50  # type: ignore[attr-defined]
    other = row(effects, flag, value=-0.3 * sign)
    assert other.both.events == 0  # type: ignore[attr-defined]


def test_chance_is_the_hypergeometric_law() -> None:
    flag = np.arange(N) % 5 == 0
    found = row(np.random.default_rng(0).normal(size=N), flag).expected  # type: ignore[attr-defined]
    assert found.value == 0.2 and found.n == 50
    mass = [comb(200, k) * comb(800, 50 - k) / comb(1000, 50) for k in range(51)]
    reached = list(itertools.accumulate(mass))
    low, high = (next(k for k in range(51) if reached[k] >= tail) / 50 for tail in (0.025, 0.975))
    assert (found.low, found.high) == (low, high)


def test_where_both_have_nothing_to_do_with_each_other_the_count_lies_within_chance() -> None:
    rng, inside = np.random.default_rng(1), 0
    for _ in range(60):
        found = row(rng.normal(size=N), rng.random(N) < 0.5)
        inside += found.expected.low <= found.both.value <= found.expected.high  # type: ignore[attr-defined]
    assert inside >= 53


@pytest.mark.parametrize(("both", "rest"), [(4, 60), (60, 0), (0, 60), (20, 4), (0, 0), (46, 100), (15, 60)])
def test_a_few_are_a_band_and_cannot_be_had_by_subtraction(both: int, rest: int) -> None:
    flag = np.zeros(N, dtype=bool)
    flag[: min(both, 50)] = True
    flag[50 : 50 + rest] = True
    found = row(-np.linspace(1, 0.01, N), flag)
    shown = found.both.events  # type: ignore[attr-defined]
    marked = int(flag[:50].sum())
    assert shown is None or shown == marked
    if any(0 < part < 10 for part in (marked, 50 - marked, int(flag.sum()) - marked)):
        assert shown is None and found.both.value is None  # type: ignore[attr-defined]
    if 0 < flag.sum() < 10:
        assert found.expected.value is None  # type: ignore[attr-defined]


def test_persons_with_several_records_are_counted_once_and_their_effects_add_up() -> None:
    persons = np.repeat(np.arange(N // 2), 2)
    effects = np.zeros(N)
    effects[:100] = -1.0  # persons 0 to 49
    effects[100:200:2] = -1.5  # persons 50 to 99: less in sum
    flag = np.repeat(np.arange(N // 2) < 20, 2)
    (found,), unit, _ = joint(gaps(effects[:, None], 0.1), flag, persons=persons, level=0.95, minimum=5)
    assert unit == "persons"
    assert found.both.n == 25 and found.both.events == 20
    assert found.expected.value == 20 / 500


def test_without_effects_or_marks_the_reason_is_said() -> None:
    flag = np.zeros(N, dtype=bool)
    assert joint(Gaps(reason="fidelity too low"), flag, persons=None, level=0.95, minimum=10)[2] == "fidelity too low"
    assert "marked" in joint(gaps(np.ones((N, 1)), 0.1), None, persons=None, level=0.95, minimum=10)[2]
