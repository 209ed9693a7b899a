from __future__ import annotations

import numpy as np
import pytest

from auditkit.errors import NumericsError
from auditkit.privacy import screen
from auditkit.subject.types import Grouping


def _grouping(codes: np.ndarray, name: str = "sex", labels: tuple[str, ...] = ("female", "male")) -> Grouping:
    return Grouping(name=name, labels=labels, codes=codes, reference=labels[-1], reference_stated=True)


def _screen(values: np.ndarray | None, **changes: object) -> screen.Screened:
    n = 1000 if values is None else len(values)
    given: dict[str, object] = {
        "absent": "no gradients",
        "labels": (np.arange(n) % 2).astype(float),
        "groupings": {"sex": _grouping(np.arange(n) % 2)},
        "persons": None,
        "level": 0.95,
        "minimum": 10,
    }
    return screen.screen(values, **(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("freedom", [1, 2, 5, 30])
def test_a_quadratic_form_of_ordinary_records_is_not_flagged(freedom: int) -> None:
    values = np.random.default_rng(freedom).chisquare(freedom, 100_000)
    edge = screen.cut(values)
    assert edge is not None
    assert (values > edge).mean() < 0.002
    raw = 0.6745 * (values - np.median(values)) / np.median(np.abs(values - np.median(values))) > 3.5
    if freedom <= 2:
        # What the cube root is for: the same cut-off on raw values accuses the ordinary tail.
        assert raw.mean() > 0.03


def test_planted_outsized_records_are_flagged_and_rank_first() -> None:
    rng = np.random.default_rng(0)
    values = rng.chisquare(2, 2000)
    planted = rng.choice(2000, 25, replace=False)
    values[planted] = rng.uniform(100, 200, 25)
    done = _screen(values)
    assert done.flag is not None and done.rank is not None and done.public.flagged is not None
    assert done.flag[planted].all()
    assert set(np.flatnonzero(done.rank <= 25)) == set(planted)
    assert done.public.flagged.value == pytest.approx(done.flag.mean())
    assert done.public.calibration == "uncalibrated"
    assert "cube root" in done.public.rule
    roots = np.cbrt(values)
    z = 0.6745 * (roots - np.median(roots)) / np.median(np.abs(roots - np.median(roots)))
    np.testing.assert_array_equal(done.flag, z > 3.5)
    assert done.public.cut is not None
    np.testing.assert_array_equal(values / np.median(values) > done.public.cut, done.flag)


def test_the_flag_does_not_depend_on_the_unit() -> None:
    values = np.random.default_rng(1).lognormal(0, 1.5, 500)
    edge, small = screen.cut(values), screen.cut(1e-9 * values)
    assert edge is not None and small == pytest.approx(1e-9 * edge)


def test_ties_share_a_rank() -> None:
    assert screen.ranks(np.array([2.0, 5.0, 2.0, 1.0])).tolist() == [2, 1, 2, 4]


def test_shares_by_group_and_composition_agree_with_a_recount() -> None:
    rng = np.random.default_rng(2)
    codes = (np.arange(3000) % 3 == 0).astype(np.int64)
    values = rng.chisquare(2, 3000)
    values[:120] += 300.0
    done = _screen(values, groupings={"sex": _grouping(codes)}, labels=(np.arange(3000) % 2).astype(float))
    flag = done.flag
    assert flag is not None
    by_group = {row.group: row for row in done.public.by_group}
    assert by_group["female"].estimate.value == pytest.approx(flag[codes == 0].mean())
    assert by_group["male"].estimate.events == int(flag[codes == 1].sum())
    rows = {(row.column, row.level): row for row in done.public.by}
    male = rows["sex", "male"]
    assert male.share.value == pytest.approx((codes == 1)[flag].mean())
    assert male.base_share == pytest.approx((codes == 1).mean())
    assert male.lift == pytest.approx(male.share.value / male.base_share)  # type: ignore[operator]
    assert rows["label", "favourable"].share.value == pytest.approx((np.arange(3000) % 2 == 1)[flag].mean())


def test_unknown_membership_is_a_row_of_its_own() -> None:
    codes = np.where(np.arange(3000) % 5 == 0, -1, np.arange(3000) % 2)
    values = np.random.default_rng(3).chisquare(2, 3000)
    values[:300] += 300.0
    done = _screen(values, groupings={"sex": _grouping(codes)})
    assert [row.group for row in done.public.by_group] == ["female", "male", "unknown"]
    assert done.public.by_group[2].estimate.n == 600


def test_the_tail_ends_before_a_few_records_and_never_at_a_data_value() -> None:
    values = np.random.default_rng(4).lognormal(0, 2, 2000)
    edge = screen.cut(values)
    assert edge is not None
    flag = values > edge
    series = screen.tail(values, flag, None, minimum=10)
    assert series is not None
    counts = np.array([point.y for point in series.points]) * 2000
    assert counts.min() >= 10
    assert (np.diff(counts) <= -10 + 1e-6).all()
    assert max(point.x for point in series.points) < values.max() / np.median(values)
    for point in series.points:
        assert np.log10(point.x) * 10 == pytest.approx(round(np.log10(point.x) * 10), abs=1e-9)
        assert point.y == pytest.approx((values / np.median(values) >= point.x).mean())
        gap = abs(point.y * 2000 - flag.sum())
        assert gap < 1e-6 or gap >= 10 - 1e-6


def test_without_self_influence_it_says_why() -> None:
    done = _screen(None)
    assert done.public.status == "not-applicable"
    assert done.public.reason == "no gradients"
    assert done.flag is None and done.rank is None
    assert screen.measurements(done.public) == ()


def test_no_scale_no_flag() -> None:
    values = np.ones(100)
    values[:30] = 50.0
    done = _screen(values)
    assert done.public.status == "withheld"
    assert done.public.flagged is None
    assert "no scale" in done.public.reason


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "finite"), (np.inf, "finite"), (-1.0, "below zero")])
def test_impossible_self_influence_is_refused(bad: float, word: str) -> None:
    values = np.random.default_rng(5).chisquare(2, 50)
    values[7] = bad
    with pytest.raises(NumericsError, match=word):
        _screen(values)
