"""Verdicts by Holm or Benjamini and Hochberg: the tests of thresholds, who gets one, and how often they err."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from scipy import optimize, stats

from auditkit.findings import judge
from auditkit.policy.schema import Rule
from auditkit.result import FairnessPart, Finding, ThresholdTest
from auditkit.result.comparisons import adjusted_by_threshold
from auditkit.stats.inversion import p_at
from auditkit.stats.mover import Bounded, difference, rate
from auditkit.stats.proportions import adjusted
from tests.fairness.evaluations import Counts, of_cells

MEN: Counts = (400, 400, 240, 960)
GROUPS: dict[str, Counts] = {
    "men": MEN, "a": (60, 40, 36, 64), "b": (62, 38, 34, 66), "c": (64, 36, 30, 70), "d": (55, 45, 20, 80),
}  # fmt: skip


def rule(measure: str, threshold: float, op: str = ">=", **more: str) -> Rule:
    given = {"id": "F1", "measure": f"fairness.{measure}", "on": "sex", "op": op, "threshold": threshold}
    return Rule.model_validate({**given, "severity": "high", "because": "a test", **more})


def audited(own: Rule, counts: dict[str, Counts], method: str, **options: float) -> tuple[FairnessPart, Finding]:
    found = of_cells(counts, reference="men", rules=(own,), multiplicity=method, **options)  # type: ignore[arg-type]
    (finding,), _ = judge(
        [own], measurements=found.measurements, groups=found.groups, not_assessed={}, maximum_unknown=0.2,
        as_of=date(2026, 11, 24), adjusted=adjusted_by_threshold(found.tests),
    )  # fmt: skip
    return found, finding


def by_group(found: FairnessPart) -> dict[str, ThresholdTest]:
    return {test.group: test for test in found.tests[0].thresholds}


def newcombe_reaches(events: tuple[int, int], n: tuple[int, int], at: float) -> float:
    """The p-value at which scipy's Wilson limits make Newcombe's interval of the difference end at `at`."""

    def short(log_p: float) -> float:
        level = 1 - math.exp(log_p)
        own, base = (stats.binomtest(x, m).proportion_ci(level, "wilson") for x, m in zip(events, n, strict=True))
        p, q = events[0] / n[0], events[1] / n[1]
        if at > p - q:
            return at - (p - q) - math.hypot(own.high - p, q - base.low)
        return (p - q) - at - math.hypot(p - own.low, base.high - q)

    return math.exp(optimize.brentq(short, math.log(1e-9), math.log(1 - 1e-9), xtol=1e-12))


def test_the_p_value_of_a_rate_is_the_score_tests() -> None:
    z = (0.3 - 0.4) / math.sqrt(0.4 * 0.6 / 80)
    own = p_at(lambda z: rate(events=24, n=80, z=z), at=0.4)
    assert own == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    assert p_at(lambda z: rate(events=24, n=80, z=z), at=0.3) == 1
    assert 0 < p_at(lambda z: rate(events=24, n=80, z=z), at=0.999) < 2e-15


def test_test_and_interval_agree() -> None:
    apart = apart_of(30, 55, n=(100, 120))
    p = p_at(apart, at=0.0)
    assert apart(float(stats.norm.isf(p / 2))).high == pytest.approx(0, abs=1e-9)
    assert p == pytest.approx(newcombe_reaches((30, 55), (100, 120), 0.0), rel=1e-6)


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_every_group_has_its_adjusted_test(method: str) -> None:
    found, _ = audited(rule("tpr_difference", -0.05), GROUPS, method)
    own = by_group(found)
    assert list(own) == ["a", "b", "c", "d"] and {t.family for t in own.values()} == {4}
    p = {g: newcombe_reaches((GROUPS[g][3], 960), (sum(GROUPS[g][2:]), 1200), -0.05) for g in own}
    for group, test in own.items():
        assert test.p == pytest.approx(p[group], rel=1e-6)
    order = sorted(p, key=p.__getitem__)
    if method == "holm":
        assert own[order[0]].adjusted_p == pytest.approx(4 * p[order[0]])
    else:
        assert own[order[-1]].adjusted_p == pytest.approx(p[order[-1]])


def test_stepwise_tests_decide_what_one_step_leaves_open() -> None:
    own = rule("tpr_difference", -0.025)
    one, holm, bh = (audited(own, GROUPS, method)[1] for method in ("simultaneous", "holm", "bh"))
    verdicts = {name: [g.verdict for g in f.groups] for name, f in (("one", one), ("holm", holm), ("bh", bh))}
    decided = {name: sum(v == "breaches" for v in found) for name, found in verdicts.items()}
    assert decided["one"] < decided["holm"] <= decided["bh"]
    assert (holm.verdict, bh.verdict) == ("breaches", "breaches")
    assert bh.groups[0].reason == "Benjamini and Hochberg's test against the threshold decides for the forbidden side"
    assert "decides for the forbidden side" in bh.sentence
    for finding, method in ((holm, "holm"), (bh, "bh")):
        found = by_group(audited(own, GROUPS, method)[0])
        for group in finding.groups:
            assert (group.verdict == "insufficient-evidence") == (found[group.group].adjusted_p > 0.05)


def test_without_a_stepwise_policy_nothing_is_tested_and_points_are_not_either() -> None:
    assert not audited(rule("tpr_difference", -0.05), GROUPS, "simultaneous")[0].tests[0].thresholds
    assert not audited(rule("tpr_difference", -0.05, proof="point"), GROUPS, "holm")[0].tests[0].thresholds


@pytest.mark.parametrize(
    ("measure", "threshold", "groups"),
    [
        ("selection_rate", 0.5, 5), ("impact_ratio", 0.8, 4), ("fpr_ratio", 0.8, 4), ("balanced_accuracy", 0.6, 5),
        ("balanced_accuracy_difference", -0.05, 4), ("equalised_odds_difference", 0.1, 4),
        ("treatment_equality", 0.8, 5), ("treatment_equality_ratio", 0.8, 4),
    ],
)  # fmt: skip
def test_what_is_made_of_rates_is_tested(measure: str, threshold: float, groups: int) -> None:
    """At the level of the published interval the test decides as the interval does, but for the bootstrap's draws."""
    found, _ = audited(rule(measure, threshold), GROUPS, "holm")
    own = by_group(found)
    assert len(own) == groups
    for group, test in own.items():
        (row,) = [m for m in found.measurements if (m.measure, m.group) == (f"fairness.{measure}", group)]
        estimate = row.estimate
        assert estimate.low is not None and estimate.high is not None
        one_step = 1 - 0.95 ** (1 / groups)
        outside = not estimate.low <= threshold <= estimate.high
        assert outside == (test.p <= one_step) or test.p == pytest.approx(one_step, rel=0.5)


