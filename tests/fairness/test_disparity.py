"""Hand-worked tables, gates, references, persons."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.fairness.metrics import METRICS
from auditkit.stats.intervals import critical, wilson_bounds
from tests.fairness.evaluations import estimate, group_row, grouping, of_cells, part, predictions, rows

# women: 100 records, 60 with a favourable label; men: 200 records, 120 with a favourable label.
LENDER = {"women": (25, 15, 24, 36), "men": (40, 40, 24, 96)}


def test_a_two_by_two_table_by_hand() -> None:
    found = of_cells(LENDER, reference="men")
    rates = {
        "selection_rate": (51 / 100, 136 / 200),
        "tpr": (36 / 60, 96 / 120),
        "fpr": (15 / 40, 40 / 80),
        "fnr": (24 / 60, 24 / 120),
        "tnr": (25 / 40, 40 / 80),
        "ppv": (36 / 51, 96 / 136),
        "accuracy": (61 / 100, 136 / 200),
        "npv": (25 / 49, 40 / 64),
        "fdr": (15 / 51, 40 / 136),
        "for": (24 / 49, 24 / 64),
        "base_rate": (60 / 100, 120 / 200),
    }
    for name, (women, men) in rates.items():
        assert estimate(found, name, "women").value == pytest.approx(women)
        assert estimate(found, name, "men").value == pytest.approx(men)
        assert estimate(found, f"{name}_difference", "women").value == pytest.approx(women - men)
        assert estimate(found, f"{name}_ratio", "women").value == pytest.approx(women / men)
    assert estimate(found, "impact_ratio", "women").value == pytest.approx(0.75)
    tpr = estimate(found, "tpr", "women")
    assert (tpr.events, tpr.n) == (36, 60)
    assert estimate(found, "tpr_difference", "women").n == 180
    assert estimate(found, "selection_rate", "", on="").value == pytest.approx(187 / 300)


def test_the_reference_has_no_comparison_and_every_other_group_has_each() -> None:
    found = of_cells(LENDER, reference="men")
    compared = [m for m in found.measurements if m.reference]
    assert {m.group for m in compared} == {"women"}
    composite = 3  # balanced accuracy, equalised odds, treatment equality: one comparison each
    assert len(compared) == len(METRICS) * 2 + 1 + composite
    assert group_row(found, "men").is_reference
    assert not group_row(found, "women").is_reference
    units = {m.measure.rsplit("_", 1)[-1]: m.unit for m in compared}
    assert units == {"difference": "points", "ratio": "ratio"}


def test_rate_intervals_hold_together_over_the_groups() -> None:
    found = of_cells(LENDER, reference="men")
    tpr = estimate(found, "tpr", "women")
    z = critical(0.95**0.5)
    assert (tpr.low, tpr.high) == pytest.approx(wilson_bounds(rate=0.6, n=60, z=z))
    assert tpr.method == "Wilson score interval, simultaneous over 2 groups (Šidák)"
    whole = estimate(found, "selection_rate", "", on="")
    assert (whole.low, whole.high) == pytest.approx(wilson_bounds(rate=187 / 300, n=300, z=critical(0.95)))


@pytest.mark.parametrize(
    ("selected", "of", "decides"),
    [((3, 4), (10, 10), None), ((4750, 5000), (10_000, 10_000), True), ((24, 32), (80, 80), False)],
    ids=["3/10 and 4/10", "47.5 % and 50 %", "24/80 and 32/80"],
)
def test_four_fifths_is_not_a_test_of_difference(
    selected: tuple[int, int], of: tuple[int, int], decides: bool | None
) -> None:
    """UGESP: a ratio of .75 among ten says nothing, one of .95 among ten thousand excludes 1."""
    counts = {
        name: ((n - x) // 2, x // 2, n - x - (n - x) // 2, x - x // 2)
        for name, x, n in zip(("own", "ref"), selected, of, strict=True)
    }
    ratio = estimate(of_cells(counts, reference="ref"), "impact_ratio", "own")
    if decides is None:
        assert ratio.value is None
        return
    assert ratio.value == pytest.approx(selected[0] / selected[1])
    assert ratio.low is not None and ratio.high is not None
    assert (ratio.high < 1) is decides


def test_a_reference_that_is_not_a_group_gives_no_comparison() -> None:
    found = of_cells(LENDER, reference="others")
    for group in ("women", "men"):
        assert estimate(found, "impact_ratio", group).withheld == "the reference is not among the groups"


def test_a_ratio_below_five_events_loses_its_interval_only() -> None:
    counts = {"few": (200, 4, 100, 100), "ref": (200, 40, 100, 100)}
    found = of_cells(counts, reference="ref", minimum_cell=2)
    ratio, gap = estimate(found, "fpr_ratio", "few"), estimate(found, "fpr_difference", "few")
    assert ratio.value == pytest.approx((4 / 204) / (40 / 240))
    assert (ratio.low, ratio.high) == (None, None)
    assert "fewer than 5 events" in ratio.withheld
    assert gap.low is not None and gap.high is not None and gap.high < 0
    turned = estimate(of_cells(counts, reference="few", minimum_cell=2), "fpr_ratio", "ref")
    assert turned.low is None and "fewer than 5 events" in turned.withheld


def test_a_ratio_to_a_rate_of_zero_has_no_value() -> None:
    counts = {"own": (200, 40, 100, 100), "ref": (200, 0, 100, 100)}
    ratio = estimate(of_cells(counts, reference="ref", minimum_cell=2), "fpr_ratio", "own")
    assert ratio.value is None and ratio.withheld


def test_repeated_persons_widen_every_interval_and_move_no_value() -> None:
    values, answers = rows({"women": (50, 30, 48, 72), "men": (80, 80, 48, 192)})
    own = grouping("sex", values, labels=["women", "men"], reference="men")
    single = part([own], answers, persons=np.arange(len(values)).astype(object))
    twice = part([own], answers, persons=(np.arange(len(values)) // 2).astype(object))
    for measure in ("tpr", "selection_rate_difference", "impact_ratio"):
        alone, paired = estimate(single, measure, "women"), estimate(twice, measure, "women")
        assert alone.value == paired.value
        assert None not in (alone.low, alone.high, paired.low, paired.high)
        widths = [e.high - e.low for e in (alone, paired)]
        assert 1.3 < widths[1] / widths[0] < 1.55, "two records that agree are one witness: root of two"
    assert group_row(twice, "women").persons == 100
    assert "bootstrap over persons" in estimate(twice, "impact_ratio", "women").method
    assert "design effect 2.0" in estimate(twice, "tpr", "women").method
    assert any("600 records are of 300 persons" in note for note in twice.notes)


def test_adding_an_attribute_leaves_the_intervals_of_the_first() -> None:
    values, answers = rows({**LENDER, "others": (30, 20, 30, 40)})
    sex = grouping("sex", values, labels=["women", "men", "others"], reference="men")
    region = grouping("region", np.arange(len(values)) % 2, labels=["0", "1"], reference="0")
    alone, both, again = part([sex], answers), part([sex, region], answers), part([sex], answers, seed=1)
    first = estimate(alone, "impact_ratio", "women")
    assert first == estimate(both, "impact_ratio", "women")
    assert first != estimate(again, "impact_ratio", "women")


def test_the_part_says_when_there_is_nothing_to_compare() -> None:
    _, answers = rows(LENDER)
    found = part([], answers)
    assert (found.status, found.reason) == ("not-applicable", "the policy names no protected attribute")
    assert estimate(found, "accuracy", "", on="").value == pytest.approx(197 / 300)
    silent = predictions(truth=[1.0] * 40, decision=[np.nan] * 40)
    nothing = part([grouping("sex", ["a"] * 40, labels=["a"], reference="a")], silent)
    assert nothing.status == "not-applicable"
    assert group_row(nothing, "a").status == "empty"
    assert any("40 evaluation records have no decision" in note for note in nothing.notes)


def test_a_ratio_of_under_ten_events_is_no_narrower_than_the_closed_form() -> None:
    """Seven selected of 100 against 70 of 1,000; with twelve of 100 the bootstrap stands alone."""
    for chosen, widened in ((7, True), (12, False)):
        women = (100 - chosen - 20, chosen - 2, 20, 2)
        found = of_cells({"women": women, "men": (465, 35, 465, 35)}, reference="men", minimum_cell=1)
        ratio = estimate(found, "impact_ratio", "women")
        limits = [wilson_bounds(rate=x / n, n=n, z=critical(0.95)) for x, n in ((chosen, 100), (70, 1000))]
        logs = [[np.log(x / n / low), np.log(high * n / x)] for (low, high), (x, n) in zip(
            limits, ((chosen, 100), (70, 1000)), strict=True
        )]  # fmt: skip
        value = chosen / 70 * 10
        low = value * np.exp(-np.hypot(logs[0][0], logs[1][1]))
        high = value * np.exp(np.hypot(logs[0][1], logs[1][0]))
        assert ratio.low is not None
        assert ratio.high is not None
        assert ("no narrower" in ratio.method) == widened
        if widened:
            assert ratio.low <= low * (1 + 1e-9)
            assert ratio.high >= high * (1 - 1e-9)
