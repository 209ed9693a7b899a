"""Moments of both sides in one pass are those of each side by itself."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.privacy.shrinkage import both_sides, moments, shrink


@pytest.mark.parametrize("apart", [0.0, 1.0, 1e4])
def test_both_sides_are_the_moments_of_each(apart: float) -> None:
    generator = np.random.default_rng(0)
    inside = generator.random((64, 500)) < 0.5
    inside[:, 0], inside[:, 1] = True, False
    margin = generator.normal(3.0, 1.0, (64, 500)) + apart * inside
    for found, chosen in zip(both_sides(margin, inside), (inside, ~inside), strict=True):
        own = moments(margin, chosen)
        np.testing.assert_array_equal(found.n, own.n)
        np.testing.assert_allclose(found.mean, own.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.squares, own.squares, rtol=1e-6, atol=1e-12 * apart**2 + 1e-9)


@pytest.mark.parametrize("models", [16, 106, 1000])
@pytest.mark.parametrize("answer", [34.53877639491066, -34.53877639491066, 0.1, 10.0 / 3, -1e3 / 3, 1e5 / 7])
def test_a_record_whose_answers_are_all_alike_does_not_decide_what_the_others_have_in_common(
    answer: float, models: int
) -> None:
    # Its variance is rounding, of which the logarithm would outweigh those of all other records.
    generator = np.random.default_rng(0)
    margin = generator.normal(2.0, 0.3, (models, 400)) * generator.gamma(4.0, 0.25, 400)
    margin[:, 0] = answer
    chosen = generator.random(margin.shape) < 0.5
    with_it, alone = (
        shrink(found.squares, found.n - 1) for found in (moments(margin, chosen), moments(margin[:, 1:], chosen[:, 1:]))
    )
    np.testing.assert_allclose(with_it.variance[1:], alone.variance, rtol=1e-12)
    np.testing.assert_allclose(with_it.freedom[1:], alone.freedom, rtol=1e-12)
    order = generator.permutation(models)
    turned = moments(margin[order], chosen[order])
    np.testing.assert_allclose(shrink(turned.squares, turned.n - 1).freedom, with_it.freedom, rtol=1e-9)
