from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.privacy import screen
from auditkit.privacy.tails import tail_p
from auditkit.privacy.whom import Piece
from auditkit.subject.types import Grouping


def _grouping(codes: np.ndarray, name: str = "sex", labels: tuple[str, ...] = ("female", "male")) -> Grouping:
    return Grouping(name=name, labels=labels, codes=codes, reference=labels[-1], reference_stated=True)


def _screen(values: np.ndarray | None, **changes: object) -> screen.Screened:
    n = 1000 if values is None else len(values)
    given: dict[str, object] = {
        "absent": "no gradients",
        "labels": (np.arange(n) % 2).astype(float),
        "groupings": {"sex": _grouping(np.arange(n) % 2)},
        "reference": np.random.default_rng(99).chisquare(2, 800),
        "persons": None,
        "level": 0.95,
        "minimum": 10,
    }
    given |= changes
    if given["reference"] is not None:
        given["reference"] = screen.Reference(given["reference"], 0.10, np.random.default_rng(0))  # type: ignore[arg-type]
    return screen.screen(values, **given)  # type: ignore[arg-type]


LAWS = {
    "chi-square 1": lambda rng, n: rng.chisquare(1, n), "chi-square 5": lambda rng, n: rng.chisquare(5, n),
    "sixth power": lambda rng, n: np.abs(rng.normal(size=n)) ** 6, "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "Pareto": lambda rng, n: rng.pareto(1, n), "bounded": lambda rng, n: rng.beta(0.3, 2, n),
    "with ties": lambda rng, n: rng.poisson(1.0, n).astype(float), "mostly zero": lambda rng, n: (
        rng.exponential(size=n) * (rng.random(n) < 0.2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("members", "reserve"), [(300, 300), (500, 120)])
def test_where_reserve_and_training_records_are_alike_hardly_any_audit_marks(
    law: str, members: int, reserve: int
) -> None:
    rng, marked = np.random.default_rng(7), 0
    for _ in range(30):
        done = _screen(LAWS[law](rng, members), reference=LAWS[law](rng, reserve))
        assert done.flag is not None
        marked += bool(done.flag.any())
    assert marked <= stats.binom.isf(0.01, 30, 0.10)


@pytest.mark.parametrize("law", [law for law in LAWS if law != "Pareto"])
def test_planted_outsized_records_are_marked_and_hardly_any_other(law: str) -> None:
    rng = np.random.default_rng(3)
    values, reference = LAWS[law](rng, 1000), LAWS[law](rng, 600)
    values[:40] = 2 * max(values.max(), reference.max()) * rng.uniform(1, 3, 40)
    done = _screen(values, reference=reference)
    assert done.flag is not None and done.rank is not None
    assert done.flag[:40].all() and done.flag[:40].sum() / done.flag.sum() >= 0.65
    assert set(np.flatnonzero(done.rank <= 40)) == set(range(40))


def test_a_single_record_far_beyond_the_reserve_can_be_marked() -> None:
    rng = np.random.default_rng(4)
    values = rng.chisquare(1, 800)
    values[3] = 1e9
    done = _screen(values, reference=rng.chisquare(1, 800))
    assert done.flag is not None and np.flatnonzero(done.flag).tolist() == [3]


def test_p_values_are_ranks_up_to_the_largest_of_the_reserve_and_never_above_them() -> None:
    rng = np.random.default_rng(5)
    values, reference = rng.chisquare(2, 400), rng.chisquare(2, 300)
    values[:5] = [30, 60, 120, 240, 480]
    p = tail_p(values, reference, np.random.default_rng(0))
    ranks = np.array([(1 + (reference >= value).sum()) / 301 for value in values])
    inside = values <= reference.max()
    np.testing.assert_allclose(p[inside], ranks[inside])
    assert (p <= ranks).all() and (np.diff(p[:5]) < 0).all() and p[4] > 0


def test_without_a_reserve_records_are_ranked_and_none_is_marked() -> None:
    values = np.random.default_rng(6).chisquare(2, 200)
    for reference, word in ((None, "did not learn from"), (values[:10], "fewer than 30")):
        done = _screen(values, reference=reference)
        assert done.flag is None and done.rank is not None and done.public.status == "assessed"
        assert done.public.flagged is not None and done.public.flagged.value is None
        assert word in done.public.flagged.withheld and "none is marked" in done.public.rule
        assert screen.measurements(done.public)[0].estimate.withheld == done.public.flagged.withheld


def test_shares_by_slice_are_those_of_the_marks_and_few_are_withheld() -> None:
    rng = np.random.default_rng(8)
    values = rng.chisquare(2, 1000)
    values[:60] += 1e4
    pieces = [Piece("half", mask=np.arange(1000) % 2 == 0), Piece("few", mask=np.arange(1000) < 5),
              Piece("odd", reason="the filter reads predictions")]  # fmt: skip
    done = _screen(values, reference=rng.chisquare(2, 600), slices=pieces, groupings={})
    rows = {row.group: row.estimate for row in done.public.slices}
    assert done.flag is not None and rows["half"].value == pytest.approx(done.flag[::2].mean())
    assert rows["few"].value is None and rows["odd"].withheld == "the filter reads predictions"


def test_the_flag_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(1)
    values, reference = rng.lognormal(0, 1.5, 500) * np.where(np.arange(500) < 20, 1e4, 1), rng.lognormal(0, 1.5, 400)
    one, small = _screen(values, reference=reference), _screen(1e-9 * values, reference=1e-9 * reference)
    np.testing.assert_array_equal(one.flag, small.flag)
    assert one.public.cut == pytest.approx(small.public.cut) and one.flag is not None and one.flag[:20].all()


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
    flag = values > np.quantile(values, 0.99)
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


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "finite"), (np.inf, "finite"), (-1.0, "below zero")])
def test_impossible_self_influence_is_refused(bad: float, word: str) -> None:
    values = np.random.default_rng(5).chisquare(2, 50)
    values[7] = bad
    with pytest.raises(NumericsError, match=word):
        _screen(values)
