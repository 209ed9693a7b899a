"""Places on the normal scale: equal to the plain formula where that is finite, and in order where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.privacy.attacks.lira_offline import normal_scale


@pytest.mark.parametrize("freedom", [1.5, 6.0, 40.0, 1e3, 1e6])
def test_places_are_those_of_the_plain_formula_where_it_is_finite(freedom: float) -> None:
    t = np.concatenate([-np.geomspace(1e-3, 30, 400), [0.0], np.geomspace(1e-3, 30, 400)])
    plain = np.where(t < 0, -stats.norm.isf(stats.t.cdf(t, freedom)), stats.norm.isf(stats.t.sf(t, freedom)))
    assert np.isfinite(plain).all()
    np.testing.assert_allclose(normal_scale(t, np.full(len(t), freedom)), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("freedom", [40.0, 1e3, 1e6])
def test_far_out_places_are_finite_symmetric_and_in_order(freedom: float) -> None:
    t = np.geomspace(20, 1e12, 4000)
    z = normal_scale(t, np.full(len(t), freedom))
    assert np.isfinite(z).all()
    gone = stats.t.sf(t, freedom) == 0
    assert freedom < 1e3 or gone.any()
    # The last tails above 0 have few digits left; where the tail underflows it is a formula, increasing again.
    whole = stats.t.sf(t, freedom) > 1e-300
    assert (np.diff(z[whole]) > 0).all() and (np.diff(z[gone]) > 0).all()
    assert not gone.any() or z[gone].min() > z[whole].max()
    np.testing.assert_array_equal(normal_scale(-t, np.full(len(t), freedom)), -z)


def test_the_normal_law_itself_keeps_its_place() -> None:
    # With a million degrees of freedom Student's t is the normal law to its fourth digit or so.
    z = normal_scale(np.array([1.0, 5.0, 60.0]), np.full(3, 1e12))
    np.testing.assert_allclose(z, [1.0, 5.0, 60.0], rtol=1e-3)
