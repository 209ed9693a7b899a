"""Two proportions, and families of p-values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.stats.proportions import adjusted, fisher, two_proportion_z

P = np.array([0.01, 0.04, 0.03, 0.005])


def test_z_is_pearsons_chi_squared() -> None:
    table = [[30, 70], [55, 65]]
    found = two_proportion_z(rates=(0.3, 55 / 120), n=(100, 120))
    assert found == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert two_proportion_z(rates=(0.0, 0.0), n=(10, 10)) is None


def test_fisher_of_the_tea() -> None:
    """Fisher (1935): 3 of 4 cups told apart; the two-sided p is 34/70."""
    assert fisher(events=(3, 1), n=(4, 4)) == pytest.approx(34 / 70)
    with pytest.raises(NumericsError):
        fisher(events=(5, 1), n=(4, 4))


def test_adjustments_by_hand() -> None:
    np.testing.assert_allclose(adjusted(P, method="holm"), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(adjusted(P, method="bh"), [0.02, 0.04, 0.04, 0.02])
    np.testing.assert_allclose(adjusted(P, method="simultaneous"), 1 - (1 - P) ** 4)
    assert adjusted([], method="holm").size == 0
    np.testing.assert_allclose(adjusted([1e-80, 0.5], method="simultaneous"), [2e-80, 0.75])


@pytest.mark.parametrize("method", ["simultaneous", "holm"])
def test_the_chance_of_any_false_finding_stays_at_the_level(method: str) -> None:
    draws = np.random.default_rng(11).uniform(size=(6_000, 6))
    found = np.mean([(adjusted(p, method=method).min() <= 0.05) for p in draws])  # type: ignore[arg-type]
    assert found <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 6_000)
