from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from auditkit.errors import NumericsError
from auditkit.stats import roc

SCORES = st.lists(st.integers(0, 12), min_size=2, max_size=40)


@given(SCORES, SCORES)
def test_auc_is_scikit_learns_and_its_interval_holds_it(positives: list[int], negatives: list[int]) -> None:
    found = roc.auc(positives=positives, negatives=negatives, level=0.95)
    truth = [1] * len(positives) + [0] * len(negatives)
    assert found.value == pytest.approx(roc_auc_score(truth, positives + negatives))
    assert found.low is not None and found.high is not None and found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.001
    turned = roc.auc(positives=negatives, negatives=positives, level=0.95)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)


def test_delong_by_hand() -> None:
    # Positives 3, 1 against negatives 2, 0: placements of positives 1, 1/2; of negatives 1/2, 1.
    # AUC 3/4, variance (1/8)/2 + (1/8)/2 = 1/8; logit(3/4) = 1.0986, half width 1.96 sqrt(1/8) / (3/16) = 3.6957.
    found = roc.auc(positives=[3, 1], negatives=[2, 0], level=0.95)
    assert found.value == 0.75
    assert (found.low, found.high) == pytest.approx((0.06929, 0.99179), abs=1e-4)


def test_complete_separation_does_not_claim_certainty() -> None:
    small = roc.auc(positives=range(10, 20), negatives=range(10), level=0.95)
    large = roc.auc(positives=range(1000, 2000), negatives=range(1000), level=0.95)
    assert small.value == large.value == 1.0
    assert small.low is not None and large.low is not None
    assert 0.6 < small.low < 0.9 < large.low < 1.0
    assert "Newcombe" in small.method


@pytest.mark.parametrize("shift", [0.0, 0.8, 2.0])
def test_auc_interval_covers(shift: float) -> None:
    generator = np.random.default_rng(5)
    truth = norm.cdf(shift / np.sqrt(2))
    held = 0
    for _ in range(600):
        found = roc.auc(positives=generator.normal(shift, 1, 40), negatives=generator.normal(0, 1, 60), level=0.95)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    # 600 samples at 0.95: three binomial standard errors are 0.027.
    assert held / 600 >= 0.95 - 0.027


@pytest.mark.parametrize(("n", "m"), [(300, 300), (2000, 500)])
@pytest.mark.parametrize(
    ("values", "shift"), [(2, 0.0), (2, 0.2), (3, 0.0), (5, 0.3), (12, 0.0), (12, 0.5), (60, 0.0), (60, 0.2)]
)
def test_auc_interval_covers_with_ties(values: int, shift: float, n: int, m: int) -> None:
    generator = np.random.default_rng(6)
    edges = np.linspace(-2, 2, values + 1)[1:-1]
    seen, unseen = (np.diff(np.r_[0.0, norm.cdf(edges - mean), 1.0]) for mean in (shift, 0.0))
    truth = float(seen @ (np.cumsum(unseen) - unseen / 2))
    held = 0
    for _ in range(400):
        sides = (generator.choice(values, size, p=law) for size, law in ((n, seen), (m, unseen)))
        found = roc.auc(positives=next(sides), negatives=next(sides), level=0.95)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    # 400 samples at 0.95: three binomial standard errors are 0.033.
    assert held / 400 >= 0.95 - 0.033


def test_too_few_scores_give_a_reason_and_nan_is_refused() -> None:
    assert "fewer than two" in roc.auc(positives=[1.0], negatives=[0.0, 1.0], level=0.95).withheld
    with pytest.raises(NumericsError, match="1 of 3 scores are NaN"):
        roc.auc(positives=[1.0, np.nan, 0.0], negatives=[0.0, 1.0], level=0.95)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.sampled_from([0.001, 0.01, 0.1, 0.29, 0.5]))
def test_threshold_keeps_the_false_positive_rate_and_is_the_lowest_that_does(negatives: list[int], fpr: float) -> None:
    threshold = roc.threshold_at_fpr(negatives, fpr)
    assert np.mean(np.array(negatives) > threshold) <= fpr + 1e-9
    lower = [value for value in negatives if value < threshold]
    if lower:
        assert np.mean(np.array(negatives) > max(lower)) > fpr


def test_threshold_counts_exactly_where_floats_do_not() -> None:
    negatives = np.arange(100.0)
    assert (negatives > roc.threshold_at_fpr(negatives, 0.29)).sum() == 29
    with pytest.raises(NumericsError):
        roc.threshold_at_fpr([], 0.1)


@given(st.integers(0, 2**32 - 1), st.floats(0, 3), st.booleans())
def test_no_step_of_the_curve_isolates_fewer_than_the_minimum(seed: int, shift: float, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    positives, negatives = generator.normal(shift, 1, 150), generator.normal(0, 1, 230)
    if ties:
        positives, negatives = positives.round(1), negatives.round(1)
    points = roc.curve(positives=positives, negatives=negatives, max_points=25, minimum_count=10)
    xy = np.array([(point.x, point.y) for point in points])
    assert len(xy) <= 25
    assert xy[0].tolist() == [0, 0] and xy[-1].tolist() == [1, 1]
    steps = np.rint(np.diff(xy, axis=0) * [230, 150])
    assert ((steps == 0) | (steps >= 10)).all()
    everything = np.concatenate([positives, negatives])[:, None]
    corners = np.stack([(negatives >= everything).mean(axis=1), (positives >= everything).mean(axis=1)], axis=1)
    for point in xy[1:-1]:
        assert np.isclose(corners, point).all(axis=1).any(), "every point lies on the empirical curve"


def test_the_curve_shows_separation_and_needs_the_minimum() -> None:
    points = roc.curve(positives=range(100, 200), negatives=range(100), max_points=30, minimum_count=10)
    assert any(point.x == 0 and point.y == 1 for point in points)
    assert roc.curve(positives=range(9), negatives=range(100), max_points=10, minimum_count=10) == ()
