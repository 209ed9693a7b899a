from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.result import Estimate
from auditkit.stats.intervals import critical, wilson, wilson_bounds
from auditkit.stats.sizes import needed


@given(st.integers(20, 60), st.floats(0.2, 0.8), st.sampled_from([-0.04, -0.02, -0.01, 0.01, 0.03]))
def test_the_named_n_decides_and_a_tenth_less_does_not(n: int, rate: float, apart: float) -> None:
    estimate = wilson(events=round(rate * n), n=n, level=0.95)
    assert estimate.value is not None
    threshold = estimate.value + apart
    answer = needed(estimate=estimate, threshold=threshold, scale="rate")
    assert answer is not None
    assert answer > n
    z = critical(0.95)
    for records, decides in ((answer + 1, True), (int(answer * 0.9), False)):
        low, high = wilson_bounds(rate=estimate.value, n=records, z=z)
        assert (not low <= threshold <= high) is decides


def test_differences_and_ratios_scale_with_the_root_of_n() -> None:
    gap = Estimate(value=0.10, low=-0.02, high=0.22, n=100)
    assert needed(estimate=gap, threshold=0.0, scale="points") == 145  # 100 * (0.12 / 0.10)² = 144
    ratio = Estimate(value=0.7, low=0.7 / 1.5, high=0.7 * 1.5, n=200)
    factor = (math.log(1.5) / math.log(0.8 / 0.7)) ** 2
    assert needed(estimate=ratio, threshold=0.8, scale="ratio") == math.floor(200 * factor) + 1


@pytest.mark.parametrize(
    ("estimate", "threshold"),
    [
        (Estimate(value=None, withheld="few"), 0.5),
        (Estimate(value=0.5, low=0.4, high=0.6, n=None), 0.55),
        (Estimate(value=0.5, low=None, high=None, n=40), 0.55),
        (Estimate(value=0.5, low=0.4, high=0.6, n=100), 0.5),
        (Estimate(value=0.5, low=0.4, high=0.6, n=100), 0.7),
    ],
    ids=["no value", "n withheld", "no interval", "on the threshold", "decided already"],
)
def test_where_no_n_answers_the_question(estimate: Estimate, threshold: float) -> None:
    for scale in ("rate", "points", "ratio"):
        assert needed(estimate=estimate, threshold=threshold, scale=scale) is None
