from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from auditkit.errors import NumericsError
from auditkit.stats.multiplicity import max_t, sidak


def test_one_member_needs_the_ordinary_critical_value() -> None:
    statistics = np.random.default_rng(1).normal(size=(40_000, 1))
    assert max_t(statistics, level=0.95) == pytest.approx(1.96, abs=0.03)
    assert max_t(statistics / 10, level=0.95) == pytest.approx(1.96, abs=0.001)


def test_independent_members_need_sidaks_value_and_dependent_ones_less() -> None:
    generator = np.random.default_rng(2)
    own, shared = generator.normal(size=(40_000, 5)), generator.normal(size=(40_000, 1))
    independent = max_t(own, level=0.95)
    dependent = max_t((own + 2 * shared) / np.sqrt(5), level=0.95)
    assert independent == pytest.approx(norm.ppf(0.5 + sidak(level=0.95, family=5) / 2), abs=0.03)
    assert 1.96 < dependent < independent - 0.1


def test_sidak_and_refusals() -> None:
    assert sidak(level=0.95, family=1) == 0.95
    assert sidak(level=0.95, family=3) ** 3 == pytest.approx(0.95)
    with pytest.raises(NumericsError):
        sidak(level=0.95, family=0)
    with pytest.raises(NumericsError):
        max_t(np.array([[1.0], [np.nan]]), level=0.95)
