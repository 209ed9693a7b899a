"""Balanced accuracy, equalised odds and treatment equality: contracts, traps, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn.metrics import balanced_accuracy_score

from auditkit.fairness.composite_metrics import COMPOSITES
from auditkit.fairness.notes import METRIC_NOTES
from auditkit.policy.measures import MEASURES
from auditkit.stats.mover import odds, rate
from tests.fairness.evaluations import Counts, estimate, grouping, of_cells, part, rows

LENDER: dict[str, Counts] = {"women": (25, 15, 24, 36), "men": (40, 40, 24, 96), "others": (30, 20, 30, 40)}


@pytest.mark.parametrize("group", list(LENDER))
def test_balanced_accuracy_is_sklearns(group: str) -> None:
    label, answers = rows(LENDER)
    own = label == group
    found = estimate(of_cells(LENDER, reference="men"), "balanced_accuracy", group)
    assert found.value == pytest.approx(balanced_accuracy_score(answers.truth[own], answers.decision[own]))
    assert found.n == own.sum()


@pytest.mark.parametrize("group", ["women", "others"])
def test_equalised_odds_are_fairlearns_of_the_two_groups(group: str) -> None:
    label, answers = rows(LENDER)
    both = np.isin(label, [group, "men"])
    found = estimate(of_cells(LENDER, reference="men"), "equalised_odds_difference", group)
    theirs = equalized_odds_difference(answers.truth[both], answers.decision[both], sensitive_features=label[both])
    assert found.value == pytest.approx(theirs)
    assert found.low is not None and found.high is not None and 0 <= found.low <= theirs <= found.high


def test_the_widest_equalised_odds_are_fairlearns_of_all_groups() -> None:
    label, answers = rows(LENDER)
    theirs = equalized_odds_difference(answers.truth, answers.decision, sensitive_features=label)
    (tests,) = of_cells(LENDER, reference="men").tests
    (gap,) = [g for g in tests.gaps if g.measure == "fairness.equalised_odds_difference"]
    assert gap.gap.value == pytest.approx(theirs)


def test_treatment_equality_by_hand() -> None:
    found = of_cells(LENDER, reference="men")
    women = estimate(found, "treatment_equality", "women")
    assert women.value == pytest.approx(24 / 15)
    assert women.n == 39
    assert estimate(found, "treatment_equality_ratio", "women").value == pytest.approx((24 / 15) / (24 / 40))
    z = 2.3879  # of three simultaneous intervals, Šidák
    wanted = odds(rate(events=24, n=39, z=z))
    assert (women.low, women.high) == pytest.approx((wanted.low, wanted.high), rel=1e-4)


def test_a_group_without_favourable_labels_has_no_composite() -> None:
    """fairlearn gives it a true-positive rate of 0 and equalised odds of 1."""
    counts: dict[str, Counts] = {"none": (60, 40, 0, 0), "men": (40, 40, 24, 96)}
    found = of_cells(counts, reference="men", minimum_cell=2)
    for measure in ("balanced_accuracy", "balanced_accuracy_difference", "equalised_odds_difference"):
        assert estimate(found, measure, "none").value is None
        assert "records with a favourable label" in estimate(found, measure, "none").withheld
    assert estimate(found, "treatment_equality", "none").value is None


def test_of_a_closed_group_only_rounded_means_and_no_ratio_of_counts() -> None:
    counts: dict[str, Counts] = {"few": (60, 5, 60, 60), "men": (40, 40, 24, 96), "more": (40, 40, 24, 96)}
    found = of_cells(counts, reference="men")
    mean = estimate(found, "balanced_accuracy", "few")
    assert mean.step == 0.1 and mean.n is None
    assert mean.value == pytest.approx(0.7)
    assert "cell of the group" in estimate(found, "treatment_equality", "few").withheld
    assert estimate(found, "treatment_equality_ratio", "few").value is None


def test_equalised_odds_reach_zero_under_the_null() -> None:
    """fairlearn's percentile interval of this maximum excludes 0 always."""
    generator, zero = np.random.default_rng(4), 0
    for seed in range(12):
        counts = {}
        for group in ("a", "b", "c"):
            tp, fp = generator.binomial(150, 0.7), generator.binomial(150, 0.3)
            counts[group] = (150 - int(fp), int(fp), 150 - int(tp), int(tp))
        found = of_cells(counts, reference="a", seed=seed, replicates=1_000)
        lows = [estimate(found, "equalised_odds_difference", group).low for group in ("b", "c")]
        zero += lows == [0.0, 0.0]
    assert zero >= 10


def test_repeated_persons_widen_the_composites() -> None:
    values, answers = rows({name: tuple(2 * n for n in counts) for name, counts in LENDER.items()})  # type: ignore[misc]
    own = grouping("sex", values, labels=list(LENDER), reference="men")
    single = part([own], answers, persons=np.arange(len(values)).astype(object))
    twice = part([own], answers, persons=(np.arange(len(values)) // 2).astype(object))
    for measure in ("balanced_accuracy", "balanced_accuracy_difference", "equalised_odds_difference"):
        alone, paired = estimate(single, measure, "women"), estimate(twice, measure, "women")
        assert alone.value == paired.value
        assert None not in (alone.low, alone.high, paired.low, paired.high)
        assert paired.high - paired.low > 1.15 * (alone.high - alone.low)


def test_every_composite_has_a_note_and_a_measure() -> None:
    noted = {note.measure for note in METRIC_NOTES}
    for name in COMPOSITES:
        assert f"fairness.{name}" in noted and f"fairness.{name}" in MEASURES
    produced = {m.measure for m in of_cells(LENDER, reference="men").measurements}
    assert {m for m in produced if m.startswith("fairness.")} <= noted
