"""Rates of overlapping and of probable groups against sums written out, against the plain engine, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fairlearn.metrics import selection_rate
from scipy import stats

from auditkit.errors import DataError
from auditkit.fairness import measure, measure_membership
from auditkit.fairness.membership.bounds import ends
from auditkit.fairness.membership.contrasts import critical_value, difference
from auditkit.fairness.membership.sums import Rows, kish, shares
from auditkit.fairness.metrics import METRICS
from auditkit.result import MembershipPart
from auditkit.stats.intervals import critical, wilson_bounds
from auditkit.stats.multiplicity import sidak

RATE = METRICS["selection_rate"]


def rows_of(share: np.ndarray, decision: np.ndarray, *, soft: bool, truth: np.ndarray | None = None) -> Rows:
    known = np.ones(len(share), dtype=bool)
    label = np.zeros(len(share)) if truth is None else truth
    cell = (label * 2 + decision).astype(np.int64)
    return Rows(share=share, known=known, cell=cell, persons=np.arange(len(share)), weights=None, soft=soft)


def value(part: MembershipPart, measure_: str, group: str) -> float | None:
    return next(m.estimate for m in part.measurements if (m.measure, m.group) == (measure_, group)).value


def test_exclusive_memberships_give_the_plain_engine_s_rates_and_intervals() -> None:
    rng = np.random.default_rng(1)
    code = rng.integers(0, 3, 900)
    truth, decision = rng.integers(0, 2, (2, 900)).astype(float)
    plain = measure(truth, decision, groups={"race": np.array(["a", "b", "c"])[code]}, reference={"race": "a"})
    own = measure_membership(
        truth, decision, groups={name: code == k for k, name in enumerate("abc")}, kind="several", reference="a"
    )
    for name in METRICS:
        for group in "abc":
            mine, theirs = (
                next(m.estimate for m in part.measurements if m.measure == f"fairness.{name}" and m.group == group)
                for part in (own, plain)
            )
            assert mine.value == pytest.approx(theirs.value, abs=1e-12)
            assert (mine.n, mine.events) == (theirs.n, theirs.events)
            assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_group_of_several_has_fairlearn_s_rate_and_the_plain_ratio() -> None:
    rng = np.random.default_rng(2)
    member = rng.random((1200, 2)) < (0.6, 0.5)
    truth, decision = rng.integers(0, 2, (2, 1200)).astype(float)
    part = measure_membership(truth, decision, groups={"a": member[:, 0], "b": member[:, 1]}, kind="several")
    rates = [selection_rate(truth[m], decision[m]) for m in member.T]
    assert [value(part, "fairness.selection_rate", g) for g in "ab"] == pytest.approx(rates, abs=1e-12)
    assert value(part, "fairness.impact_ratio", "b") == pytest.approx(rates[1] / rates[0], abs=1e-12)
    outside = measure_membership(
        truth, decision, groups={"a": member[:, 0], "b": member[:, 1]}, kind="several", reference="others"
    )
    apart = decision[member[:, 1]].mean() - decision[~member[:, 1]].mean()
    assert value(outside, "fairness.selection_rate_difference", "b") == pytest.approx(apart, abs=1e-12)


def test_the_weighted_estimator_is_the_ratio_of_the_two_sums() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet([1, 2, 3], 800)
    truth, decision = rng.integers(0, 2, (2, 800)).astype(float)
    weight = rng.uniform(0.2, 3.0, 800)
    groups = {name: p[:, k] for k, name in enumerate("abc")}
    plain = measure_membership(truth, decision, groups=groups, kind="probabilities")
    weighed = measure_membership(truth, decision, groups=groups, kind="probabilities", weights=weight)
    for k, group in enumerate("abc"):
        for part, w in ((plain, np.ones(800)), (weighed, weight)):
            tpr = (w * p[:, k] * truth * decision).sum() / (w * p[:, k] * truth).sum()
            assert value(part, "fairness.tpr", group) == pytest.approx(tpr, abs=6e-5)


def test_its_bias_is_minus_the_covariance_given_the_proxies_over_the_share() -> None:
    rng = np.random.default_rng(4)
    m = 400_000
    p = rng.choice([0.1, 0.4, 0.8], m)
    member = rng.random(m) < p
    decision = rng.random(m) < 0.5 - 0.3 * member
    found = shares(rows_of(p[:, None], decision.astype(float), soft=True), RATE)
    covariance = sum(
        (p == level).mean() * np.cov(member[p == level], decision[p == level])[0, 1] for level in (0.1, 0.4, 0.8)
    )
    bias = found.values[0] - decision[member].mean()
    assert bias == pytest.approx(-covariance / member.mean(), abs=4e-3)
    assert bias > 0.1  # the members are selected less often, and the estimate hides part of it


def _by_program(share: np.ndarray, event: np.ndarray, trial: np.ndarray, *, sign: int) -> float:
    """The same bound of one bin by going through every way in which members could have the events."""
    n, members = len(share), share.sum()
    events, others = event.sum(), (trial - event).sum()
    best = -math.inf
    for with_event in np.linspace(0, min(members, events), 201):
        for without in np.linspace(0, min(members, others), 201):
            rest = members - with_event - without
            if -1e-9 <= rest <= n - events - others + 1e-9 and with_event + without > 0:
                best = max(best, sign * with_event / (with_event + without))
    return sign * best


@pytest.mark.parametrize("seed", range(2))
def test_bounds_are_those_of_every_possible_joint_distribution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = np.full(40, 0.2 + 0.15 * seed)
    truth, decision = (rng.random((2, 40)) < [[0.6], [0.45]]).astype(float)
    rows = rows_of(share[:, None], decision, soft=True, truth=truth)
    for name in ("selection_rate", "tpr", "ppv"):
        metric = METRICS[name]
        event, trial = (np.isin(rows.cell, [2 * t + d for t, d in part]) for part in (metric.events, metric.trials))
        found = ends(rows, metric, 0)
        assert found is not None
        assert found.low == pytest.approx(_by_program(share, event, trial * 1.0, sign=-1), abs=0.02)
        assert found.high == pytest.approx(_by_program(share, event, trial * 1.0, sign=1), abs=0.02)
        estimate = shares(rows, metric).values[0]
        assert found.low - 1e-12 <= estimate <= found.high + 1e-12


def test_influence_is_the_derivative_of_the_rate_and_of_its_bounds() -> None:
    rng = np.random.default_rng(6)
    share = rng.random((300, 1))
    decision = (rng.random(300) < 0.4).astype(float)
    rows, h = rows_of(share, decision, soft=True), 1e-6
    low = ends(rows, RATE, 0)
    assert low is not None
    assert low.low_influence.sum() == pytest.approx(0, abs=1e-12)
    for k in (0, 17, 250):
        weight = np.ones(300)
        weight[k] += h
        moved = Rows(**{**{f: getattr(rows, f) for f in rows.__dataclass_fields__}, "weights": weight})
        step = (shares(moved, RATE).values[0] - shares(rows, RATE).values[0]) / h
        assert shares(rows, RATE).influence[k, 0] == pytest.approx(step, abs=1e-6)
        end = ends(moved, RATE, 0)
        assert end is not None
        assert low.low_influence[k] == pytest.approx((end.low - low.low) / h, abs=1e-6)
        assert low.high_influence[k] == pytest.approx((end.high - low.high) / h, abs=1e-6)


def test_two_records_of_one_person_are_not_two_witnesses() -> None:
    rng = np.random.default_rng(7)
    share = rng.dirichlet([1, 1], 400)
    decision = (rng.random(400) < 0.4).astype(float)
    once = rows_of(share, decision, soft=True)
    twice = Rows(
        share=np.repeat(share, 2, axis=0), known=np.ones(800, dtype=bool), cell=np.repeat(once.cell, 2),
        persons=np.repeat(once.persons, 2), weights=None, soft=True,
    )  # fmt: skip
    np.testing.assert_allclose(shares(twice, RATE).effective, shares(once, RATE).effective, rtol=0.01)
    np.testing.assert_allclose(kish(np.ones((9, 1))), [9.0])


def covered(kind: str, n: int, base: float, *, repeats: int, seed: int) -> tuple[float, float]:
    """Share of simulated files in which all rates, and all differences, lie within their simultaneous intervals."""
    rng = np.random.default_rng(seed)
    big = 400_000
    share, chance = _population(kind, big, base, rng)
    true = (share * chance[:, None]).sum(axis=0) / share.sum(axis=0)
    z, hit = critical(sidak(level=0.95, family=3)), np.zeros(2)
    for _ in range(repeats):
        share, chance = _population(kind, n, base, rng)
        found = shares(rows_of(share, (rng.random(n) < chance) * 1.0, soft=kind == "probabilities"), RATE)
        limits = [wilson_bounds(rate=found.values[c], n=found.effective[c], z=z) for c in range(3)]
        hit[0] += all(low <= t <= high for t, (low, high) in zip(true, limits, strict=True))
        pairs = ((1, 0), (2, 0))
        c = critical_value(found, pairs, logs=False, level=0.95, replicates=1000, generator=rng)
        made = [difference(found, pair, z=c) for pair in pairs]
        hit[1] += all(d.low <= true[a] - true[b] <= d.high for d, (a, b) in zip(made, pairs, strict=True))
    return hit[0] / repeats, hit[1] / repeats


def _population(kind: str, n: int, base: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if kind == "probabilities":
        share = rng.dirichlet([2, 1, 0.7], n)
        return share, base * (0.5 + share[:, 0])
    u = rng.random((n, 4))
    first = u[:, 0] < 0.5
    share = np.stack([first, (u[:, 1] < 0.4) | (first & (u[:, 3] < 0.3)), u[:, 2] < 0.2], axis=1) * 1.0
    return share, base * (1 + 0.5 * share[:, 0] - 0.3 * share[:, 2])


@pytest.mark.parametrize("kind", ["several", "probabilities"])
def test_simultaneous_coverage(kind: str) -> None:
    repeats = 150
    least = 0.95 - 3.5 * math.sqrt(0.95 * 0.05 / repeats)
    assert min(covered(kind, 300, 0.3, repeats=repeats, seed=11)) >= least


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["several", "probabilities"])
def test_simultaneous_coverage_over_a_grid(kind: str, record_property: pytest.RecordProperty) -> None:
    grid = [covered(kind, n, p, repeats=2000, seed=n) for n in (100, 300, 1000) for p in (0.05, 0.1, 0.3, 0.6)]
    for k, what in enumerate(("rates", "differences")):
        own = [pair[k] for pair in grid]
        record_property(f"coverage of {what}, {kind}, mean", float(np.mean(own)))
        record_property(f"coverage of {what}, {kind}, minimum", min(own))
        assert np.mean(own) >= 0.945
        assert min(own) >= 0.91


def test_the_region_holds_the_true_rate_however_group_and_decision_go_together() -> None:
    rng = np.random.default_rng(12)
    missed = 0
    for tilt in (-1.0, 0.0, 1.0):
        for _ in range(40):
            p = rng.choice([0.15, 0.35, 0.6], 600)
            member = rng.random(600) < p
            # As strongly together, or apart, as the two shares allow: the corners of the bounds.
            chance = {1.0: np.where(member, 0.9, 0.1), -1.0: np.where(member, 0.05, 0.8), 0.0: np.full(600, 0.4)}[tilt]
            decision = (rng.random(600) < chance) * 1.0
            found = ends(rows_of(p[:, None], decision, soft=True), RATE, 0)
            assert found is not None
            low = found.low - 1.96 * math.sqrt(found.low_influence @ found.low_influence)
            high = found.high + 1.96 * math.sqrt(found.high_influence @ found.high_influence)
            missed += not low <= {1.0: 0.9, -1.0: 0.05, 0.0: 0.4}[tilt] <= high
    assert missed <= stats.binom.ppf(0.999, 120, 0.05)


def test_the_door_says_what_is_wrong() -> None:
    truth = np.ones(50)
    with pytest.raises(DataError, match="more than 1"):
        measure_membership(truth, truth, groups={"a": truth, "b": truth}, kind="probabilities")
    with pytest.raises(DataError, match="outside 0 to 1"):
        measure_membership(truth, truth, groups={"a": 60 * truth}, kind="probabilities", reference="others")
    with pytest.raises(DataError, match="neither 0, 1 nor missing"):
        measure_membership(truth, truth, groups={"a": truth / 2}, kind="several")
    with pytest.raises(DataError, match="no group"):
        measure_membership(truth, truth, groups={"a": truth}, kind="several", reference="z")
    with pytest.raises(DataError, match="one length"):
        measure_membership(truth, truth[:9], groups={"a": truth}, kind="several")
    with pytest.raises(DataError, match="weights"):
        measure_membership(truth, truth, groups={"a": truth}, kind="several", weights=-truth)
