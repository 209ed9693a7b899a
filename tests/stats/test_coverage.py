"""The acceptance line on intervals: coverage of rates by enumeration, of differences and ratios by simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from auditkit.fairness.disparity import FIRM_EVENTS, MINIMUM_EVENTS, widened
from auditkit.result import Estimate
from auditkit.stats import bootstrap
from auditkit.stats.intervals import critical, wilson_bounds
from auditkit.stats.mover import Bounded, difference, rate, ratio
from auditkit.stats.multiplicity import sidak
from auditkit.stats.permutation import widest_gap

LEVEL, MEAN, LEAST = 0.95, 0.945, 0.91
NS = (30, 100, 1_000)
RATES = np.arange(0.02, 0.5001, 0.01)
FEW = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
APART = 1.5
"""The reference's rate over the group's, where they differ; at most 0.75."""
Ints = np.ndarray


def enumerated(n: int, rates: np.ndarray, z: float) -> np.ndarray:
    """Exact coverage of Wilson's interval: the probability of all counts whose interval holds the rate."""
    limits = np.array([wilson_bounds(rate=x / n, n=n, z=z) for x in range(n + 1)])
    held = (limits[:, :1] <= rates) & (rates <= limits[:, 1:])
    return np.asarray((stats.binom.pmf(np.arange(n + 1)[:, None], n, rates) * held).sum(axis=0))


@dataclass
class Held:
    """How often intervals of one kind held their value, scene by scene, where enough samples could be judged."""

    shares: list[float] = field(default_factory=list)

    def check(self, samples: int) -> None:
        """The mean over the grid and the least, each up to three errors of simulation."""
        assert np.mean(self.shares) >= MEAN - 3 * math.sqrt(MEAN * (1 - MEAN) / samples / len(self.shares))
        assert min(self.shares) >= LEAST - 3 * math.sqrt(LEAST * (1 - LEAST) / samples)


def simulated(
    n: int, bases: Sequence[int], rates: Sequence[float], *, samples: int, replicates: int, seed: int
) -> dict[str, Held]:
    """Coverage of the audit's bootstrap of one comparison, and of the closed forms of its equivalence tests.

    The two are alike and apart. A ratio is judged where both sides expect five events, on the samples that show them:
    the others are refused.
    """
    found = {name: Held() for name in ("difference", "ratio", "closed difference", "closed ratio")}
    pairs = [(p, min(0.75, p * times)) for p in rates for times in (1.0, APART)]
    for at, (base, (p, q)) in enumerate(itertools.product(bases, pairs)):
        draw = np.random.default_rng([seed, n, at])
        held = dict.fromkeys(found, 0)
        drawn = zip(draw.binomial(n, p, samples).tolist(), draw.binomial(base, q, samples).tolist(), strict=True)
        judged = 0
        for events in drawn:
            enough = min(events) >= MINIMUM_EVENTS
            judged += enough
            bands = closed(events, (n, base)) | resampled(events, (n, base), replicates, draw)
            if enough and min(events) < FIRM_EVENTS:  # as in `disparity.comparisons`
                (low, high), (least, most) = bands["ratio"], bands["closed ratio"]
                band = widened(Estimate(value=1.0, low=low, high=high, level=LEVEL), Bounded(1.0, least, most))
                bands["ratio"] = float(band.low or 0.0), float(band.high or 0.0)
            for name, (low, high) in bands.items():
                value = p / q if "ratio" in name else p - q
                held[name] += (enough or "ratio" not in name) and low <= value <= high
        for name, own in found.items():
            if "ratio" not in name:
                own.shares.append(held[name] / samples)
            elif min(n * p, base * q) >= MINIMUM_EVENTS:
                own.shares.append(held[name] / judged)
    return found


def closed(events: tuple[int, int], trials: tuple[int, int]) -> dict[str, tuple[float, float]]:
    own, base = (rate(events=x, n=n, z=critical(LEVEL)) for x, n in zip(events, trials, strict=True))
    bands = {"closed difference": difference(own, base)}
    if min(events) > 0:
        bands["closed ratio"] = ratio(own, base)
    return {name: (band.low, band.high) for name, band in bands.items()}


def resampled(
    events: tuple[int, int], trials: tuple[int, int], replicates: int, draw: np.random.Generator
) -> dict[str, tuple[float, float]]:
    one = np.eye(2, dtype=np.int64)
    counts = np.array([*events, *(n - x for x, n in zip(events, trials, strict=True))])
    sample = bootstrap.Sample(np.concatenate([one, 0 * one]), np.concatenate([one, one]), counts)
    extra = bootstrap.added(level=LEVEL, family=1)
    drawn = bootstrap.resampled(sample, extra=extra, replicates=replicates, generator=draw)
    kinds: tuple[bootstrap.Scale, ...] = ("difference", "ratio")
    bands = {
        kind: bootstrap.compare(sample=sample, drawn=drawn, groups=np.array([0]), reference=1, scale=kind, level=LEVEL)
        for kind in kinds
    }
    return {kind: (float(band.low[0]), float(band.high[0])) for kind, band in bands.items()}


