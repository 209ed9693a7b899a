"""Strata of persons with several records: agreement with the formulas for one, coverage, and size."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.stats import stratified
from auditkit.stats.clustered_strata import Persons, cmh, odds_ratio, risk_difference
from auditkit.stats.intervals import critical
from tests.stats.test_stratified import MEN, WOMEN

Z = critical(0.95)
Ints = np.ndarray


def of_rows(*, person: Ints, group: Ints, stratum: Ints, hit: Ints) -> Persons:
    """One kind per person; group 0 is compared, 1 the reference."""
    shape = (person.max() + 1, stratum.max() + 1, 2)
    events, trials = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    np.add.at(trials, (person, stratum, group), 1)
    np.add.at(events, (person, stratum, group), hit)
    return Persons(events, trials, np.ones(len(events), dtype=np.int64))


def berkeley() -> Persons:
    """One person of each of 24 kinds, counted."""
    kinds, counts = [], []
    for group, table in enumerate((WOMEN, MEN)):
        for stratum, cells in enumerate(table):
            for hit, n in zip((1, 0), cells, strict=True):
                kinds.append((group, stratum, hit))
                counts.append(n)
    group, stratum, hit = np.array(kinds).T
    one = of_rows(person=np.arange(len(kinds)), group=group, stratum=stratum, hit=hit)
    return Persons(one.events, one.trials, np.array(counts, dtype=np.int64))


def test_with_one_record_a_person_it_is_mantel_and_haenszels() -> None:
    found = berkeley().compared()
    plain = stratified.strata(
        events=np.stack([WOMEN[:, 0], MEN[:, 0]], axis=1), trials=np.stack([WOMEN.sum(axis=1), MEN.sum(axis=1)], axis=1)
    )
    ours, theirs = risk_difference(found, z=Z), stratified.risk_difference(plain, z=Z)
    assert ours.value == pytest.approx(theirs.value, abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.001)
    ratio, usual = odds_ratio(found, z=Z), stratified.odds_ratio(plain, z=Z)
    assert ratio is not None and usual is not None
    assert ratio.value == pytest.approx(usual.value, rel=1e-12)
    assert (ratio.low, ratio.high) == pytest.approx((usual.low, usual.high), rel=0.02)
    assert cmh(found) == pytest.approx(stratified.cmh(plain), abs=0.01)


def test_a_second_record_that_repeats_the_first_adds_nothing() -> None:
    single = berkeley()
    twice = Persons(2 * single.events, 2 * single.trials, single.counts)
    for made in (risk_difference, odds_ratio):
        one, two = (made(found.compared(), z=Z) for found in (single, twice))
        assert one is not None and two is not None
        assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high), rel=0.005)
    assert cmh(twice.compared()) == pytest.approx(cmh(single.compared()), abs=0.01)


def test_the_jackknife_leaves_out_one_person_at_a_time() -> None:
    draw = np.random.default_rng(0)
    rows = {"person": np.arange(200) % 40, "group": draw.integers(0, 2, 200), "stratum": draw.integers(0, 3, 200)}
    hit = draw.binomial(1, 0.2 + 0.2 * rows["stratum"] + 0.1 * rows["group"])
    found = of_rows(**rows, hit=hit)

    def difference(kept: Ints) -> float:
        above = weight = 0.0
        for k in range(3):
            n1, n0 = (int((kept & (rows["stratum"] == k) & (rows["group"] == g)).sum()) for g in (0, 1))
            x1, x0 = (int(hit[kept & (rows["stratum"] == k) & (rows["group"] == g)].sum()) for g in (0, 1))
            above, weight = above + (x1 * n0 - x0 * n1) / (n1 + n0), weight + n1 * n0 / (n1 + n0)
        return above / weight

    without = np.array([difference(rows["person"] != i) for i in range(40)])
    value = difference(np.ones(200, dtype=bool))
    error = np.sqrt(39 / 40 * ((without - without.mean()) ** 2).sum())
    ours = risk_difference(found.compared(), z=Z)
    assert (ours.value, ours.low, ours.high) == pytest.approx((value, value - Z * error, value + Z * error), abs=1e-12)


def drawn(draw: np.random.Generator, *, apart: float, persons: int) -> Persons:
    """One to five records a person, all in one group and of like outcomes; a stratum each record."""
    n = draw.integers(1, 6, persons)
    who = np.repeat(np.arange(persons), n)
    group = draw.integers(0, 2, persons)[who]
    stratum = draw.integers(0, 4, who.size)
    bent = draw.normal(0, 0.25, persons)[who]
    chance = np.clip(0.35 + 0.08 * stratum + bent + apart * (group == 0), 0.0, 1.0)
    return of_rows(person=who, group=group, stratum=stratum, hit=draw.binomial(1, chance)).compared()


def as_records(found: Persons) -> stratified.Strata:
    x, n = (np.tensordot(found.counts, part, axes=1) for part in (found.events, found.trials))
    return stratified.strata(events=x, trials=n)


def rejected(samples: int, *, persons: int, seed: int) -> tuple[float, float, float]:
    """Share of null samples in which each says that the two differ: by person, its interval, and by record."""
    draw = np.random.default_rng(seed)
    count = np.zeros(3)
    for _ in range(samples):
        found = drawn(draw, apart=0.0, persons=persons)
        limits = risk_difference(found, z=Z)
        p = cmh(found), stratified.cmh(as_records(found))
        count += [(p[0] or 1) <= 0.05, not limits.low <= 0 <= limits.high, (p[1] or 1) <= 0.05]
    return tuple(count / samples)


def test_under_the_null_persons_keep_the_size_and_records_do_not() -> None:
    test, interval, naive = rejected(400, persons=150, seed=1)
    band = 3 * np.sqrt(0.05 * 0.95 / 400)
    assert test <= 0.05 + band and interval <= 0.05 + band
    assert naive > 0.05 + band


@pytest.mark.prove
@pytest.mark.parametrize("persons", [80, 150, 600])
def test_size_by_person_at_full_size(persons: int, record_property: pytest.RecordProperty) -> None:
    test, interval, naive = rejected(4_000, persons=persons, seed=2)
    band = 3 * np.sqrt(0.05 * 0.95 / 4_000)
    record_property("persons", persons)
    record_property("rejected by person", test)
    record_property("interval without 0", interval)
    record_property("rejected by record", naive)
    assert test <= 0.05 + band and interval <= 0.05 + band


def test_what_cannot_be_estimated_is_not() -> None:
    none = of_rows(person=np.arange(40), group=np.arange(40) % 2, stratum=np.zeros(40, int), hit=np.zeros(40, int))
    assert odds_ratio(none.compared(), z=Z) is None and cmh(none.compared()) is None
    lone = of_rows(
        person=np.arange(4), group=np.array([0, 1, 0, 1]), stratum=np.array([0, 0, 0, 1]), hit=np.array([1, 0, 0, 1])
    )
    assert lone.compared().trials.shape == (3, 1, 2)
