"""Tests beside the intervals: gaps, pairs, what could be found, what is alike, and what may be shown of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.result import FairnessPart, GapTest, PairTest
from tests.fairness.evaluations import Counts, grouping, of_cells, part, rows

LENDER: dict[str, Counts] = {"women": (25, 15, 24, 36), "men": (40, 40, 24, 96), "others": (30, 20, 30, 40)}
ALIKE: dict[str, Counts] = {"women": (4000, 1000, 1000, 4000), "men": (4100, 1000, 1000, 4000)}


def gap(found: FairnessPart, measure: str) -> GapTest:
    (row,) = [g for g in found.tests[0].gaps if g.measure == f"fairness.{measure}"]
    return row


def pair(found: FairnessPart, measure: str, group: str) -> PairTest:
    (row,) = [p for p in found.tests[0].pairs if (p.measure, p.group) == (f"fairness.{measure}", group)]
    return row


def test_the_widest_gap_and_the_groups_it_lies_between() -> None:
    found = gap(of_cells(LENDER, reference="men"), "tpr")
    assert found.gap.value == pytest.approx(96 / 120 - 40 / 70)
    assert (found.highest, found.lowest, found.groups, found.left_out) == ("men", "others", 3, 0)
    assert found.gap.low is not None and found.gap.low > 0
    assert found.p is not None and 1 / 2_001 <= found.p < 0.01
    assert "2,000 shuffles" in found.method


def test_the_gaps_interval_reaches_zero_where_no_pair_differs() -> None:
    same: dict[str, Counts] = dict.fromkeys("abcde", (30, 20, 20, 30)) | {"e": (28, 22, 18, 32)}
    found = gap(of_cells(same, reference="a"), "selection_rate")
    assert found.gap.low == 0 and found.p is not None and found.p > 0.5


def test_pairs_are_scipys() -> None:
    row = pair(of_cells(LENDER, reference="men"), "selection_rate", "women")
    table = [[51, 49], [136, 64]]
    assert row.fisher_p == pytest.approx(stats.fisher_exact(table).pvalue)
    assert row.z_p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert row.adjusted_p == pytest.approx(1 - (1 - row.fisher_p) ** 2)
    assert (row.n, row.reference_n) == (100, 200)


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_the_policy_chooses_the_adjustment(method: str) -> None:
    found = of_cells(LENDER, reference="men", multiplicity=method)  # type: ignore[arg-type]
    rows_ = [pair(found, "tpr", group) for group in ("women", "others")]
    low, high = sorted(rows_, key=lambda r: r.fisher_p or 0)
    assert low.adjusted_p == pytest.approx(
        2 * (low.fisher_p or 0) if method == "holm" else min(2 * (low.fisher_p or 0), high.fisher_p or 0)
    )
    assert found.tests[0].multiplicity == method


def test_large_groups_of_like_rates_are_shown_to_be_alike_and_small_ones_are_not() -> None:
    large = pair(of_cells(ALIKE, reference="men"), "tpr", "women")
    assert (large.within_margin, large.within_ratio) == (True, True)
    assert large.difference.level == pytest.approx(0.9)
    small = {name: tuple(n // 100 for n in counts) for name, counts in ALIKE.items()}
    few = pair(of_cells(small, reference="men"), "fpr", "women")  # type: ignore[arg-type]
    assert few.fisher_p == pytest.approx(1.0)
    assert (few.within_margin, few.within_ratio) == (False, False)


def test_more_records_find_smaller_gaps() -> None:
    few = pair(of_cells(LENDER, reference="men"), "tpr", "women").detectable
    many = pair(of_cells(ALIKE, reference="men"), "tpr", "women").detectable
    assert few is not None and many is not None and many < 0.04 and few > 0.15


def test_missing_data_give_no_test() -> None:
    counts: dict[str, Counts] = {"few": (3, 3, 3, 3), "men": (40, 40, 24, 96)}
    found = of_cells(counts, reference="men")
    row = pair(found, "tpr", "few")
    assert (row.fisher_p, row.detectable, row.within_margin, row.within_ratio) == (None, None, None, None)
    assert "fewer than 30 records" in row.withheld
    assert gap(found, "tpr").p is None and "fewer than two groups" in gap(found, "tpr").withheld
    nobody = of_cells(LENDER, reference="absent")
    assert pair(nobody, "tpr", "men").withheld == "the reference is not among the groups"


def test_exact_tests_of_a_closed_group_are_not_shown() -> None:
    counts: dict[str, Counts] = {"few": (60, 5, 60, 60), "men": (40, 40, 24, 96), "more": (40, 40, 24, 96)}
    found = of_cells(counts | {"many": (80, 80, 48, 192)}, reference="men")
    row = pair(found, "tpr", "few")
    assert (row.n, row.z_p, row.fisher_p, row.adjusted_p) == (None, None, None, None)
    assert "below 10 persons" in row.withheld
    assert row.difference.step == 0.05 and row.detectable == pytest.approx(round(row.detectable / 0.05) * 0.05)
    assert gap(found, "fpr").left_out >= 1
    two: dict[str, Counts] = {name: counts[name] for name in ("few", "men")}
    only = gap(of_cells(two, reference="men"), "tpr")
    assert only.gap.step == 0.05 and only.p is not None and round(only.p * 100, 9) == round(only.p * 100)


def test_persons_are_shuffled_whole_and_fisher_is_left_out() -> None:
    values, answers = rows({name: tuple(2 * n for n in counts) for name, counts in LENDER.items()})  # type: ignore[misc]
    own = grouping("sex", values, labels=list(LENDER), reference="men")
    single = part([own], answers, persons=np.arange(len(values)).astype(object))
    twice = part([own], answers, persons=(np.arange(len(values)) // 2).astype(object))
    alone, paired = (pair(found, "tpr", "women") for found in (single, twice))
    assert alone.fisher_p is not None and paired.fisher_p is None
    assert paired.z_p is not None and alone.z_p is not None and paired.z_p > alone.z_p
    assert paired.adjusted_p is not None and paired.detectable is not None and alone.detectable is not None
    assert paired.detectable > alone.detectable
    p = [gap(found, "selection_rate").p for found in (single, twice)]
    assert p[0] is not None and p[1] is not None and p[1] > p[0]
    across = part([own], answers, persons=np.arange(len(values)).astype(object) % (len(values) // 2))
    assert "several groups" in gap(across, "selection_rate").withheld


def test_two_runs_with_one_seed_agree_and_the_comparisons_do_not_move() -> None:
    assert of_cells(LENDER, reference="men") == of_cells(LENDER, reference="men")
