"""Persons with several records: one statistic a person, against laws with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import personal, risk
from auditkit.privacy.attacks.lira_offline import surprise
from auditkit.privacy.membership import Retrained
from auditkit.privacy.persons import kept_together, together
from auditkit.subject.types import Floats, Ints

ALIKE = 0.5
NOBODY = np.array([], dtype=np.int64)


def drawn(
    rng: np.random.Generator, persons: Ints, distance: Floats, models: int, *, alike: float = ALIKE
) -> Retrained:
    """Margins [models, P] that move by `distance` deviations when the person is learned; a person's own correlate."""
    count = int(persons.max()) + 1
    inside = (rng.random((models, count)) < 0.5)[:, persons]
    noise = np.sqrt(alike) * rng.normal(size=(models, count))[:, persons]
    noise += np.sqrt(1 - alike) * rng.normal(size=inside.shape)
    return Retrained(2 + 1.5 * (noise + distance * inside), inside)


def optimum(persons: Ints, distance: Floats, alike: float = ALIKE) -> Floats:
    """Risk of each person for an attacker who knows the law: Phi(sqrt(d' R^-1 d) / 2)."""
    found = []
    for person in range(int(persons.max()) + 1):
        own = distance[persons == person]
        inverse = np.linalg.inv((1 - alike) * np.eye(len(own)) + alike)
        found.append(stats.norm.cdf(np.sqrt(own @ inverse @ own) / 2))
    return np.array(found)


def test_one_rare_record_among_many_is_not_drowned_by_the_others() -> None:
    """A sum of a person's margins would lose it: each of nine ordinary records adds its noise."""
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(150), 10)
    distance = np.where(np.arange(1500) % 10 == 0, 3.0, 0.1)
    known = drawn(rng, persons, distance, 64, alike=0.1)
    units = together(known, known.margin[0], persons, NOBODY)
    stated = risk.measure(units.known, level=0.95, generator=rng).value.mean()
    exact = optimum(persons, distance, 0.1).mean()
    assert exact > 0.92
    assert stated == pytest.approx(exact, abs=0.03)
    plain = Retrained(np.add.reduceat(known.margin, np.arange(0, 1500, 10), axis=1), units.known.inside)
    assert risk.measure(plain, level=0.95, generator=rng).value.mean() < exact - 0.1


@pytest.mark.parametrize("models", [16, 64])
def test_the_risk_stated_is_the_success_met_on_other_models(models: int) -> None:
    rng = np.random.default_rng(models)
    persons = np.repeat(np.arange(400), rng.integers(1, 4, 400))
    distance = rng.exponential(0.7, len(persons))
    known, others = (drawn(rng, persons, distance, count) for count in (models, 16))
    units = [together(known, margin, persons, NOBODY) for margin in others.margin]
    stated = risk.measure(units[0].known, level=0.95, generator=rng).value
    held = others.inside[:, np.unique(persons, return_index=True)[1]]
    sides = [np.nanmean(np.where(chosen, units[0].known.margin, np.nan), axis=0)
             for chosen in (units[0].known.inside, ~units[0].known.inside)]  # fmt: skip
    met = np.mean([(u.target > np.mean(sides, axis=0)) == i for u, i in zip(units, held, strict=True)], axis=0)
    assert stated.mean() == pytest.approx(met.mean(), abs=0.02)
    high = stated > np.quantile(stated, 0.8)
    assert stated[high].mean() == pytest.approx(met[high].mean(), abs=0.05)


def test_where_learning_a_person_changes_nothing_many_records_do_not_make_a_risk() -> None:
    """Weights are learned from other models than they are applied to; from the same they would find d in noise."""
    rng = np.random.default_rng(3)
    persons = np.repeat(np.arange(300), 8)
    known = drawn(rng, persons, np.zeros(len(persons)), 24)
    found = risk.average(together(known, known.margin[0], persons, NOBODY).known, members=300, level=0.95)
    assert found.value is not None and found.value < 0.52


def test_a_person_with_one_record_keeps_that_record_s_margin_up_to_scale() -> None:
    rng = np.random.default_rng(4)
    persons = np.r_[np.repeat(np.arange(60), 2), 60 + np.arange(100)]
    known = drawn(rng, persons, rng.exponential(1.0, len(persons)), 40)
    units = together(known, known.margin[0], persons, NOBODY)
    for person in (60, 100, 159):
        column = int(np.flatnonzero(persons == person)[0])
        assert np.corrcoef(units.known.margin[:, person], known.margin[:, column])[0, 1] > 0.99
        np.testing.assert_array_equal(units.known.inside[:, person], known.inside[:, column])


def test_members_stand_first_and_the_reserve_s_rows_of_members_are_left_out() -> None:
    rng = np.random.default_rng(5)
    train, reserve = np.array([7, 3, 3, 9] * 10), np.array([3, 5, 5, 8] * 10)
    codes = np.concatenate([train, reserve])
    known = drawn(rng, np.unique(codes, return_inverse=True)[1], np.ones(80), 20)
    units = together(known, known.margin[0], train, reserve)
    assert units.members == 3 and units.target.shape == (5,)
    np.testing.assert_array_equal(units.of_row[:4], [1, 0, 0, 2])
    for unit, person in enumerate((3, 7, 9, 5, 8)):
        at = int(np.flatnonzero(codes == person)[0])
        np.testing.assert_array_equal(units.known.inside[:, unit], known.inside[:, at])


