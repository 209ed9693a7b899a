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


@pytest.mark.parametrize("models", [24, 64])
@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0])
def test_risk_is_that_of_the_law_and_its_interval_covers(models: int, distance: float) -> None:
    found = risk.measure(_known(np.random.default_rng(models), np.full(4000, distance), models), level=0.95)
    exact = stats.norm.cdf(distance / 2)
    assert np.median(found.value) == pytest.approx(exact, abs=0.01)
    covered = ((found.low <= exact) & (exact <= found.high)).mean()
    assert 0.93 < covered < 0.97
    # One-sided: the lower limit lies above the truth for about one record in forty.
    assert (found.low > exact).mean() < 0.035
    assert ((found.low <= found.value) & (found.value <= found.high)).all()


def test_the_upward_bias_of_few_models_is_corrected() -> None:
    rng = np.random.default_rng(0)
    distance = np.abs(rng.normal(0, 0.5, 6000))
    few = _known(rng, distance, 16)
    inside, outside = (np.ma.array(few.margin, mask=m) for m in (~few.inside, few.inside))
    pooled = np.sqrt((inside.var(0, ddof=1) + outside.var(0, ddof=1)) / 2)
    raw = float(stats.norm.cdf(np.abs(inside.mean(0) - outside.mean(0)) / pooled / 2).mean())
    exact = float(stats.norm.cdf(distance / 2).mean())
    found = risk.average(few, level=0.95)
    assert found.value is not None
    assert raw - exact > 0.03
    assert abs(found.value - exact) < 0.5 * (raw - exact)


def test_where_membership_changes_nothing_the_average_is_what_chance_leaves() -> None:
    for models in (16, 64):
        known = _known(np.random.default_rng(models), np.zeros(8000), models)
        found = risk.average(known, level=0.95)
        assert found.value == pytest.approx(risk.average_of_nothing(known), abs=0.004)
        assert (risk.measure(known, level=0.95).low == 0.5).mean() > 0.93
    assert found.value is not None and found.value < 0.53


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
    found = risk.measure(Retrained(predicted, inside), level=0.95)
    assert np.ptp(exact) > 0.3
    # Monte-Carlo error of 128 models: sqrt(2/pi) phi(d/2) / 2 / sqrt(32) on average, 0.027 at most.
    assert np.abs(found.value - exact).mean() < 0.03
    assert abs((found.value - exact).mean()) < 0.01
    assert ((found.low <= exact) & (exact <= found.high)).mean() > 0.9


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
    found = risk.measure(known, level=0.95)
    assert (found.value[:2] == 0.5).all() and (found.low[:2] == 0.5).all() and (found.high[:2] == 1.0).all()
    assert (found.value[2:] > 0.8).all() and np.isfinite(found.low).all()
