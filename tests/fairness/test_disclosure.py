"""What may be printed: no cell below the minimum, and none that could be derived."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.fairness.disclosure import complete, lines, ratio_step, share_at_most
from auditkit.fairness.metrics import METRICS
from auditkit.result import Estimate
from auditkit.stats.rounding import rate_step, rounded
from tests.fairness.evaluations import estimate, group_row, grouping, measured, of_cells, part, rows

OPEN = (40, 40, 40, 40)


def test_a_count_below_the_minimum_takes_a_second_with_it() -> None:
    found = of_cells({"a": OPEN, "b": (30, 30, 30, 30), "few": (1, 1, 1, 1)}, reference="a")
    assert group_row(found, "few").n is None
    assert group_row(found, "few").share is None
    assert group_row(found, "b").n is None, "282 - 160 - 120 would be the count of the few"
    assert "count withheld" in group_row(found, "b").reason
    assert group_row(found, "a").n == 160
    for metric in METRICS:
        assert estimate(found, metric, "few").value is None
        assert (estimate(found, metric, "b").n, estimate(found, metric, "b").events) == (None, None)
        assert estimate(found, f"{metric}_difference", "b").n is None


def test_withheld_unknowns_serve_as_the_second_and_their_share_is_an_upper_limit() -> None:
    counts = {"a": OPEN, "b": (30, 30, 30, 30), "few": (1, 1, 1, 1), "?": (5, 5, 5, 5)}
    found = of_cells(counts, reference="a", labels=["a", "b", "few"])
    unknown = group_row(found, "unknown", unknown=True)
    assert unknown.n is None
    assert unknown.share == pytest.approx(20 / 304)
    assert group_row(found, "b").n == 120
    lone = of_cells({"a": OPEN, "b": OPEN, "?": (1, 1, 1, 1)}, reference="a", labels=["a", "b"])
    assert group_row(lone, "unknown", unknown=True).share == pytest.approx(10 / 324)
    assert any("at most 3.1% of the evaluation records" in note for note in lone.notes)


def test_a_small_cell_closes_the_group_and_one_more() -> None:
    found = of_cells({"a": (90, 90, 90, 90), "b": OPEN, "shut": (60, 3, 40, 60)}, reference="a")
    for group in ("shut", "b"):
        fpr = measured(found, "fpr", group)
        assert (fpr.estimate.n, fpr.estimate.events) == (None, None)
        assert any("rounded to" in text for text in fpr.parts)
        assert "figures rounded" in group_row(found, group).reason
    # 3 of 63 at a step of 0.1 (6.3 records): 0.0 and limits outwards; which of 0 to 3 it was is not told.
    shut = estimate(found, "fpr", "shut")
    assert shut.value == 0.0
    assert shut.low == 0.0
    assert shut.high == pytest.approx(0.2)
    assert estimate(found, "selection_rate", "shut").n == 163, "the group's count is public anyway"
    assert estimate(found, "fpr", "a").events == 90
    assert estimate(found, "fpr_difference", "shut").value == pytest.approx(-0.5)


@pytest.mark.parametrize("cells", [(60, 0, 40, 60), (0, 60, 40, 60), (60, 60, 0, 60), (60, 60, 60, 0)])
def test_nobody_or_everybody_of_a_class_is_not_told(cells: tuple[int, int, int, int]) -> None:
    neighbour = list(cells)
    neighbour[cells.index(0)], neighbour[cells.index(60)] = 1, 59
    exact, almost = (
        of_cells({"a": (90, 90, 90, 90), "b": OPEN, "shut": c}, reference="a") for c in (cells, tuple(neighbour))
    )
    for metric in METRICS:
        first, second = estimate(exact, metric, "shut"), estimate(almost, metric, "shut")
        assert (first.value, first.n, first.events) == (second.value, second.n, second.events)


def test_a_denominator_too_small_to_round_is_withheld() -> None:
    found = of_cells({"a": (90, 90, 90, 90), "b": OPEN, "shut": (14, 8, 30, 30)}, reference="a")
    fpr = estimate(found, "fpr", "shut")
    assert fpr.value is None and fpr.low is None
    assert "too few records to publish even a rounded figure" in fpr.withheld
    assert estimate(found, "tpr", "shut").value == 0.5
    assert estimate(found, "fpr_difference", "shut").value is None


def test_the_policys_minimums_cannot_undercut_the_minimum_cell() -> None:
    counts = {"a": OPEN, "b": OPEN, "few": (2, 2, 2, 2), "none": (50, 50, 0, 0)}
    found = of_cells(counts, reference="a", minimum_group=1, minimum_denominator=1)
    assert group_row(found, "few").status == "insufficient-evidence"
    assert "fewer than 10 records with a favourable label" in estimate(found, "tpr", "none").withheld


def test_few_persons_are_few_however_many_records_they_have() -> None:
    values, answers = rows({"a": OPEN, "b": OPEN, "c": (15, 15, 15, 15)})
    persons = np.array([i if g != "c" else f"c{i % 5}" for i, g in enumerate(values)], dtype=object)
    own = grouping("sex", values, labels=["a", "b", "c"], reference="a")
    found = part([own], answers, persons=persons)
    assert group_row(found, "c").n is None
    assert group_row(found, "c").status == "insufficient-evidence"
    assert group_row(found, "c").persons is None


def test_an_intersection_cannot_be_subtracted_from_its_margin() -> None:
    sex = ["f"] * 400 + ["m"] * 400
    age = (["y"] * 396 + ["o"] * 4) + (["y"] * 100 + ["o"] * 300)
    both = [f"{s} · {a}" for s, a in zip(sex, age, strict=True)]
    _, answers = rows({"all": (200, 200, 200, 200)})
    shuffled = np.random.default_rng(0).permutation(800)
    answers = type(answers)(answers.decision[shuffled], None, answers.truth[shuffled], None, None, None)
    labels = ["f · y", "f · o", "m · y", "m · o"]
    crossed = grouping("sex x age", both, labels=labels, reference="m · y", of=("sex", "age"))
    margins = [
        grouping("sex", sex, labels=["f", "m"], reference="m"),
        grouping("age", age, labels=["y", "o"], reference="y"),
    ]
    found = part([*margins, crossed], answers)
    shown = {label: group_row(found, label, on="sex x age").n for label in labels}
    # f · o holds 4; its row would give it from f (400), its column from o (304), and those two give the last.
    assert shown == {"f · y": None, "f · o": None, "m · y": None, "m · o": None}
    alone = part([crossed], answers)
    assert [group_row(alone, label, on="sex x age").n for label in labels] == [396, None, None, 300]


def test_lines_follow_declared_margins_only() -> None:
    sex = grouping("sex", ["f", "f", "m", "m"], labels=["f", "m"], reference="m")
    crossed = grouping(
        "c", ["f · y", "f · o", "m · y", "?"], labels=["f · y", "f · o", "m · y"], reference="m · y", of=("sex", "age")
    )
    found = lines("c", {"sex": sex, "c": crossed})
    assert [line.tolist() for line in found] == [[0, 1, 2, 3], [0, 1], [2]]
    assert len(lines("sex", {"sex": sex, "c": crossed})) == 1


@given(st.lists(st.integers(0, 40), min_size=2, max_size=8), st.integers(2, 12))
def test_what_is_withheld_along_a_line_never_leaves_a_count_to_derive(sizes: list[int], minimum: int) -> None:
    n = np.array(sizes)
    few = (n > 0) & (n < minimum)
    out = complete(withheld=few, sensitive=few, sizes=n, along=(np.arange(n.size),), minimum=minimum)
    assert out[few].all()
    assert not out[n == 0].any()
    if few.any():
        everything = out.sum() == (n > 0).sum()
        assert everything or n[out].sum() - n[few].max() >= minimum
    else:
        assert not out.any()


@given(st.integers(1, 20_000), st.integers(2, 100))
def test_a_step_is_half_a_minimum_cell_wide_and_no_wider_than_needed(trials: int, minimum: int) -> None:
    step = rate_step(trials=trials, minimum=minimum)
    if step is None:
        assert 0.2 * trials < minimum / 2
    else:
        assert step * trials >= minimum / 2
        assert step == 0.001 or step / 2.5 * trials < minimum / 2


@given(st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 0.3), st.sampled_from([0.001, 0.01, 0.05, 0.2]))
def test_rounding_only_ever_widens(value: float, below: float, above: float, step: float) -> None:
    exact = Estimate(value=value, low=max(0.0, value - below), high=min(1.0, value + above), n=40, events=3)
    coarse = rounded(exact, step=step, bounds=(0.0, 1.0))
    assert None not in (exact.low, exact.high, coarse.value, coarse.low, coarse.high)
    assert coarse.low <= exact.low + 1e-8
    assert coarse.high >= exact.high - 1e-8
    assert abs(coarse.value - value) <= step / 2 + 1e-6
    assert coarse.low <= coarse.value <= coarse.high
    assert coarse.events is None


def test_ratio_steps_and_shares() -> None:
    assert ratio_step(ratio=1.0, reference_rate=0.5, group_step=0.05, reference_step=0.0) == 0.1
    assert ratio_step(ratio=2.0, reference_rate=0.5, group_step=0.05, reference_step=0.05) == 0.2
    assert ratio_step(ratio=1.0, reference_rate=0.1, group_step=0.05, reference_step=0.0) is None
    assert ratio_step(ratio=1.0, reference_rate=0.0, group_step=0.05, reference_step=0.0) is None
    assert share_at_most(count=3, total=200, minimum=10) == 0.05
    assert share_at_most(count=9, total=5, minimum=10) == 1.0
