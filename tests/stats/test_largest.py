from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.stats.largest import correlation, joint_level


def _critical(level: float) -> float:
    return float(stats.norm.ppf(0.5 + level / 2))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_equal_figures_cost_nothing_and_independent_ones_what_independence_costs(count: int, level: float) -> None:
    generator = np.random.default_rng(0)
    one = generator.normal(size=4000)
    same = joint_level([one] * count, level=level)
    assert _critical(same) == pytest.approx(_critical(level), abs=0.01)
    apart = np.linalg.qr(generator.normal(size=(4000, count)))[0].T
    apart = joint_level(list(apart), level=level)
    # P(max of A independent Z <= c) = Phi(c)^A.
    exact = stats.norm.ppf((0.5 + level / 2) ** (1 / count))
    assert _critical(apart) == pytest.approx(exact, abs=0.01)


def test_the_critical_value_is_that_of_the_joint_law() -> None:
    generator = np.random.default_rng(1)
    law = np.array([[1, 0.8, 0.3], [0.8, 1, 0.5], [0.3, 0.5, 1]])
    pulls = generator.multivariate_normal(np.zeros(3), law, size=20000).T
    found = correlation(list(pulls))
    assert found == pytest.approx(law, abs=0.02)
    critical = _critical(joint_level(list(pulls), level=0.95))
    assert stats.multivariate_normal(cov=found).cdf(np.full(3, critical)) == pytest.approx(0.975, abs=5e-4)


def test_a_figure_without_spread_is_independent_and_persons_are_the_units() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.normal(size=(2, 900))
    assert correlation([one, np.zeros(900)]) == pytest.approx(np.eye(2))
    # Records of a person pull apart, their sums together.
    persons = np.repeat(np.arange(300), 3)
    shared = np.repeat(generator.normal(size=300), 3)
    assert correlation([one + shared, other + shared])[0, 1] < 0.7
    assert correlation([one + 9 * shared, other + 9 * shared], persons=persons)[0, 1] > 0.98
    assert correlation([one - shared / 3, other - shared / 3], persons=np.arange(900)) == pytest.approx(
        correlation([one - shared / 3, other - shared / 3])
    )
