from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import betaincinv, ndtr, ndtri

from auditkit.errors import NumericsError
from auditkit.stats.operating import operating_point, reach

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
LEVEL = 0.95
FIRST = np.array([1, 2, 3, 4, 5, 8, 20, 57]) / 100
SECOND = np.array([8, 10, 12, 12, 14, 14, 15, 15]) / 100


@dataclass(frozen=True)
class Law:
    """Scores of positives and of negatives, and the ROC of the two populations."""

    positives: Draw
    negatives: Draw
    roc: Callable[[float], float]
    null: bool = False


def _few(positives: Floats, negatives: Floats) -> Callable[[float], float]:
    """The ROC of two laws on the same few values in ascending order: straight lines between its corners."""
    x, y = (np.r_[0.0, np.cumsum(law[::-1])] for law in (negatives, positives))
    return lambda fpr: float(np.interp(fpr, x, y))


def _rounded(shift: float, decimals: int) -> Callable[[float], float]:
    step = 10.0**-decimals
    cells = np.arange(-9, 9, step)
    laws = [np.diff(ndtr(np.r_[cells - step / 2, cells[-1] + step / 2] - mean)) for mean in (shift, 0.0)]
    return _few(laws[0], laws[1])


LAWS = {
    "noise": Law(lambda g, n: g.normal(size=n), lambda g, n: g.normal(size=n), lambda f: f, null=True),
    "noise of twelve values": Law(
        lambda g, n: g.integers(0, 12, n).astype(float), lambda g, n: g.integers(0, 12, n).astype(float),
        lambda f: f, null=True,
    ),
    "all equal": Law(lambda g, n: np.zeros(n), lambda g, n: np.zeros(n), lambda f: f, null=True),
    "shifted": Law(
        lambda g, n: g.normal(0.5, 1, n), lambda g, n: g.normal(size=n), lambda f: float(ndtr(0.5 + ndtri(f)))
    ),
    "far": Law(lambda g, n: g.normal(1.5, 1, n), lambda g, n: g.normal(size=n), lambda f: float(ndtr(1.5 + ndtri(f)))),
    "worse than chance": Law(
        lambda g, n: g.normal(-0.7, 1, n), lambda g, n: g.normal(size=n), lambda f: float(ndtr(-0.7 + ndtri(f)))
    ),
    "heavy tails": Law(
        lambda g, n: 1.3 * g.standard_t(2, n), lambda g, n: g.standard_t(2, n),
        lambda f: float(stats.t.sf(stats.t.isf(f, 2) / 1.3, 2)),
    ),
    "memorised": Law(
        lambda g, n: np.ones(n), lambda g, n: (g.random(n) < 0.66).astype(float), lambda f: min(f / 0.66, 1.0)
    ),
    "eight values": Law(
        lambda g, n: g.choice(8, n, p=FIRST).astype(float), lambda g, n: g.choice(8, n, p=SECOND).astype(float),
        _few(FIRST, SECOND),
    ),
    "rounded": Law(
        lambda g, n: g.normal(0.3, 1, n).round(1), lambda g, n: g.normal(size=n).round(1), _rounded(0.3, 1)
    ),
}  # fmt: skip
UNTIED = ("noise", "shifted", "far", "worse than chance", "heavy tails")
SIZES = ((300, 300), (300, 1000), (1000, 300), (1000, 1000), (2000, 2000), (300, 10000), (10000, 1000), (10000, 10000))
RATES = (0.001, 0.01, 0.1)
GRID = [(n, m, fpr) for n, m in SIZES for fpr in RATES if m * fpr >= 10 - 1e-9]


@dataclass(frozen=True)
class Counted:
    """Of one point of the grid: shares covered, above and below, and the widths beside it."""

    covered: float
    above: float
    below: float
    width: float
    known: float
    """The width of Clopper and Pearson's interval of a rate at a threshold that is known."""
    ideal: float
    """The width by the true slope of the ROC: what no interval that has to estimate its threshold can go below."""


