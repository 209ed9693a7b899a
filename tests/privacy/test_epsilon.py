"""Lower limits of epsilon at one stated threshold: the two forms, how often they overstate, and what they leave out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from auditkit.privacy.clustered import exact_limits
from auditkit.privacy.epsilon import FIRST, SECOND, Asked, Limits, audited, recipe
from auditkit.privacy.membership import Retrained, Scores
from auditkit.privacy.strength import Sides, halve
from auditkit.privacy.trial import Tried
from auditkit.result import EpsilonBound

ASKED = Asked(fpr=0.01, delta=1e-5, level=0.95, minimum=10)
NOBODY = Sides(None, None)


def _tried(
    members: np.ndarray, others: np.ndarray, rng: np.random.Generator, persons: np.ndarray | None = None
) -> Tried:
    scores = {"lira": Scores(members=members, nonmembers=others)}
    return Tried((), scores=scores, setting=halve(len(others), persons, rng))


def _gaussian_epsilon(distance: float, delta: float) -> float:
    """Epsilon at delta of telling two unit normals apart (Balle & Wang 2018, theorem 8)."""

    def excess(e: float) -> float:
        a, b = distance / 2 - e / distance, -distance / 2 - e / distance
        return float(stats.norm.cdf(a) - np.exp(e) * stats.norm.cdf(b)) - delta

    return float(optimize.brentq(excess, 0, 60))


def test_the_larger_of_two_forms_is_taken_and_none_is_below_zero() -> None:
    assert Limits(0.2, 0.02).epsilon(1e-3) == (pytest.approx(np.log(0.199 / 0.02)), FIRST)
    assert Limits(0.98, 0.4).epsilon(1e-3) == (pytest.approx(np.log(0.599 / 0.02)), SECOND)
    assert Limits(0.01, 0.02).epsilon(0.0) == (0.0, "")
    assert Limits(0.3, 0.02).epsilon(0.5) == (0.0, "")
    assert Limits(1.0, 0.0).epsilon(0.0) == (0.0, "")


def test_the_limit_is_that_of_both_exact_intervals_at_the_threshold_of_the_reserve() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(2.5, 1, 900), rng.normal(0, 1, 4000)
    tried = _tried(members, others, rng)
    found = audited(tried, NOBODY, ASKED).public
    threshold = np.sort(others)[-41]  # at most 1 % of 4,000 lie above
    hits, alarms = int((members > threshold).sum()), int((others > threshold).sum())
    low, high = exact_limits(hits, 900, level=0.95)[0], exact_limits(alarms, 4000, level=0.95)[1]
    assert alarms == 40
    # The upper limit is the quantile of the threshold's own rate, an order statistic.
    assert high == pytest.approx(stats.beta.ppf(0.975, 41, 3960))
    assert found.bound.value == pytest.approx(np.log((low - 1e-5) / high))
    assert (found.form, found.relation, found.unit, found.status) == (FIRST, "replace", "record", "assessed")
    assert found.bound.low == found.bound.value and found.bound.high is None and found.bound.n == 4900
    assert found.attack == "Likelihood ratio (LiRA, online)"


@pytest.mark.parametrize("distance", [0.0, 1.0])
def test_the_audited_models_limit_overstates_in_at_most_one_of_twenty(distance: float) -> None:
    rng = np.random.default_rng(1)
    true = 0.0 if distance == 0 else _gaussian_epsilon(distance, ASKED.delta)
    over = [
        _value(audited(_tried(rng.normal(distance, 1, 400), rng.normal(0, 1, 800), rng), NOBODY, ASKED).public) > true
        for _ in range(400)
    ]
    assert np.mean(over) <= 0.05


def test_with_ten_rows_a_person_the_limit_still_overstates_in_at_most_one_of_twenty() -> None:
    rng = np.random.default_rng(2)
    sides = Sides(np.repeat(np.arange(40), 10), np.repeat(np.arange(40, 120), 10))
    asked = Asked(fpr=0.2, delta=0.0, level=0.95, minimum=10)
    over, rowwise = [], []
    for _ in range(300):
        members, others = (np.repeat(rng.normal(size=k), 10) + 0.1 * rng.normal(size=10 * k) for k in (40, 80))
        tried = _tried(members, others, rng, sides.nonmembers)
        over.append(_value(audited(tried, sides, asked).public) > 0)
        rowwise.append(_value(audited(tried, NOBODY, asked).public) > 0)
    assert audited(tried, sides, asked).public.unit == "person"
    assert np.mean(over) <= 0.05
    assert np.mean(rowwise) > 0.10  # the same records taken as independent accuse a model that leaks nothing


def _value(found: EpsilonBound) -> float:
    assert found.bound.value is not None
    return found.bound.value


def test_a_few_hits_are_a_band_and_their_number_moves_nothing() -> None:
    rng = np.random.default_rng(3)
    others = rng.normal(0, 1, 4000)
    seen = set()
    for hits in (1, 5, 9):
        members = np.concatenate([np.full(hits, 9.0), np.full(500 - hits, -9.0)])
        found = audited(_tried(members, others, np.random.default_rng(4)), NOBODY, ASKED).public
        assert found.true_positives is not None and found.true_positives.value is None
        seen.add(found.model_dump_json())
    assert len(seen) == 1


def test_without_an_attack_the_reason_stands() -> None:
    found = audited(Tried((), reason="no reserve named"), NOBODY, ASKED).public
    assert (found.status, found.bound.withheld) == ("not-applicable", "no reserve named")
    small = audited(_tried(np.ones(5), np.zeros(100), np.random.default_rng(0)), NOBODY, ASKED).public
    assert small.status == "withheld" and "fewer than 10" in small.reason


def _bank(rng: np.random.Generator, distance: float, *, models: int = 64, pool: int = 400) -> Retrained:
    """Margins that are `distance` standard deviations higher inside; every model moves all its margins together."""
    inside = np.zeros((models, pool), dtype=bool)
    for row in inside:
        row[rng.permutation(pool)[: pool // 2]] = True
    margin = rng.normal(size=pool) + distance * inside + rng.normal(size=(models, pool)) + rng.normal(size=(models, 1))
    return Retrained(margin, inside)


def test_the_recipes_limit_overstates_in_at_most_one_of_twenty_though_models_move_together() -> None:
    rng = np.random.default_rng(5)
    asked = Asked(fpr=0.05, delta=0.0, level=0.95, minimum=10)
    found = [recipe(_bank(rng, 0.0, pool=200), None, asked, absent="").public for _ in range(200)]
    assert all(bound.status == "assessed" for bound in found)
    assert np.mean([_value(bound) > 0 for bound in found]) <= 0.05


def test_a_recipe_that_leaks_is_found_below_its_own_epsilon() -> None:
    rng = np.random.default_rng(6)
    found = recipe(_bank(rng, 3.0), None, ASKED, absent="").public
    assert found.models == 16 and found.bound.n == 400
    assert 1.5 < _value(found) < _gaussian_epsilon(3.0, ASKED.delta)
    assert found.true_positives is not None and found.true_positives.low is not None


def test_few_models_or_none_give_no_limit_of_the_recipe() -> None:
    rng = np.random.default_rng(7)
    assert recipe(None, None, ASKED, absent="none trained").public.bound.withheld == "none trained"
    few = recipe(_bank(rng, 1.0, models=28), None, ASKED, absent="").public
    assert few.status == "withheld" and "leave 7" in few.reason
    tiny = recipe(_bank(rng, 1.0, pool=16), None, ASKED, absent="").public
    assert tiny.status == "withheld" and "fewer than 10" in tiny.reason


def test_beside_a_published_rate_that_differs_by_few_the_limit_is_withheld() -> None:
    rng = np.random.default_rng(8)
    tried = _tried(rng.normal(1, 1, 900), rng.normal(0, 1, 4000), rng)
    near = Asked(fpr=0.0095, delta=0.0, level=0.95, minimum=10, others=(0.01, 0.1))
    found = audited(tried, NOBODY, near).public
    assert found.status == "withheld" and "beside another rate" in found.reason
    apart = Asked(fpr=0.01, delta=0.0, level=0.95, minimum=10, others=(0.0101 / 1000, 0.01, 0.1))
    assert audited(tried, NOBODY, apart).public.status == "assessed"
