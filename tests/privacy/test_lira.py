"""The likelihood-ratio attack against formulas: known laws, its predictive by quadrature, what few models leave."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.membership import Retrained
from auditkit.privacy.shrinkage import moments, shrink


def test_moments_are_numpys_on_the_models_chosen() -> None:
    rng = np.random.default_rng(0)
    margin, chosen = rng.normal(3, 2, (20, 7)), rng.random((20, 7)) < 0.5
    chosen[:, 6] = False
    found = moments(margin, chosen)
    for p in range(6):
        own = margin[chosen[:, p], p]
        assert found.n[p] == len(own)
        assert found.mean[p] == pytest.approx(own.mean())
        assert found.squares[p] == pytest.approx(own.var() * len(own))
    assert found.n[6] == 0 and np.isnan(found.mean[6]) and found.squares[6] == 0


@pytest.mark.parametrize(("prior", "scale"), [(6.0, 0.5), (20.0, 3.0)])
def test_the_prior_of_the_variances_is_recovered_and_shrinking_pays(prior: float, scale: float) -> None:
    rng = np.random.default_rng(3)
    true = prior * scale / rng.chisquare(prior, 20_000)
    freedom = np.full(20_000, 15)
    squares = true * rng.chisquare(15, 20_000)
    found = shrink(squares, freedom)
    assert found.freedom[0] - 15 == pytest.approx(prior, rel=0.1)
    # With no models of its own a record gets the common scale.
    assert shrink(np.append(squares, 0.0), np.append(freedom, 0)).variance[-1] == pytest.approx(scale, rel=0.05)
    raw, shrunken = (np.mean(np.log(v / true) ** 2) for v in (squares / 15, found.variance))
    assert shrunken < 0.95 * raw


def test_one_common_variance_is_pooled_completely() -> None:
    rng = np.random.default_rng(4)
    found = shrink(4.0 * rng.chisquare(10, 5000), np.full(5000, 10))
    assert found.variance.std() < 0.15 and found.variance.mean() == pytest.approx(4.0, rel=0.03)


def test_with_many_models_the_score_is_the_likelihood_ratio_of_the_true_laws() -> None:
    rng = np.random.default_rng(7)
    centre, gain, spread = rng.normal(0, 2, 300), rng.uniform(0, 3, 300), rng.uniform(0.5, 2, 300)
    inside = rng.random((4000, 300)) < 0.5
    margin = centre + gain * inside + spread * rng.normal(size=inside.shape)
    target = centre + 0.5 * gain + 0.5 * spread * rng.normal(size=300)
    exact = stats.norm.logpdf(target, centre + gain, spread) - stats.norm.logpdf(target, centre, spread)
    np.testing.assert_allclose(log_ratio(target, Retrained(margin, inside)), exact, atol=0.35)


def test_a_common_gain_gives_the_area_of_two_normal_laws() -> None:
    rng = np.random.default_rng(8)
    centre, inside = rng.normal(0, 5, 8000), rng.random((64, 8000)) < 0.5
    margin = centre + 1.0 * inside + rng.normal(size=inside.shape)
    member = np.arange(8000) < 4000
    target = centre + 1.0 * member + rng.normal(size=8000)
    area = roc_auc_score(member, log_ratio(target, Retrained(margin, inside)))
    # Known laws would give Phi(1/sqrt 2) = 0.760; estimating each record's two means from 32 models costs a little.
    assert 0.735 < area < 0.765


def test_a_record_that_too_few_models_lack_is_judged_neither_way() -> None:
    rng = np.random.default_rng(9)
    inside = rng.random((16, 50)) < 0.5
    inside[:, 0], inside[:, 1], inside[1:, 2] = True, False, False
    found = log_ratio(rng.normal(size=50), Retrained(rng.normal(size=(16, 50)), inside))
    assert np.isfinite(found).all() and (found[:3] == 0).all() and (found[3:] != 0).all()


def test_models_that_all_answer_alike_tell_nothing() -> None:
    inside = np.random.default_rng(1).random((16, 5)) < 0.5
    np.testing.assert_allclose(log_ratio(np.ones(5), Retrained(np.ones((16, 5)), inside)), 0.0, atol=0.1)
