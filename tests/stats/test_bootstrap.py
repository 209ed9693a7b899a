from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from auditkit.errors import NumericsError
from auditkit.stats import bootstrap

Ints = np.ndarray


def one_record_each(events: Ints, trials: Ints) -> bootstrap.Sample:
    groups = len(events)
    one = np.eye(groups, dtype=np.int64)
    return bootstrap.Sample(
        events=np.concatenate([one, 0 * one]),
        trials=np.concatenate([one, one]),
        counts=np.concatenate([events, trials - events]).astype(np.int64),
    )


def bands(sample: bootstrap.Sample, *, replicates: int, seed: int, k: int = 1) -> dict[str, bootstrap.Band]:
    extra = bootstrap.added(level=0.95, family=k)
    drawn = bootstrap.resampled(sample, extra=extra, replicates=replicates, generator=np.random.default_rng(seed))
    groups = np.arange(k)
    return {
        kind: bootstrap.compare(sample=sample, drawn=drawn, groups=groups, reference=k, scale=kind, level=0.95)
        for kind in ("difference", "ratio")
    }


def test_compas_false_positive_gap() -> None:
    found = bands(one_record_each(np.array([805, 349]), np.array([1795, 1488])), replicates=10_000, seed=1)
    gap, ratio = found["difference"], found["ratio"]
    assert (gap.low[0], gap.high[0]) == pytest.approx((0.182, 0.245), abs=0.0015)
    assert (ratio.low[0], ratio.high[0]) == pytest.approx((1.725, 2.133), abs=0.012)


def test_same_seed_same_limits_and_another_seed_other_limits() -> None:
    # Two comparisons: a single one may rest on the normal floor of `max_t`, which no seed moves.
    sample = one_record_each(np.array([12, 20, 30]), np.array([50, 60, 90]))
    first, again, other = (bands(sample, replicates=1_000, seed=s, k=2)["difference"].low[0] for s in (1, 1, 2))
    assert first == again != other


def test_kinds_outside_the_denominator_are_dropped_and_equal_kinds_joined() -> None:
    sample = bootstrap.Sample(
        events=np.array([[1, 0], [0, 0], [1, 0]]), trials=np.array([[1, 0], [0, 0], [1, 0]]), counts=np.array([3, 9, 4])
    )
    merged = sample.merged()
    assert (merged.events.tolist(), merged.trials.tolist(), merged.counts.tolist()) == ([[1, 0]], [[1, 0]], [7])
    nobody = bootstrap.Sample(events=np.zeros((1, 2), int), trials=np.zeros((1, 2), int), counts=np.array([5]))
    with pytest.raises(NumericsError):
        bootstrap.resampled(nobody, extra=0.6, replicates=10, generator=np.random.default_rng(0))


def test_a_chunk_boundary_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = one_record_each(np.array([12, 30]), np.array([50, 90]))
    whole = bootstrap.resampled(sample, extra=0.6, replicates=1_000, generator=np.random.default_rng(4))
    monkeypatch.setattr(bootstrap, "_CHUNK", 700)
    parts = bootstrap.resampled(sample, extra=0.6, replicates=1_000, generator=np.random.default_rng(4))
    assert np.array_equal(whole.rate, parts.rate)
    assert np.array_equal(whole.error, parts.error)


def test_persons_who_repeat_themselves_widen_by_the_root_of_two() -> None:
    single = one_record_each(np.array([300, 400]), np.array([1000, 1000]))
    twice = bootstrap.Sample(events=2 * single.events, trials=2 * single.trials, counts=single.counts // 2)
    assert bootstrap.observed(twice, extra=0.6).trials.tolist() == bootstrap.observed(single, extra=0.6).trials.tolist()
    width = [
        float((band.high - band.low)[0])
        for band in (bands(s, replicates=10_000, seed=3)["difference"] for s in (single, twice))
    ]
    assert width[1] / width[0] == pytest.approx(np.sqrt(2), rel=0.04)


def test_limits_hold_the_observed_value_and_stay_in_range() -> None:
    for events, trials in (([0, 30], [30, 30]), ([30, 0], [30, 30]), ([5, 200], [10, 200])):
        found = bands(one_record_each(np.array(events), np.array(trials)), replicates=1_000, seed=0)["difference"]
        observed = events[0] / trials[0] - events[1] / trials[1]
        assert -1 <= found.low[0] <= observed <= found.high[0] <= 1
        assert found.high[0] - found.low[0] > 0.02


@pytest.mark.parametrize(
    ("n", "n0", "p", "p0", "k"),
    [
        (30, 1000, 0.05, 0.10, 1),  # the plain bootstrap covers 0.78 here
        (30, 100, 0.30, 0.50, 1),
        (100, 100, 0.20, 0.20, 4),
        (60, 400, 0.40, 0.50, 4),
        (30, 1000, 0.90, 0.90, 4),  # half an event added, whatever the family, covers 0.87 here
        (30, 1000, 0.50, 0.50, 8),  # one common standard error covers 0.88 here
    ],
)
def test_family_wise_coverage(n: int, n0: int, p: float, p0: float, k: int) -> None:
    """Every interval of the family holds at once in at least 95 % of samples, less three binomial errors."""
    generator = np.random.default_rng([n, n0, k])
    samples, held = 500, {"difference": 0, "ratio": 0}
    judged = {"difference": samples, "ratio": 0}
    for _ in range(samples):
        events = np.append(generator.binomial(n, p, k), generator.binomial(n0, p0))
        sample = one_record_each(events, np.append(np.full(k, n), n0))
        found = bands(sample, replicates=600, seed=int(generator.integers(2**31)), k=k)
        truth = {"difference": p - p0, "ratio": p / p0}
        for kind, band in found.items():
            if kind == "ratio" and events.min() < 5:
                continue
            judged["ratio"] += kind == "ratio"
            held[kind] += bool(((band.low <= truth[kind]) & (truth[kind] <= band.high)).all())
    for kind, count in judged.items():
        if count >= samples // 2:
            assert held[kind] / count >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / count)


def test_more_is_added_where_the_family_reaches_further_into_the_tails() -> None:
    assert bootstrap.added(level=0.95, family=1) == pytest.approx(1.959964**2 / 6)
    assert bootstrap.added(level=0.95, family=8) > bootstrap.added(level=0.95, family=4) > 1.0


def test_intervals_narrow_as_records_come() -> None:
    widths = []
    for factor in (1, 4, 16):
        sample = one_record_each(np.array([12, 15]) * factor, np.array([40, 40]) * factor)
        band = bands(sample, replicates=4_000, seed=factor)["difference"]
        widths.append(float(band.high[0] - band.low[0]))
    assert all(later == pytest.approx(earlier / 2, rel=0.08) for earlier, later in pairwise(widths))
