"""Combined rates: published limits, coverage, and the gap that could be found held against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from auditkit.stats.intervals import critical
from auditkit.stats.mover import Bounded, detectable, difference, mean, odds, rate, ratio

Z = critical(0.95)


@pytest.mark.parametrize(
    ("a", "b", "limits"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ],
)
def test_differences_as_newcombe_printed_them(
    a: tuple[int, int], b: tuple[int, int], limits: tuple[float, float]
) -> None:
    """Stat. Med. 17 (1998) 873, table II, method 10."""
    found = difference(*(rate(events=x, n=n, z=Z) for x, n in (a, b)))
    assert (found.low, found.high) == pytest.approx(limits, abs=5e-5)


def test_a_ratio_reads_the_same_the_other_way_round() -> None:
    a, b = rate(events=30, n=100, z=Z), rate(events=60, n=120, z=Z)
    there, back = ratio(a, b), ratio(b, a)
    assert there.value == pytest.approx(0.6)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))
    assert there.low < 0.6 < there.high


def test_odds_of_a_share_are_the_ratio_of_the_counts() -> None:
    assert odds(rate(events=30, n=50, z=Z)).value == pytest.approx(30 / 20)
    assert odds(Bounded(1.0, 0.9, 1.0)).high == math.inf


@pytest.mark.parametrize(("p", "q", "n", "m"), [(0.8, 0.6, 40, 60), (0.95, 0.9, 100, 30), (0.3, 0.97, 200, 200)])
def test_the_mean_of_two_rates_covers(p: float, q: float, n: int, m: int) -> None:
    draw = np.random.default_rng(3)
    held = 0
    for x, y in zip(draw.binomial(n, p, 4_000), draw.binomial(m, q, 4_000), strict=True):
        found = mean(rate(events=int(x), n=n, z=Z), rate(events=int(y), n=m, z=Z))
        held += found.low <= (p + q) / 2 <= found.high
    assert 0.935 <= held / 4_000 <= 0.975


@pytest.mark.parametrize(
    ("base", "n", "m", "level"), [(0.3, 300, 900, 0.95), (0.5, 150, 150, 0.99), (0.85, 400, 2_000, 0.95)]
)
def test_the_detectable_gap_is_found_four_times_in_five(base: float, n: int, m: int, level: float) -> None:
    draw, z = np.random.default_rng(5), critical(level)
    for side, gap in detectable(base=base, n=n, base_n=m, level=level).items():
        own = base - gap if side == "lower" else base + gap
        x, y = draw.binomial(n, own, 40_000), draw.binomial(m, base, 40_000)
        pooled = (x + y) / (n + m)
        found = np.abs(x / n - y / m) > z * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        assert found.mean() == pytest.approx(0.8, abs=0.035), side


def test_no_gap_is_detectable_where_the_rate_has_no_room() -> None:
    assert set(detectable(base=0.01, n=50, base_n=50, level=0.95)) == {"higher"}
    assert detectable(base=0.5, n=3, base_n=3, level=0.95) == {}
