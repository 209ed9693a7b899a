"""Record-level risk against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.privacy import risk
from auditkit.privacy.membership import Retrained
from auditkit.subject.types import Floats


def _known(rng: np.random.Generator, distance: Floats, models: int) -> Retrained:
    """Margins whose means with and without the record lie `distance` [P] standard deviations apart."""
    inside = rng.random((models, len(distance))) < 0.5
    spread = rng.uniform(0.5, 2.0, len(distance))
    margin = rng.normal(0, 3, len(distance)) + spread * (distance * inside + rng.normal(size=inside.shape))
    return Retrained(margin, inside)


def _measured(known: Retrained, seed: int = 0) -> risk.Risk:
    return risk.measure(known, level=0.95, generator=np.random.default_rng(seed))


@pytest.mark.parametrize("models", [24, 64])
@pytest.mark.parametrize("law", ["same", "exponential", "few"])
def test_risk_is_calibrated_among_records_picked_for_a_high_value_and_its_interval_covers(
    models: int, law: str
) -> None:
    rng = np.random.default_rng(models)
    distance = {
        "same": np.full(4000, 1.5),
        "exponential": rng.exponential(0.7, 4000),
        "few": np.where(np.arange(4000) < 200, 3.0, 0.0),
    }[law]
    found = _measured(_known(rng, distance, models))
    exact = stats.norm.cdf(distance / 2)
    assert np.mean(found.value) == pytest.approx(np.mean(exact), abs=0.01)
    for low, high in ((0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 1.0)):
        band = (found.value >= low) & (found.value < high)
        if band.sum() >= 100:
            assert found.value[band].mean() == pytest.approx(exact[band].mean(), abs=0.03)
    assert ((found.low <= exact + 1e-9) & (exact - 1e-9 <= found.high)).mean() > 0.92
    assert (found.low > exact + 1e-9).mean() < 0.04
    assert ((found.low <= found.value) & (found.value <= found.high)).all()


def test_an_estimate_record_by_record_lies_too_high_among_those_picked_and_this_one_does_not() -> None:
    rng = np.random.default_rng(5)
    distance = np.where(rng.random(6000) < 0.1, 1.0, 0.0)
    known = _known(rng, distance, 32)
    inside, outside = (np.ma.array(known.margin, mask=m) for m in (~known.inside, known.inside))
    pooled = np.sqrt((inside.var(0, ddof=1) + outside.var(0, ddof=1)) / 2)
    alone = stats.norm.cdf(np.asarray(np.abs(inside.mean(0) - outside.mean(0)) / pooled) / 2)
    exact = stats.norm.cdf(distance / 2)
    picked = np.argsort(-alone)[:600]
    assert alone[picked].mean() - exact[picked].mean() > 0.05
    value = _measured(known).value
    picked = np.argsort(-value)[:600]
    assert value[picked].mean() == pytest.approx(exact[picked].mean(), abs=0.02)


@pytest.mark.parametrize("models", [16, 64])
def test_where_membership_changes_nothing_nearly_nothing_is_left(models: int) -> None:
    known = _known(np.random.default_rng(models), np.zeros(8000), models)
    found = risk.average(known, members=8000, level=0.95)
    assert found.value is not None and found.value < 0.53
    each = _measured(known)
    assert each.value.max() < 0.56
    assert each.low.max() < 0.53


def test_the_average_and_its_interval_are_those_of_the_law() -> None:
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        distance = rng.exponential(0.6, 1500)
        found = risk.average(_known(rng, distance, 32), members=1500, level=0.95)
        assert found.value is not None and found.low is not None and found.high is not None
        exact = stats.norm.cdf(distance / 2).mean()
        assert found.value == pytest.approx(exact, abs=0.012)
        covered += found.low - 0.004 <= exact <= found.high + 0.004
    assert covered >= 16


def test_the_bootstrap_is_drawn_from_the_generator_alone() -> None:
    known = _known(np.random.default_rng(1), np.random.default_rng(2).exponential(0.7, 300), 24)
    one, two, other = _measured(known, 1), _measured(known, 1), _measured(known, 2)
    np.testing.assert_array_equal(one.low, two.low)
    np.testing.assert_array_equal(one.value, other.value)


def test_too_few_records_have_no_law_and_so_no_risk() -> None:
    found = _measured(_known(np.random.default_rng(1), np.full(5, 3.0), 24))
    assert (found.value == 0.5).all() and (found.low == 0.5).all() and (found.high == 1.0).all()
    assert risk.average(_known(np.random.default_rng(1), np.full(5, 3.0), 24), members=5, level=0.95).withheld


def test_least_squares_with_normal_noise_has_the_risk_of_its_leverage() -> None:
    """Fixed design, fresh noise in every model: the record's prediction moves by leverage times its residual.

    Without the record the prediction at x has variance sigma² l, l = x'(X'X)^-1 x. With it, leverage h = l / (1 + l),
    its mean moves by h e and its deviation shrinks by 1 - h; so d = h e / (sigma sqrt(l (1 + (1 - h)²) / 2)).
    """
    rng = np.random.default_rng(12)
    rows, width, records, models, sigma = 60, 6, 150, 128, 0.7
    design, x = rng.normal(size=(rows, width)), rng.normal(size=(records, width)) * rng.uniform(0.3, 1.5, (records, 1))
    residual = rng.normal(0, 2.5, records)
    inverse = np.linalg.inv(design.T @ design)
    own = np.einsum("ij,jk,ik->i", x, inverse, x)
    leverage = own / (1 + own)
    inside = rng.random((models, records)) < 0.5
    predicted = np.empty(inside.shape)
    for k in range(models):
        moment = design.T @ rng.normal(0, sigma, rows)
        for i in range(records):
            if inside[k, i]:
                with_it = design.T @ design + np.outer(x[i], x[i])
                predicted[k, i] = x[i] @ np.linalg.solve(with_it, moment + x[i] * residual[i])
            else:
                predicted[k, i] = x[i] @ inverse @ moment
    exact = stats.norm.cdf(leverage * np.abs(residual) / (sigma * np.sqrt(own * (1 + (1 - leverage) ** 2) / 2)) / 2)
    found = _measured(Retrained(predicted, inside))
    assert np.ptp(exact) > 0.3
    # Monte-Carlo error of 128 models: sqrt(2/pi) phi(d/2) / 2 / sqrt(32) on average, 0.027 at most.
    assert np.abs(found.value - exact).mean() < 0.03
    assert abs((found.value - exact).mean()) < 0.01
    # The law of 150 records is known less well than that of thousands.
    assert ((found.low <= exact) & (exact <= found.high)).mean() > 0.85


def test_conformal_p_values_are_uniform_for_strangers_and_never_below_their_resolution() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([risk.conformal(rng.normal(size=50), rng.normal(size=199)) for _ in range(400)])
    assert p.min() == pytest.approx(1 / 200)
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.015)
    tied = risk.conformal(np.array([1.0, 2.0]), np.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(tied, [3 / 4, 1 / 4])


def test_a_record_that_every_model_holds_or_lacks_has_no_risk_that_is_known() -> None:
    known = _known(np.random.default_rng(3), np.full(30, 4.0), 20)
    known.inside[:, 0], known.inside[:, 1] = True, False
    found = _measured(known)
    assert (found.value[:2] == 0.5).all() and (found.low[:2] == 0.5).all() and (found.high[:2] == 1.0).all()
    assert (found.value[2:] > 0.8).all() and np.isfinite(found.low).all()