@pytest.mark.prove
@pytest.mark.parametrize("n", NS)
def test_coverage_of_rates_by_enumeration(n: int, record_property: pytest.RecordProperty) -> None:
    """One interval; and each of four that hold together, whose own level is Šidák's."""
    for family in (1, 4):
        level = sidak(level=LEVEL, family=family)
        reached = enumerated(n, RATES, critical(level))
        record_property(f"n {n}, family of {family}: level of each", level)
        record_property(f"n {n}, family of {family}: mean coverage", float(reached.mean()))
        record_property(f"n {n}, family of {family}: least coverage", float(reached.min()))
        assert reached.mean() >= level - (LEVEL - MEAN)
        assert reached.min() >= LEAST


def test_coverage_of_differences_and_ratios() -> None:
    samples = 120
    for own in simulated(100, (30,), (0.2, 0.5), samples=samples, replicates=300, seed=1).values():
        own.check(samples)


@pytest.mark.prove
@pytest.mark.parametrize("n", NS)
def test_coverage_of_differences_and_ratios_at_full_size(n: int, record_property: pytest.RecordProperty) -> None:
    samples = 1_500
    found = simulated(n, NS, FEW, samples=samples, replicates=1_000, seed=2)
    for name, own in found.items():
        record_property(f"n {n}, {name}: scenes", len(own.shares))
        record_property(f"n {n}, {name}: mean coverage", float(np.mean(own.shares)))
        record_property(f"n {n}, {name}: least coverage", float(np.min(own.shares)))
        own.check(samples)
        assert np.mean(own.shares) >= MEAN


def any_wrong(trials: Ints, rate_of_all: float, *, samples: int, replicates: int, seed: int) -> dict[str, float]:
    """Share of null samples in which some interval of the family leaves out equality, or the widest gap is significant.

    The last group is the reference; a ratio's family is of the groups with five events, as the audit takes them.
    """
    draw = np.random.default_rng(seed)
    reference = len(trials) - 1
    one = np.eye(len(trials), dtype=np.int64)
    sides = np.concatenate([one, 0 * one]), np.concatenate([one, one])
    count = {"difference": 0, "ratio": 0, "widest gap": 0}
    for _ in range(samples):
        events = draw.binomial(trials, rate_of_all)
        sample = bootstrap.Sample(*sides, np.concatenate([events, trials - events]))
        extra = bootstrap.added(level=LEVEL, family=reference)
        drawn = bootstrap.resampled(sample, extra=extra, replicates=replicates, generator=draw)
        enough = np.flatnonzero(events[:-1] >= MINIMUM_EVENTS) if events[-1] >= MINIMUM_EVENTS else np.array([], int)
        families: dict[bootstrap.Scale, Ints] = {"difference": np.arange(reference), "ratio": enough}
        for scale, family in families.items():
            if not family.size:
                continue
            band = bootstrap.compare(
                sample=sample, drawn=drawn, groups=family, reference=reference, scale=scale, level=LEVEL
            )
            equal = 0.0 if scale == "difference" else 1.0
            count[scale] += bool(((band.low > equal) | (band.high < equal)).any())
        persons = np.stack([events, trials - events])
        shuffled = widest_gap(
            events=np.array([1, 0]), trials=np.array([1, 1]), persons=persons, replicates=replicates, generator=draw
        )
        count["widest gap"] += shuffled.p <= 1 - LEVEL
    return {name: wrong / samples for name, wrong in count.items()}


NULLS = (
    ((80, 120, 200, 400), 0.3), ((30, 30, 30, 30, 1_000), 0.5), ((100,) * 9, 0.2),
    ((50, 100, 300, 600, 1_000, 2_000), 0.1),
)  # fmt: skip


@pytest.mark.prove
@pytest.mark.parametrize(("trials", "rate_of_all"), NULLS)
def test_family_wise_error_under_the_null_at_full_size(
    trials: tuple[int, ...], rate_of_all: float, record_property: pytest.RecordProperty
) -> None:
    samples = 2_000
    found = any_wrong(np.array(trials), rate_of_all, samples=samples, replicates=1_000, seed=3)
    for name, share in found.items():
        record_property(f"{len(trials)} groups of {min(trials)} to {max(trials)}, rate {rate_of_all}: {name}", share)
        assert share <= 1 - LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / samples)
