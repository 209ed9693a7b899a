"""6 RCNY 5-301: the rule's own worked examples, COMPAS, and what a table does with small and unknown categories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditkit.fairness.statutory import ll144
from auditkit.fairness.statutory.assess import assess
from auditkit.fairness.statutory.released import Categories, Category, categories
from auditkit.fairness.statutory.scoring import Scored, _parted
from auditkit.policy.schema import FairnessSettings
from auditkit.policy.statutory import StatutorySettings
from auditkit.result import BiasAudit, CategoryRow, CategoryTable
from auditkit.stats.intervals import wilson
from auditkit.subject.groups import intersect
from auditkit.subject.types import Grouping, Predictions
from tests.fairness.evaluations import grouping, part
from tests.fairness.test_published import attribute, compas

WORKED = {
    "Male": (92, 50, 54.3, 1.00), "Female": (76, 34, 44.7, 0.82),
    "Hispanic": (28, 18, 64.2, 1.00), "White": (40, 15, 37.5, 0.58), "Black": (32, 16, 50.0, 0.78),
    "NHPI": (8, 5, 62.5, 0.97), "Asian": (24, 10, 41.7, 0.65),
}  # fmt: skip
"""The scored example: number, scored above the median, printed rate in percent (cut, not rounded), printed ratio."""


def counted(label: str, selected: int, n: int, total: int) -> Category:
    return Category(label, n, n / total, wilson(events=selected, n=n, level=0.95))


def tabled(
    counts: dict[str, tuple[int, int]], *, exclude_below: float | None = None, unknown: int = 0
) -> CategoryTable:
    total = unknown + sum(n for _, n in counts.values())
    rows = tuple(counted(label, selected, n, total) for label, (selected, n) in counts.items())
    found = Categories("sex", rows, unknown, repeats=False)
    return ll144.table(found, kind="sex", exclude_below=exclude_below, minimum_cell=10, minimum_group=30)


def row(table: CategoryTable, category: str) -> CategoryRow:
    (found,) = (row for row in table.rows if row.category == category)
    return found


@pytest.mark.parametrize("labels", [("Male", "Female"), ("Hispanic", "White", "Black", "NHPI", "Asian")])
def test_the_scored_example_of_the_rule(labels: tuple[str, ...]) -> None:
    table = tabled({label: (WORKED[label][1], WORKED[label][0]) for label in labels})
    for label in labels:
        n, high, rate, ratio = WORKED[label]
        found = row(table, label)
        assert (found.n, found.selected) == (n, high)
        assert 100 * (found.rate.value or 0) == pytest.approx(rate, abs=0.1)
        assert found.ratio.value == pytest.approx(ratio, abs=0.005)
    assert row(table, labels[0]).is_most_selected


def test_the_selection_example_of_the_rule() -> None:
    table = tabled({"Male": (667, 1390), "Female": (555, 1181)})
    assert [f"{100 * (r.rate.value or 0):.0f} %" for r in table.rows] == ["48 %", "47 %"]
    assert row(table, "Male").ratio.value == 1.0
    assert row(table, "Female").ratio.value == pytest.approx(0.979, abs=5e-4)


def test_the_interval_of_a_ratio_is_katzs() -> None:
    found = row(tabled({"Male": (667, 1390), "Female": (555, 1181)}), "Female").ratio
    half = 1.959963984540054 * np.sqrt(1 / 555 - 1 / 1181 + 1 / 667 - 1 / 1390)
    ratio = (555 / 1181) / (667 / 1390)
    assert (found.low, found.high, found.n) == (
        pytest.approx(ratio * np.exp(-half)), pytest.approx(ratio * np.exp(half)), 2571
    )  # fmt: skip
    refused = row(tabled({"Male": (4, 100), "Female": (3, 100)}), "Female").ratio
    assert refused.value == pytest.approx(0.75) and refused.low is None and "fewer than 5" in refused.withheld


def test_a_small_category_keeps_number_and_rate_and_is_never_the_denominator() -> None:
    counts = {"A": (500, 1000), "B": (300, 1000), "C": (19, 20)}
    table = tabled(counts, exclude_below=0.02)
    small = row(table, "C")
    assert small.excluded and small.ratio.value is None and (small.n, small.selected) == (20, 19)
    assert small.rate.value == 0.95
    assert row(table, "A").is_most_selected and row(table, "B").ratio.value == pytest.approx(0.6)
    assert row(tabled(counts), "C").is_most_selected  # nothing is left out unless the policy says so
    exactly = tabled({"A": (500, 980), "C": (19, 20)}, exclude_below=0.02)
    assert not row(exactly, "C").excluded  # 2 % is not below 2 %


def test_the_share_is_of_all_records_the_unknown_among_them() -> None:
    counts = {"A": (500, 980), "C": (19, 20)}
    assert row(tabled(counts, exclude_below=0.02, unknown=1), "C").excluded
    assert tabled(counts, unknown=7).unknown == 7


def test_without_any_selection_there_is_no_ratio() -> None:
    table = tabled({"A": (0, 100), "B": (0, 50)})
    assert all(r.ratio.value is None and "no category" in r.ratio.withheld for r in table.rows)


def audited(
    groupings: list[Grouping],
    answers: Predictions,
    *,
    minimum_cell: int = 10,
    minimum_group: int = 10,
    **stated: object,
) -> BiasAudit:
    settings = FairnessSettings(minimum_group=minimum_group, minimum_denominator=minimum_cell, replicates=1000)
    found = part(
        groupings, answers, minimum_cell=minimum_cell, minimum_group=minimum_group, minimum_denominator=minimum_cell,
        replicates=1000,
    )  # fmt: skip
    names = [g.name for g in groupings if not g.of]
    made = assess(
        frameworks=("nyc-ll144",), settings=StatutorySettings(sex=names[0], race=names[1], **stated),
        intersections=(tuple(names),), part=found, groupings={g.name: g for g in groupings}, predictions=answers,
        persons=None, fairness=settings, minimum_cell=minimum_cell,
    )  # fmt: skip
    assert made is not None and made.bias_audit is not None and made.four_fifths is None
    return made.bias_audit


def test_compas_hispanic_women_are_left_out_below_two_percent() -> None:
    frame, answers = compas(high=False)
    own = [attribute(frame, "sex", "Male"), attribute(frame, "race", "Caucasian")]
    found = audited([*own, intersect(own)], answers, minimum_cell=2, exclude_below=0.02, because="Few")
    assert [table.kind for table in found.tables] == ["sex", "race", "sex-by-race"]
    women = row(found.tables[2], "Female · Hispanic")
    assert women.excluded and women.n == 103 and women.share == pytest.approx(0.0143, abs=5e-5)
    assert women.rate.value == pytest.approx(0.845, abs=5e-4)
    assert not women.is_most_selected and women.ratio.value is None
    kept = [r for r in found.tables[2].rows if not r.excluded and r.selected is not None]
    best = max(kept, key=lambda r: r.rate.value or 0)
    assert best.is_most_selected and best.ratio.value == 1.0
    race = {r.category: r.ratio.value for r in found.tables[1].rows}
    assert race["African-American"] == pytest.approx(0.5210, abs=5e-5)
    assert race["Caucasian"] == pytest.approx(0.8248, abs=5e-5)
    assert race["Hispanic"] == pytest.approx(0.8878, abs=5e-5)
    sex = {r.category: r.ratio.value for r in found.tables[0].rows}
    assert sex["Male"] == pytest.approx(0.9223, abs=5e-5)


def test_compas_scores_tie_at_the_median_and_the_choice_is_told() -> None:
    frame, answers = compas(high=False)
    own = [attribute(frame, "sex", "Male"), attribute(frame, "race", "Caucasian")]
    answers = replace(answers, score=1 - frame["decile_score"].to_numpy() / 10)
    found = audited([*own, intersect(own)], answers, minimum_cell=2, variant="scores")
    assert found.median is not None and found.median.value == pytest.approx(0.6)
    assert found.median.at_median == pytest.approx(0.1066, abs=5e-5)
    rates = {r.category: r.rate for r in found.tables[1].rows}
    black, asian = rates["African-American"], rates["Asian"]
    assert black.value == pytest.approx(0.31, abs=0.005)
    assert asian.value == pytest.approx(0.75, abs=0.005 + asian.step / 2)
    other = audited([*own, intersect(own)], answers, minimum_cell=2, variant="scores", ties="at-or-above")
    assert row(other.tables[1], "African-American").rate.value == pytest.approx(1 - 0.5882, abs=5e-5)


def test_where_persons_repeat_ratios_have_no_interval() -> None:
    frame, answers = compas(high=False)
    persons = np.repeat(np.arange(len(frame) // 2).astype(str).astype(object), 2)
    found = part([attribute(frame, "sex", "Male")], answers, persons=persons, replicates=1000)
    own = categories(found, "sex")
    assert own.repeats
    table = ll144.table(own, kind="sex", exclude_below=None, minimum_cell=10, minimum_group=30)
    male = row(table, "Male").ratio
    assert male.value is not None and male.low is None and "several records" in male.withheld


def scored_example() -> tuple[list[Grouping], Predictions]:
    """The worked example as records: 10 points above the median, or 10 below it; labels are missing."""
    sex, race, high = [], [], []
    for label, (n, above, _, _) in WORKED.items():
        plain = label in ("Male", "Female")
        sex += [label if plain else "X"] * n
        race += ["X" if plain else label] * n
        high += [1.0] * above + [0.0] * (n - above)
    score = np.array(high) * 0.2 + 0.4
    own = [
        grouping("sex", sex, labels=["Male", "Female"], reference="Male"),
        grouping("race", race, labels=[k for k in WORKED if k not in ("Male", "Female")], reference="White"),
    ]
    answers = Predictions(
        decision=np.array(high), score=score, truth=np.full(len(high), np.nan), loss=None, loss_train=None,
        loss_reserve=None,
    )  # fmt: skip
    return [*own, intersect(own)], answers


def test_the_scored_example_from_records_to_table() -> None:
    groupings, answers = scored_example()
    low = int((answers.score == 0.4).sum())
    assert answers.score is not None and low > len(answers.score) / 2  # the median is the lower score
    found = audited(groupings, answers, minimum_cell=2, minimum_group=2, variant="scores")
    assert found.variant == "scores"
    for table in found.tables[:2]:
        for own in table.rows:
            n, high, rate, ratio = WORKED[own.category]
            assert own.n == n
            assert own.selected == high
            assert 100 * (own.rate.value or 0) == pytest.approx(rate, abs=0.1)
            assert own.ratio.value == pytest.approx(ratio, abs=0.005)
    assert found.tables[0].unknown == 132 and found.tables[1].unknown == 168
    assert found.median is not None and found.median.value == pytest.approx(0.4)
    assert found.median.at_median == pytest.approx(low / len(answers.score))


def test_a_scoring_rate_that_would_tell_of_the_few_between_median_and_threshold_is_rounded() -> None:
    groupings, answers = scored_example()
    decision = answers.decision.copy()
    decision[0] = 0.0  # one man scores above the median and is not selected: 50 less 49 would tell of him
    found = audited(groupings, replace(answers, decision=decision), minimum_cell=2, minimum_group=2, variant="scores")
    man, woman = row(found.tables[0], "Male"), row(found.tables[0], "Female")
    assert man.selected is None and man.rate.step > 0
    # Women are the only other group, and the unknown outnumber the minimum cell: they stay exact.
    assert woman.selected == 34


def test_an_edge_of_the_published_distribution_a_few_persons_from_the_median_rounds_the_rate_too() -> None:
    groupings, answers = scored_example()
    score = answers.score.copy()  # type: ignore[union-attr]
    score[0] = 0.45  # above the median of 0.4, below the edge at 0.5, alone
    found = audited(groupings, replace(answers, score=score), minimum_cell=2, minimum_group=2, variant="scores")
    assert row(found.tables[0], "Male").selected == 50  # no labels, so no distribution is published
    blank = Scored(
        scores=score, predictions=answers, persons=None, groupings={}, settings=FairnessSettings(), minimum_cell=2,
        ties="above",
    )  # fmt: skip
    men = groupings[0].codes == 0
    assert _parted(blank, men, (0.5,)) and not _parted(blank, men, (0.45,)) and not _parted(blank, men, ())


def test_a_score_at_the_median_counts_as_the_policy_says() -> None:
    groupings, answers = scored_example()
    found = audited(groupings, answers, minimum_cell=2, minimum_group=2, variant="scores", ties="at-or-above")
    assert all(r.rate.value == 1.0 for r in found.tables[0].rows)


def test_without_scores_the_variant_falls_back_and_says_so() -> None:
    groupings, answers = scored_example()
    found = audited(groupings, replace(answers, score=None), variant="scores")
    assert found.variant == "selection" and any("no scores" in note for note in found.notes)
    part_of = np.where(np.arange(len(answers.decision)) < 3, np.nan, answers.score)
    found = audited(groupings, replace(answers, score=part_of), variant="scores")
    assert found.variant == "selection" and any("have no score" in note for note in found.notes)


def test_small_categories_are_withheld_and_the_author_is_told_what_to_do() -> None:
    groupings, answers = scored_example()
    race = audited(groupings, answers).tables[1]
    assert row(race, "NHPI").n is None and row(race, "NHPI").rate.value is None
    assert race.withheld >= 1
    assert any("report.minimum-cell" in note and "fairness.minimum-group" in note for note in race.notes)
