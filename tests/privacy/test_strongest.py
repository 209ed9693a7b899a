from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from auditkit.policy.measures import STRONGEST_AUC, tpr_at_fpr
from auditkit.privacy import strength, strongest
from auditkit.privacy.membership import Scores
from auditkit.privacy.registry import ATTACKS
from auditkit.result import Measurement

Floats = NDArray[np.float64]
ALONE = strength.Sides(None, None)
NAMES = list(ATTACKS)
RATE = 0.1
WORLDS = {
    # Strengths of the attacks (shift of members in standard deviations), and the correlation of their scores.
    "three equal, null": ([0.0] * 3, 0.5),
    "seven equal, null": ([0.0] * 7, 0.7),
    "seven equal, null, unrelated": ([0.0] * 7, 0.0),
    "seven equal, null, nearly the same": ([0.0] * 7, 0.97),
    "three equal, strong": ([0.5] * 3, 0.6),
    "five unequal": ([0.0, 0.1, 0.2, 0.3, 0.4], 0.6),
    "one strong among nulls": ([0.6, 0.0, 0.0, 0.0, 0.0, 0.0], 0.4),
    "all worse than chance": ([-0.3, -0.2, -0.4], 0.5),
    "seven nearly equal": ([0.18, 0.2, 0.22, 0.2, 0.19, 0.21, 0.2], 0.8),
}


def _world(
    generator: np.random.Generator, shifts: list[float], related: float, *, n: int, m: int, decimals: int = 9,
    persons: int = 1,
) -> dict[str, Scores]:  # fmt: skip
    units = -(-n // persons), -(-m // persons)
    common = [generator.normal(size=size) for size in units]
    found = {}
    for name, shift in zip(NAMES, shifts, strict=False):
        sides = [
            np.sqrt(related) * shared + np.sqrt(1 - related) * generator.normal(size=len(shared)) for shared in common
        ]
        members, others = (np.repeat(side, persons)[:size] for side, size in zip(sides, (n, m), strict=True))
        found[name] = Scores((members + shift).round(decimals), others.round(decimals))
    return found


def _measured(scores: dict[str, Scores], sides: strength.Sides = ALONE, *, level: float = 0.95) -> list[Measurement]:
    return list(strongest.measurements(ATTACKS, scores, sides, (RATE,), level=level, minimum=1))


def _shares(name: str, *, repeats: int, n: int, m: int, persons: int = 1) -> dict[str, tuple[float, float, float]]:
    """By measure: how often the interval held the largest true figure, lay above it, lay below it."""
    shifts, related = WORLDS[name]
    truth = {
        STRONGEST_AUC: float(ndtr(max(shifts) / np.sqrt(2))), tpr_at_fpr(RATE): float(ndtr(max(shifts) + ndtri(RATE)))
    }  # fmt: skip
    generator = np.random.default_rng(11)
    people = ALONE if persons == 1 else strength.Sides(np.arange(n) // persons, n + np.arange(m) // persons)
    missed = {measure: [0, 0] for measure in truth}
    for _ in range(repeats):
        scores = _world(generator, shifts, related, n=n, m=m, persons=persons)
        for row in _measured(scores, people):
            low, high = row.estimate.low, row.estimate.high
            assert low is not None and high is not None
            missed[row.measure][0] += low > truth[row.measure]
            missed[row.measure][1] += high < truth[row.measure]
    return {
        measure: (1 - (above + below) / repeats, above / repeats, below / repeats)
        for measure, (above, below) in missed.items()
    }


@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_holds_the_largest_true_figure(name: str) -> None:
    for covered, above, _ in _shares(name, repeats=60, n=300, m=300).values():
        # 0.95 and 0.025, less (and more) three binomial standard deviations of 60 repeats.
        assert covered >= 0.866
        assert above <= 0.085


@pytest.mark.prove
@pytest.mark.parametrize("name", WORLDS)
def test_the_interval_holds_the_largest_true_figure_at_full_size(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    for n, m, persons in ((300, 300, 1), (2000, 1000, 1), (900, 900, 3)):
        for measure, (covered, above, below) in _shares(name, repeats=400, n=n, m=m, persons=persons).items():
            said = f"covered {covered:.3f}, above {above:.3f}, below {below:.3f}"
            record_property(f"strongest, {name}, {n} and {m}, {persons} a person, {measure}", said)
            assert covered >= 0.91 and above <= 0.05 + 0.022


@pytest.mark.parametrize("name", NAMES)
def test_the_row_is_that_of_the_strongest_attack_and_names_it(name: str) -> None:
    shifts = [0.8 if other == name else 0.1 for other in NAMES]
    scores = _world(np.random.default_rng(3), shifts, 0.5, n=800, m=900)
    own = strength.area(scores[name], ALONE, level=0.95, minimum=1)
    (success,) = strength.resolution(scores[name], ALONE, (RATE,), level=0.95, minimum=1)
    area, rate = _measured(scores)
    for row, plain in ((area, own), (rate, success.tpr)):
        assert row.estimate.value == plain.value
        assert row.parts == (f"the strongest of the {len(NAMES)} attacks measured: {ATTACKS[name].title}",)
        assert row.estimate.low is not None and plain.low is not None and row.estimate.low < plain.low
        assert row.estimate.high == plain.high
        assert "simultaneous" in row.estimate.method


@pytest.mark.parametrize("name", NAMES)
def test_a_single_attack_is_the_strongest_with_its_own_interval(name: str) -> None:
    generator = np.random.default_rng(4)
    scores = {name: Scores(generator.normal(0.4, 1, 500).round(1), generator.normal(size=600).round(1))}
    (success,) = strength.resolution(scores[name], ALONE, (RATE,), level=0.95, minimum=1)
    area, rate = _measured(scores)
    assert area.estimate == strength.area(scores[name], ALONE, level=0.95, minimum=1)
    assert rate.estimate == success.tpr
    assert area.parts == (f"the only attack measured: {ATTACKS[name].title}",)


def test_a_rate_that_an_attack_does_not_resolve_leaves_it_out_and_says_so() -> None:
    generator = np.random.default_rng(5)
    scores = _world(generator, [0.5, 0.1, 0.1], 0.5, n=500, m=150)
    first = NAMES[0]
    fitted = np.arange(150) < 60
    scores[first] = Scores(scores[first].members, scores[first].nonmembers, fitted)
    area, rate = _measured(scores)
    assert ATTACKS[first].title in area.parts[0] and len(area.parts) == 1
    assert rate.parts[1] == f"not resolved for {ATTACKS[first].title}"
    assert "of the 2 attacks" in rate.parts[0] and ATTACKS[first].title not in rate.parts[0]


def test_where_no_attack_resolves_a_rate_the_row_says_what_is_missing() -> None:
    scores = _world(np.random.default_rng(6), [0.2, 0.1], 0.5, n=500, m=90)
    area, rate = _measured(scores)
    assert area.estimate.value is not None
    assert rate.estimate.value is None and "at least 100" in rate.estimate.withheld and rate.parts == ()


def test_few_who_are_flagged_stay_a_band() -> None:
    scores = _world(np.random.default_rng(7), [0.0, 0.0, 0.0], 0.5, n=60, m=600)
    rows = strongest.measurements(ATTACKS, scores, ALONE, (0.02,), level=0.95, minimum=10)
    assert rows[1].estimate.value is None and "fewer than 10" in rows[1].estimate.withheld
    assert rows[1].estimate.low == 0.0 and rows[1].estimate.high is not None and rows[1].estimate.high < 0.4