def _counted(law: Law, n: int, m: int, fpr: float, *, repeats: int, seed: int = 5, persons: int = 1) -> Counted:
    generator, truth = np.random.default_rng(seed), law.roc(fpr)
    codes = None if persons == 1 else (np.arange(n) // persons, np.arange(m) // persons)
    ends = []
    for _ in range(repeats):
        sides = (law.positives(generator, -(-n // persons)), law.negatives(generator, -(-m // persons)))
        positives, negatives = (np.repeat(x, persons)[:size] for x, size in zip(sides, (n, m), strict=True))
        point = operating_point(positives=positives, negatives=negatives, fpr=fpr)
        found = reach(point, level=LEVEL, persons=(None, None) if codes is None else codes)
        assert found.low <= point.value <= found.high
        ends.append((found.low, found.high))
    low, high = np.array(ends).T
    events = generator.binomial(n, truth, size=repeats).astype(float)
    known = np.where(events < n, betaincinv(events + 1, np.maximum(n - events, 1e-9), 0.975), 1.0)
    known -= np.where(events > 0, betaincinv(np.maximum(events, 1e-9), n - events + 1, 0.025), 0.0)
    h = 1e-4 * fpr
    slope = (law.roc(fpr + h) - law.roc(fpr - h)) / (2 * h)
    ideal = 2 * 1.96 * np.sqrt(truth * (1 - truth) / n + slope**2 * fpr * (1 - fpr) / m)
    above, below = (float((side).mean()) for side in (low > truth + 1e-12, high < truth - 1e-12))
    return Counted(1 - above - below, above, below, float((high - low).mean()), float(np.mean(known)), float(ideal))


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60), st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
)  # fmt: skip
def test_the_rule_flags_exactly_the_rate_and_lies_on_the_curve(left: list[int], right: list[int], fpr: float) -> None:
    point = operating_point(positives=left, negatives=right, fpr=fpr)
    assert point.alarms.mean() == pytest.approx(fpr)
    assert point.value == pytest.approx(point.curve(fpr))
    found = reach(point, level=LEVEL)
    assert 0 <= found.low <= point.value <= found.high <= 1
    # No score is flagged more surely than a higher one.
    order = np.argsort(np.r_[left, right])
    assert (np.diff(np.r_[point.hits, point.alarms][order]) >= 0).all()
    rises = [point.curve(x) for x in np.linspace(0, 1, 20)]
    assert (np.diff(rises) >= -1e-12).all() and rises[-1] == 1


@pytest.mark.parametrize(("fpr", "expected"), [(0.29, 29), (0.1, 10), (0.07, 7), (0.58, 58), (0.57, 57)])
def test_whole_numbers_of_negatives_are_counted_where_floats_are_not(fpr: float, expected: int) -> None:
    point = operating_point(positives=np.arange(100.0) + 0.5, negatives=np.arange(100.0), fpr=fpr)
    assert (point.alarms == 1).sum() == expected and point.share == 0


@pytest.mark.parametrize(
    ("positives", "negatives", "fpr"),
    [([], [1.0], 0.1), ([1.0], [], 0.1), ([np.nan], [1.0], 0.1), ([1.0], [np.nan], 0.1), ([1.0], [1.0], 0.0),
     ([1.0], [1.0], 1.0), ([1.0], [1.0], -0.5), ([1.0], [1.0], np.nan)],
)  # fmt: skip
def test_what_has_no_operating_point_is_refused(positives: list[float], negatives: list[float], fpr: float) -> None:
    with pytest.raises(NumericsError, match="no operating point"):
        operating_point(positives=positives, negatives=negatives, fpr=fpr)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(("n", "m", "fpr"), [(300, 300, 0.1), (1000, 1000, 0.01), (300, 1000, 0.1)])
def test_the_interval_covers_the_rate_of_the_population(name: str, n: int, m: int, fpr: float) -> None:
    found = _counted(LAWS[name], n, m, fpr, repeats=250)
    # 0.95 less 2.6 binomial standard deviations of 250 repeats.
    assert found.covered >= 0.914
    if LAWS[name].null:
        assert found.above <= 0.05
    if name == "noise" and n == m:
        assert found.width <= 1.5 * found.known


@pytest.mark.parametrize("persons", [2, 5])
@pytest.mark.parametrize("name", ["noise", "shifted", "noise of twelve values", "memorised"])
def test_records_of_one_person_are_not_counted_as_several(name: str, persons: int) -> None:
    found = _counted(LAWS[name], 1500, 1500, 0.1, repeats=250, persons=persons)
    assert found.covered >= 0.914


@pytest.mark.prove
@pytest.mark.parametrize("name", LAWS)
def test_the_interval_covers_on_the_whole_grid(name: str, record_property: Callable[[str, object], None]) -> None:
    law = LAWS[name]
    rows = {
        key: _counted(law, *key, repeats=1000 if max(key[:2]) <= 2000 else 500) for key in GRID
    }  # fmt: skip
    covered = np.array([row.covered for row in rows.values()])
    above = max(row.above for row in rows.values())
    ratio = np.array([row.width / row.known for row in rows.values()])
    worst = min(rows, key=lambda key: rows[key].covered)
    record_property(f"TPR at FPR, {name}: points, mean coverage", f"{len(rows)}, {covered.mean():.4f}")
    record_property(f"TPR at FPR, {name}: least coverage", f"{covered.min():.3f} at {worst}")
    record_property(f"TPR at FPR, {name}: most that lie wholly above the truth", f"{above:.3f}")
    record_property(f"TPR at FPR, {name}: width over a known threshold, mean", f"{ratio.mean():.3f}")
    even = [row.width / row.known for (n, m, _), row in rows.items() if n == m]
    record_property(f"TPR at FPR, {name}: the same where both sides are equal, most", f"{max(even):.3f}")
    if name in UNTIED:
        ideal = np.array([row.width / row.ideal for row in rows.values()])
        record_property(f"TPR at FPR, {name}: width over the ideal, mean", f"{ideal.mean():.3f}")
    assert covered.mean() >= 0.94
    assert covered.min() >= 0.91
    if law.null:
        # A rule that asks for no more than the false-positive rate: 5 % and two binomial standard deviations.
        assert above <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500)
        assert max(even) <= 1.5


@pytest.mark.prove
def test_records_of_one_person_are_not_counted_as_several_on_the_grid(
    record_property: Callable[[str, object], None],
) -> None:
    rows = {
        (name, n, m, persons): _counted(LAWS[name], n, m, 0.1, repeats=500, persons=persons).covered
        for name in LAWS for n, m in ((1000, 1000), (3000, 1000), (1000, 3000)) for persons in (2, 5)
    }  # fmt: skip
    worst = min(rows, key=lambda key: rows[key])
    record_property("TPR at FPR, several records a person: mean coverage", f"{np.mean(list(rows.values())):.4f}")
    record_property("TPR at FPR, several records a person: least coverage", f"{rows[worst]:.3f} at {worst}")
    assert np.mean(list(rows.values())) >= 0.94 and rows[worst] >= 0.91