def test_closed_groups_count_and_get_no_row() -> None:
    counts = GROUPS | {"few": (60, 5, 60, 60), "rare": (60, 5, 60, 60)}
    found, finding = audited(rule("tpr_difference", -0.05), counts, "holm")
    own = by_group(found)
    assert "few" not in own and {t.family for t in own.values()} == {6}
    least = min(own.values(), key=lambda t: t.p)
    assert least.adjusted_p == pytest.approx(6 * least.p)
    (few,) = [g for g in finding.groups if g.group == "few"]
    assert "interval" in few.reason


def test_missing_data_stay_open() -> None:
    counts: dict[str, Counts] = {"men": MEN, "none": (200, 200, 0, 0), "a": GROUPS["d"]}
    found, finding = audited(rule("tpr_difference", -0.5), counts, "holm", minimum_cell=2)
    assert "none" not in by_group(found)
    assert finding.verdict == "insufficient-evidence"
    assert {g.group: g.verdict for g in finding.groups} == {"none": "insufficient-evidence", "a": "meets"}


def apart_of(own: int, other: int, *, n: tuple[int, int]) -> Callable[[float], Bounded]:
    return lambda z: difference(rate(events=own, n=n[0], z=z), rate(events=other, n=n[1], z=z))


def wrong(method: str, *, samples: int, groups: int, truly_apart: int, seed: int) -> tuple[float, float]:
    """Share of samples with any wrong verdict, and mean share of wrong ones, of groups that sit on the threshold."""
    draw = np.random.default_rng(seed)
    n, base, at = 150, 600, 0.1
    any_, shares = 0, []
    for _ in range(samples):
        rates = np.full(groups, 0.6)
        rates[:truly_apart] = 0.85
        events, other = draw.binomial(n, rates), int(draw.binomial(base, 0.5))
        p = [p_at(apart_of(int(x), other, n=(n, base)), at=at) for x in events]
        found = adjusted(p, method=method) <= 0.05  # type: ignore[arg-type]
        any_ += bool(found[truly_apart:].any())
        shares.append(found[truly_apart:].sum() / max(1, found.sum()))
    return any_ / samples, float(np.mean(shares))


def test_wrong_verdicts_stay_below_the_level() -> None:
    band = 3 * math.sqrt(0.05 * 0.95 / 300)
    assert wrong("holm", samples=300, groups=4, truly_apart=1, seed=5)[0] <= 0.05 + band
    assert wrong("bh", samples=300, groups=4, truly_apart=1, seed=6)[1] <= 0.05 + band


@pytest.mark.prove
@pytest.mark.parametrize(("groups", "truly_apart"), [(4, 0), (4, 2), (10, 0), (10, 5)])
def test_wrong_verdicts_stay_below_the_level_at_full_size(
    groups: int, truly_apart: int, record_property: pytest.RecordProperty
) -> None:
    samples = 4_000
    band = 3 * math.sqrt(0.05 * 0.95 / samples)
    any_ = wrong("holm", samples=samples, groups=groups, truly_apart=truly_apart, seed=7)[0]
    share = wrong("bh", samples=samples, groups=groups, truly_apart=truly_apart, seed=8)[1]
    record_property(f"Holm, {groups} groups, {truly_apart} apart: any wrong verdict", any_)
    record_property(f"BH, {groups} groups, {truly_apart} apart: share of wrong verdicts", share)
    assert any_ <= 0.05 + band
    assert share <= 0.05 + band
