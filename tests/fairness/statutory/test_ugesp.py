"""29 CFR 1607.4(D): the two counts that a gate on either half gets wrong, and the four cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.fairness.statutory import ugesp
from auditkit.fairness.statutory.released import Categories, Category, categories
from auditkit.result import Estimate, FourFifthsRow, FourFifthsTable
from auditkit.stats.intervals import wilson
from tests.fairness.evaluations import part
from tests.fairness.test_published import attribute, compas


def tabled(counts: dict[str, tuple[int, int]], *, repeats: bool = False) -> FourFifthsTable:
    rows = tuple(Category(name, n, 0.5, wilson(events=a, n=n, level=0.95)) for name, (a, n) in counts.items())
    return ugesp.table(Categories("sex", rows, 0, repeats=repeats))


def row(table: FourFifthsTable, group: str) -> FourFifthsRow:
    (found,) = (row for row in table.rows if row.group == group)
    return found


def test_three_of_ten_against_four_of_ten() -> None:
    found = row(tabled({"a": (3, 10), "b": (4, 10)}), "a")
    assert found.ratio.value == pytest.approx(0.75)
    assert found.z == pytest.approx(-0.47, abs=0.005)
    assert found.p_fisher == pytest.approx(1.0)
    assert found.by_fisher and found.cell == "below-not-significant"
    assert (found.flip_to, found.flips) == (4, True) and found.flip_ratio == pytest.approx(1.0)


def test_ten_thousand_on_either_side() -> None:
    found = row(tabled({"a": (4750, 10_000), "b": (5000, 10_000)}), "a")
    assert found.ratio.value == pytest.approx(0.95)
    assert found.z == pytest.approx(-3.54, abs=0.005)
    assert not found.by_fisher and found.cell == "not-below-but-significant"
    assert found.flips is False and found.flip_to == 4749


@pytest.mark.parametrize(
    ("own", "cell"),
    [((300, 1000), "below-and-significant"), ((495, 1000), "not-below-not-significant")],
)
def test_the_other_two_cells(own: tuple[int, int], cell: str) -> None:
    assert row(tabled({"a": own, "b": (500, 1000)}), "a").cell == cell


def test_exactly_four_fifths_is_not_below() -> None:
    assert not ugesp.is_below((4, 10), (5, 10))
    assert ugesp.is_below((399, 1000), (500, 1000))
    found = row(tabled({"a": (40, 100), "b": (50, 100)}), "a")
    assert found.flips is True and found.flip_to == 39  # one fewer would bring it below


def test_every_group_is_held_against_the_highest() -> None:
    table = tabled({"a": (30, 100), "b": (60, 100), "c": (50, 100)})
    assert table.highest == "b" and row(table, "b").is_highest and row(table, "b").cell == "not-determined"
    assert row(table, "c").ratio.value == pytest.approx(50 / 60)


def test_rounded_figures_and_repeated_persons_determine_nothing() -> None:
    rounded = Category("a", 40, 0.5, Estimate(value=0.95, step=0.05, n=40))
    exact = Category("b", 100, 0.5, wilson(events=60, n=100, level=0.95))
    table = ugesp.table(Categories("sex", (rounded, exact), 0, repeats=False))
    assert table.highest == "b"  # a rounded rate is never the highest, and that one is higher is told
    assert row(table, "a").cell == "not-determined" and "rounded" in row(table, "a").reason
    assert row(table, "a").z is None and any("Higher, and rounded: a." in note for note in table.notes)
    several = row(tabled({"a": (30, 100), "b": (60, 100)}, repeats=True), "a")
    assert several.cell == "not-determined" and several.p_fisher is None and several.ratio.low is None


def test_compas_race_as_computed_elsewhere() -> None:
    frame, answers = compas(high=False)
    found = part([attribute(frame, "race", "Caucasian", ("African-American", "Caucasian"))], answers, replicates=1000)
    black = row(ugesp.table(categories(found, "race")), "African-American")
    assert black.ratio.value == pytest.approx(0.6316, abs=5e-5)
    assert black.z == pytest.approx(-18.45, abs=0.005)
    assert black.p_fisher == pytest.approx(9.8e-77, rel=0.01)
    assert black.cell == "below-and-significant"


@given(n=st.integers(1, 60), m=st.integers(1, 60), data=st.data())
def test_z_is_the_signed_root_of_the_chi_square(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    z = ugesp.pooled_z((a, n), (b, m))
    if a + b in (0, n + m):
        assert z is None
        return
    expected = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
    assert z is not None and z * z == pytest.approx(expected.statistic, abs=1e-9)
    assert ugesp.fewest_expected((a, n), (b, m)) == pytest.approx(expected.expected_freq.min())
