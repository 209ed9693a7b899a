"""Differences and ratios of weighted rates: what the bootstrap of effective counts covers."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.fairness.weights import effective_sample
from auditkit.stats import bootstrap
from auditkit.stats.intervals import effective_n
from tests.fairness.test_weights import drawn

FEW = 5
Case = tuple[int, int, float, float, float, float]
"""Records of the group and of the reference, their rates, spread of the weights, and by how much heavy ones differ."""


def known(w: np.ndarray, e: np.ndarray) -> tuple[float, float]:
    total, squares = float(w.sum()), float(w @ w)
    rate = float(w @ e) / total
    spread = float(w**2 @ (e - rate) ** 2)
    return rate, effective_n(rate=rate, total=total, squares=squares, person_squares=squares, spread=spread)


def covered(case: Case, *, repeats: int, replicates: int) -> tuple[float, float, int]:
    """Share of samples whose interval holds the true difference, and ratio; and of how many the ratio has one."""
    n, m, p, q, spread, tilt = case
    generator = np.random.default_rng(0)
    (v, x), (w, y) = (
        drawn(rate, n=size, spread=spread, tilt=tilt, repeats=repeats, seed=seed)
        for rate, size, seed in ((p, n, 0), (q, m, 1))
    )
    hits, asked = np.zeros(2), np.zeros(2)
    for i in range(repeats):
        rates, effective = (np.array(part) for part in zip(known(v[i], x[i]), known(w[i], y[i]), strict=True))
        sample = effective_sample(rates, effective)
        extra = bootstrap.added(level=0.95, family=1)
        moments = bootstrap.resampled(sample, extra=extra, replicates=replicates, generator=generator)
        for at, scale in enumerate(("difference", "ratio")):
            if scale == "ratio" and min(x[i].sum(), y[i].sum(), (rates * effective).min()) < FEW:
                continue
            band = bootstrap.compare(
                sample=sample, drawn=moments, groups=np.array([0]), reference=1, scale=scale, level=0.95
            )
            asked[at] += 1
            hits[at] += band.low[0] <= (p - q, p / q)[at] <= band.high[0]
    share = hits / np.maximum(asked, 1)
    return float(share[0]), float(share[1]), int(asked[1])


def test_differences_and_ratios_of_weighted_rates_are_covered() -> None:
    for case in ((100, 300, 0.2, 0.3, 0.7, 0.7), (60, 200, 0.8, 0.6, 0.7, -0.7)):
        apart, times, _ = covered(case, repeats=120, replicates=400)
        assert apart >= 0.89
        assert times >= 0.89


@pytest.mark.prove
def test_they_are_covered_over_the_whole_grid(record_property: object) -> None:
    cases = [
        (n, m, p, q, spread, tilt)
        for n, m in ((30, 100), (100, 300), (300, 300))
        for p, q in ((0.05, 0.1), (0.2, 0.3), (0.5, 0.5), (0.8, 0.6))
        for spread, tilt in ((0.5, 0.0), (0.7, 0.7), (0.7, -0.7))
    ]
    found = [covered(case, repeats=800, replicates=1000) for case in cases]
    apart = [one for one, _, _ in found]
    times = [one for _, one, asked in found if asked >= 400]
    for name, values in (("differences", apart), ("ratios", times)):
        record_property(f"{name}_mean", float(np.mean(values)))  # type: ignore[operator]
        record_property(f"{name}_minimum", float(min(values)))  # type: ignore[operator]
        assert np.mean(values) >= 0.945
        assert min(values) >= 0.91
