"""Moments of both sides in one pass are those of each side by itself."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.privacy.shrinkage import both_sides, moments


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
