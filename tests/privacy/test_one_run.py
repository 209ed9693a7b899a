"""The one-run bound: published values, closed forms, and how often it lies above the epsilon that holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
from scipy import optimize, stats

from auditkit.errors import NumericsError
from auditkit.privacy.one_run import (
    SHARES,
    Planted,
    bounded,
    canaries_needed,
    guesses_of,
    lower_bound,
    numbers_of_guesses,
    p_value,
    right_guesses,
)
from auditkit.subject.types import Floats

LEVEL = 0.95


@pytest.mark.parametrize(
    ("canaries", "guesses", "right", "delta", "printed"),
    [(1000, 100, 75, 1e-4, 0.673), (100_000, 1510, 1439, 1e-5, 2.675)],
)
def test_the_values_printed_in_the_paper_are_met(
    canaries: int, guesses: int, right: int, delta: float, printed: float
) -> None:
    found = lower_bound(canaries=canaries, guesses=guesses, right=right, delta=delta, level=LEVEL)
    assert found == pytest.approx(printed, abs=1e-3)


def test_all_guesses_right_is_the_root_of_a_power() -> None:
    # q^r = 0.05 with q = 1 / (1 + e^-epsilon).
    found = lower_bound(canaries=1000, guesses=100, right=100, delta=0.0, level=LEVEL)
    assert found == pytest.approx(-np.log(0.05 ** (-1 / 100) - 1), abs=1e-9)


def test_the_p_value_is_the_binomial_tail_and_delta_adds_its_steepest_secant() -> None:
    q = np.exp(1.3) / (1 + np.exp(1.3))
    tail = [stats.binom(40, q).sf(v - 1) for v in range(42)]
    arguments = {"canaries": 400, "guesses": 40, "right": 35, "epsilon": 1.3}
    assert p_value(**arguments, delta=0.0) == pytest.approx(tail[35])
    secant = max((tail[35 - i] - tail[35]) / i for i in range(1, 36))
    assert p_value(**arguments, delta=1e-4) == pytest.approx(tail[35] + 2 * 400 * 1e-4 * secant)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("guesses", [20, 100, 400])
def test_randomised_response_is_overstated_in_at_most_one_run_of_twenty(epsilon: float, guesses: int) -> None:
    """Exactly: right guesses at coins shown by randomised response are binomial at q."""
    law = stats.binom(guesses, 1 / (1 + np.exp(-epsilon)))
    counts = np.arange(guesses + 1)
    bounds = [lower_bound(canaries=guesses, guesses=guesses, right=int(v), delta=0.0, level=LEVEL) for v in counts]
    overstated = float(law.pmf(counts[np.array(bounds) > epsilon + 1e-9]).sum())
    assert overstated <= 1 - LEVEL
    assert np.all(np.diff(bounds) >= 0)
    # The next step of right guesses would break the level: the bound is as large as it can be.
    assert float(law.sf(int(counts[np.array(bounds) <= epsilon + 1e-9].max()) - 1)) > 1 - LEVEL


def test_the_gaussian_mechanism_is_not_overstated_and_a_strong_one_is_found() -> None:
    """Every coin shown under Gaussian noise: (epsilon, delta) by its exact trade-off; guesses through the scores."""
    delta, m, repeats = 1e-3, 200, 400
    rng = np.random.default_rng(3)
    for distance, least in ((0.5, 0.0), (3.0, 0.5)):
        epsilon = optimize.brentq(lambda e, d=distance: _gaussian_delta(e, d) - delta, 0, 50)
        found = []
        for _ in range(repeats):
            coins = rng.random(m) < 0.5
            right = right_guesses(distance * coins + rng.normal(size=m), coins, 40)
            found.append(lower_bound(canaries=m, guesses=40, right=right, delta=delta, level=LEVEL))
        assert np.mean(np.array(found) > epsilon) <= 1 - LEVEL
        assert np.median(found) >= least


def _gaussian_delta(epsilon: float, distance: float) -> float:
    """Balle & Wang 2018, theorem 8, for sensitivity over noise `distance`."""
    a, b = distance / 2 - epsilon / distance, -distance / 2 - epsilon / distance
    return float(stats.norm.cdf(a) - np.exp(epsilon) * stats.norm.cdf(b))


def test_coins_dealt_anew_show_nothing_in_nineteen_of_twenty_repeats() -> None:
    rng = np.random.default_rng(4)
    coins = rng.random(200) < 0.5
    scores = coins + 0.01 * rng.normal(size=200)
    assert _bound(scores, coins) > 1.0
    found = np.array([_bound(scores, rng.permutation(coins)) for _ in range(600)])
    assert np.mean(found > 0) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def _bound(scores: Floats, coins: np.ndarray) -> float:
    planted = Planted(scores, coins, among=1000, rule="")
    bound, part = bounded(planted, share=0.2, delta=0.0, level=LEVEL, absent="")
    assert part.guesses == 40 and bound.bound.value is not None
    return bound.bound.value


def test_ties_go_by_the_canaries_order_and_wrong_counts_are_refused() -> None:
    coins = np.array([True, True, False, False, True, False])
    assert right_guesses(np.zeros(6), coins, 4) == 3  # the first two guessed in (both are), the last two out (one is)
    with pytest.raises(NumericsError, match="even"):
        right_guesses(np.zeros(6), coins, 3)
    with pytest.raises(NumericsError, match="no score"):
        right_guesses(np.array([np.nan] * 6), coins, 2)
    with pytest.raises(NumericsError, match="cannot be"):
        lower_bound(canaries=10, guesses=4, right=5, delta=0.0, level=LEVEL)
    with pytest.raises(NumericsError, match="delta"):
        lower_bound(canaries=10, guesses=4, right=3, delta=2.0, level=LEVEL)


@pytest.mark.parametrize(("canaries", "share", "guesses"), [(200, 0.1, 20), (200, 0.001, 2), (7, 1.0, 6), (1, 1.0, 0)])
def test_guesses_are_even_and_stated_by_the_share(canaries: int, share: float, guesses: int) -> None:
    assert guesses_of(canaries, share) == guesses


def test_without_canaries_the_reason_stands_in_bound_and_part() -> None:
    bound, part = bounded(None, share=0.1, delta=0.0, level=LEVEL, absent="nobody asked")
    assert bound.status == part.status == "not-applicable"
    assert bound.bound.withheld == part.reason == "nobody asked"


@cache
def _limit(canaries: int, guesses: int, right: int, level: float, delta: float = 0.0) -> float:
    return lower_bound(canaries=canaries, guesses=guesses, right=right, delta=delta, level=level)


def _over_numbers(scores: Floats, coins: np.ndarray, numbers: tuple[int, ...], delta: float = 0.0) -> float:
    """The largest limit over the numbers, each at its part: `looked_at` with the bisection remembered."""
    m, each = len(scores), 1 - (1 - LEVEL) / len(numbers)
    return max(_limit(m, r, right_guesses(scores, coins, r), each, delta) for r in numbers)


def _answered(epsilon: float, m: int, rng: np.random.Generator) -> tuple[Floats, np.ndarray]:
    """Coins under randomised response, in an order that does not know which answers are right."""
    coins = rng.random(m) < 0.5
    right = rng.random(m) < 1 / (1 + np.exp(-epsilon))
    return np.where(right, coins, ~coins) + 0.5 * rng.random(m), coins


@pytest.mark.parametrize("canaries", [20, 100, 400])
@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_many_numbers_of_guesses_keep_the_level_under_randomised_response(canaries: int, epsilon: float) -> None:
    rng, repeats = np.random.default_rng(canaries), 400
    numbers = numbers_of_guesses(canaries, "auto")
    over = [_over_numbers(*_answered(epsilon, canaries, rng), numbers) > epsilon + 1e-9 for _ in range(repeats)]
    assert np.mean(over) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("guesses", ["auto", 0.1, 0.5, 1.0])
def test_the_level_holds_over_epsilon_canaries_and_guesses(
    guesses: float | Literal["auto"], record_property: Callable[[str, Any], None]
) -> None:
    """Randomised response, the mechanism that a claim of epsilon allows most to."""
    repeats, shares = 2_000, {}
    for m in (20, 50, 200, 400, 1000):
        numbers = numbers_of_guesses(m, guesses)
        for epsilon in (0.0, 0.5, 1.0, 2.0, 4.0):
            rng = np.random.default_rng(m)
            found = [_over_numbers(*_answered(epsilon, m, rng), numbers) for _ in range(repeats)]
            shares[f"{m} canaries, epsilon {epsilon:g}"] = float(np.mean(np.array(found) > epsilon + 1e-9))
    record_property(f"one run, guesses {guesses}: largest share of limits above epsilon", max(shares.values()))
    record_property(f"one run, guesses {guesses}: share of limits above epsilon", shares)
    assert max(shares.values()) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


REMEMBERED: dict[str, Callable[[np.random.Generator, np.ndarray], Floats]] = {
    "one deviation": lambda rng, coins: coins + rng.normal(size=len(coins)),
    "three deviations": lambda rng, coins: 3.0 * coins + rng.normal(size=len(coins)),
    "five deviations": lambda rng, coins: 5.0 * coins + rng.normal(size=len(coins)),
    "a tenth remembered": lambda rng, coins: (
        rng.normal(size=len(coins)) + 8.0 * (rng.random(len(coins)) < 0.1) * (2.0 * coins - 1)
    ),
    "a third remembered": lambda rng, coins: (
        rng.normal(size=len(coins)) + 8.0 * (rng.random(len(coins)) < 1 / 3) * (2.0 * coins - 1)
    ),
}


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize("canaries", [200, 400, 2000])
def test_many_numbers_of_guesses_cost_little_and_show_more(
    canaries: int, record_property: Callable[[str, Any], None]
) -> None:
    rng, costs, gains = np.random.default_rng(canaries), [], []
    for scored in REMEMBERED.values():
        runs = []
        for _ in range(40):
            coins = rng.random(canaries) < 0.5
            runs.append((scored(rng, coins), coins))

        def mean(numbers: tuple[int, ...], runs: list[tuple[Floats, np.ndarray]] = runs) -> float:
            return float(np.mean([_over_numbers(*run, numbers) for run in runs]))

        several = mean(numbers_of_guesses(canaries, "auto"))
        single = [mean(numbers_of_guesses(canaries, share)) for share in (1 / 16, 0.1, 1 / 8, 1 / 4, 1 / 2, 1.0)]
        costs.append(max(single) - several)
        gains.append(several - single[1])
    record_property(f"one run, {canaries} canaries: most lost against the best single number", round(max(costs), 2))
    record_property(f"one run, {canaries} canaries: least and most gained against a tenth", np.round(
        [min(gains), max(gains)], 2).tolist())
    assert max(costs) < 0.6 and max(gains) > 1.0


@pytest.mark.parametrize(
    ("canaries", "share"),
    [(400, 0.1), (20, "auto"), (20, 1.0), (100, "auto"), (400, "auto"), (2000, "auto"), (64, 0.5), (400, 1.0)],
)
def test_the_most_that_could_be_shown_is_printed_and_reached_by_right_guesses_alone(
    canaries: int, share: float | Literal["auto"]
) -> None:
    coins = np.random.default_rng(canaries).permutation(np.arange(canaries) < canaries // 2)
    for scores, right in ((coins + 0.0, True), (coins * -1.0, False)):
        bound, part = bounded(Planted(scores, coins, among=9, rule=""), share=share, delta=0.0, level=LEVEL, absent="")
        # q^r = the level's part of the error.
        part_of_error = 0.05 / len(part.counts)
        closed = max(-np.log(part_of_error ** (-1 / count.guesses) - 1) for count in part.counts)
        assert bound.most == pytest.approx(closed, abs=1e-9)
        assert (bound.bound.value == pytest.approx(bound.most)) is right


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_the_canaries_that_a_claim_needs_are_the_fewest_that_could_contradict_it(epsilon: float) -> None:
    needed = canaries_needed(epsilon, level=LEVEL)
    each = 1 - (1 - LEVEL) / len(SHARES)
    assert _limit(needed, needed, needed, each) > epsilon
    assert _limit(needed - 1, needed - 1, needed - 1, each) <= epsilon


@pytest.mark.parametrize(
    ("canaries", "numbers"),
    [
        (1, (0,)), (7, (6,)), (20, (20,)), (64, (16, 32, 64)), (400, (24, 50, 100, 200, 400)),
        (2000, (124, 250, 500, 1000, 2000)),
    ],
)
def test_numbers_of_guesses_depend_on_the_number_of_canaries_alone(canaries: int, numbers: tuple[int, ...]) -> None:
    assert numbers_of_guesses(canaries, "auto") == numbers