def test_models_that_split_a_person_are_told_from_those_that_do_not() -> None:
    persons = np.array([4, 1, 4, 2])
    whole = np.array([[True, False, True, False], [False, True, False, False]])
    assert kept_together(whole, persons)
    whole[1, 0] = True
    assert not kept_together(whole, persons)


def _measured(known: Retrained, target: Floats, train: Ints, reserve: Ints, minimum: int = 10) -> personal.Personal:
    return personal.measure(
        known, target, absent="", train=train, reserve=reserve, settings=PrivacySettings(),
        generator=np.random.default_rng(0), level=0.95, minimum=minimum,
    )  # fmt: skip


def world(seed: int, planted: int, *, leaks: bool = True) -> tuple[Retrained, Floats, Ints, Ints]:
    """400 members and 600 strangers with one to three records; learning a planted person moves the margins by 3.5."""
    rng = np.random.default_rng(seed)
    persons = np.repeat(np.arange(1000), rng.integers(1, 4, 1000))
    distance = np.where(persons < planted, 3.5, 0.0)
    known = drawn(rng, persons, distance, 32)
    audited = drawn(rng, persons, np.zeros(len(persons)), 1).margin[0] + 1.5 * distance * (persons < 400) * leaks
    return known, audited, persons[persons < 400], persons[persons >= 400]


def test_planted_persons_are_marked_with_all_their_records_and_the_figures_have_persons_for_n() -> None:
    known, target, train, reserve = world(6, 60)
    found = _measured(known, target, train, reserve)
    assert found.marks is not None and found.public.flagged is not None and found.public.average is not None
    by_person = [found.marks.flag[train == person] for person in range(400)]
    assert all(rows.all() or not rows.any() for rows in by_person)
    flagged = np.array([rows.any() for rows in by_person])
    assert flagged[:60].mean() > 0.8 and flagged[60:].sum() <= 3
    public = found.public
    assert public.persons == public.flagged.n == public.average.n == 400 and public.p_steps == 601
    assert public.flagged.events == flagged.sum() >= 10 + (flagged & (np.bincount(train) == 1)).sum()
    assert sum(band.share.events or 0 for band in public.bands) == 400
    several = np.bincount(train) > 1
    assert public.several is not None and public.several.events == several.sum()
    # P-values again: 1 + strangers whose statistic is as large, over 1 + strangers; then those at risk, or 1.
    units = together(known, target, train, reserve)
    low = risk.measure(units.known, level=0.95, generator=np.random.default_rng(0)).low
    z = surprise(units.target, units.known)
    at_risk = np.where(low > PrivacySettings().risk_threshold, z, -np.inf)
    for statistic, p in ((z, found.marks.p), (at_risk, found.marks.p_at_risk)):
        again = np.array([(1 + (statistic[400:] >= one).sum()) / 601 for one in statistic[:400]])
        np.testing.assert_allclose(p, again[train])


def test_a_recipe_that_leaks_marks_nobody_in_a_model_that_did_not() -> None:
    found = _measured(*world(7, 60, leaks=False))
    assert found.marks is not None and not found.marks.flag.any()


def test_fifteen_exchangeable_worlds_mark_hardly_anybody() -> None:
    marks = [_measured(*world(100 + seed, 0)).marks for seed in range(15)]
    assert sum(mark is not None and bool(mark.flag.any()) for mark in marks) <= 4


def test_where_nothing_can_be_said_by_person_the_reason_is_said() -> None:
    known, target, train, reserve = world(8, 0)
    one_each = personal.measure(
        known, target, absent="", train=np.arange(len(train)), reserve=len(train) + np.arange(len(reserve)),
        settings=PrivacySettings(), generator=np.random.default_rng(0), level=0.95, minimum=10,
    )  # fmt: skip
    assert one_each.public.reason.startswith("no person has several records") and one_each.marks is None
    nameless = personal.measure(
        known, target, absent="no reserve", train=None, reserve=None, settings=PrivacySettings(),
        generator=np.random.default_rng(0), level=0.95, minimum=10,
    )  # fmt: skip
    assert nameless.public.status == "not-applicable" and "names no person" in nameless.public.reason
    torn = Retrained(known.margin, np.random.default_rng(1).random(known.inside.shape) < 0.5)
    split = _measured(torn, target, train, reserve)
    assert split.public.status == "withheld" and split.refused
    few = _measured(known, target, train, reserve, minimum=500)
    assert few.public.status == "withheld" and few.public.average is None and few.refused


@pytest.mark.parametrize("planted", [0, 4, 7, 12, 15])
def test_no_figure_of_persons_tells_of_a_few(planted: int) -> None:
    found = _measured(*world(20 + planted, planted)).public
    shown = (found.flagged, found.several, *(band.share for band in found.bands))
    counts = [estimate.events for estimate in shown if estimate is not None]
    assert all(count is None or count == 0 or 10 <= count <= 390 or count == 400 for count in counts)


def test_marked_records_less_marked_persons_never_tell_of_a_few_with_several() -> None:
    """A dozen planted persons, of whom one to nine have several records: records less persons would give those away."""
    known, target, train, reserve = world(40, 12)
    found = _measured(known, target, train, reserve)
    assert found.marks is not None and found.public.flagged is not None
    marked = np.unique(train[found.marks.flag])
    several = int((np.bincount(train)[marked] > 1).sum())
    assert len(marked) >= 10 and 0 < several < 10
    assert found.public.flagged.value is None and "several records" in found.public.flagged.withheld
