"""The one-run bound: published values, closed forms, and how often it lies above the epsilon that holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from auditkit.errors import NumericsError
from auditkit.privacy.one_run import Planted, bounded, guesses_of, lower_bound, p_value, right_guesses
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
