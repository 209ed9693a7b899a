"""Slices that nobody named: planted ones are found and confirmed, and where there is none none is confirmed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from auditkit.fairness.discovery.conditions import conditions
from auditkit.fairness.discovery.confirm import confirm
from auditkit.fairness.discovery.discover import Outcome, discover, outcomes_of
from auditkit.fairness.discovery.search import search
from auditkit.policy.schema import FairnessSettings
from auditkit.result import Discovery


def people(rows: int, columns: int, generator: np.random.Generator) -> pd.DataFrame:
    """Half of the columns with four levels, half numeric."""
    return pd.DataFrame({
        f"c{at}": generator.choice(list("abcd"), rows) if at % 2 else generator.normal(size=rows)
        for at in range(columns)
    })  # fmt: skip


def run(frame: pd.DataFrame, outcome: np.ndarray, seed: int, persons: np.ndarray | None = None) -> Discovery:
    found, restricted = discover(
        frame, [Outcome("wrong", outcome)], numeric=None, persons=persons, level=0.95, false_discovery=0.05,
        minimum_group=30, minimum_cell=10, generator=np.random.default_rng(seed),
    )  # fmt: skip
    assert found.searched == restricted["discovery_half"].sum()
    return found


def test_a_planted_slice_is_found_confirmed_and_sized() -> None:
    generator = np.random.default_rng(1)
    frame = people(8000, 30, generator)
    planted = (frame.c1 == "a") & (frame.c3 == "b") & (frame.c0 > 0.67)
    outcome = (generator.random(8000) < np.where(planted, 0.6, 0.2)).astype(float)
    (found,) = run(frame, outcome, 2).outcomes
    first = found.slices[0]
    assert first.confirmed
    assert {"c1 = a", "c3 = b"} < set(first.where.split(" AND "))
    assert "c0 >= 0.6" in first.where
    assert first.inside.low is not None and first.inside.high is not None
    assert first.inside.low < 0.6 < first.inside.high
    assert sum(row.confirmed for row in found.slices) <= 3, "parts and extensions of the planted one at most"


def test_search_finds_what_looking_at_every_conjunction_finds() -> None:
    generator = np.random.default_rng(3)
    frame = people(600, 6, generator)
    outcome = (generator.random(600) < 0.3).astype(float)
    made = conditions(frame, numeric=None, minimum=20)
    found = search(made, outcome, least=20, wanted=1)
    best, looked = -np.inf, 0
    for length in (1, 2, 3):
        for chosen in combinations(range(len(made.texts)), length):
            if len({int(made.column[at]) for at in chosen}) < length:
                continue
            looked += 1
            mask = made.mask(chosen)
            if 20 <= mask.sum() <= 580:
                spread = mask.sum() * (1 - mask.mean()) * outcome.var(ddof=1)
                best = max(best, float((outcome[mask].sum() - mask.sum() * outcome.mean()) / np.sqrt(spread)))
    assert found.complete
    assert found.score[0] == pytest.approx(best, rel=1e-12)
    assert found.looked_at <= looked


def test_confirmation_is_fishers_exact_test_where_every_record_is_a_person() -> None:
    generator = np.random.default_rng(4)
    outcome = (generator.random(200) < 0.3).astype(float)
    mask = generator.random(200) < 0.4
    (row,) = confirm([mask], outcome, None, level=0.95)
    table = [[outcome[mask].sum(), (~(outcome[mask] == 1)).sum()], [outcome[~mask].sum(), (outcome[~mask] == 0).sum()]]
    assert row.p == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-9)
    assert row.adjusted == row.p


def test_repeated_persons_are_not_counted_as_witnesses() -> None:
    generator = np.random.default_rng(5)
    rejected = {"rows": 0, "persons": 0}
    for _ in range(200):
        wrong = (generator.random(60) < 0.3).astype(float)
        inside = generator.random(60) < 0.5
        outcome, mask, persons = (np.repeat(values, 10) for values in (wrong, inside, np.arange(60)))
        for unit, codes in (("rows", None), ("persons", persons)):
            (row,) = confirm([mask], outcome, codes, level=0.95)
            rejected[unit] += row.p < 0.05
    assert rejected["rows"] > 40, "ten copies of each person make chance look like a finding"
    assert rejected["persons"] <= stats.binom.ppf(0.999, 200, 0.05)


def test_halves_keep_persons_together_and_are_repeatable() -> None:
    generator = np.random.default_rng(6)
    frame = people(1200, 4, generator)
    outcome = (generator.random(1200) < 0.3).astype(float)
    persons = np.repeat(np.arange(400), 3)
    once, again = run(frame, outcome, 7, persons), run(frame, outcome, 7, persons)
    assert once == again
    assert once.searched == 600


def test_where_nothing_is_planted_seldom_anything_is_confirmed() -> None:
    any_confirmed = 0
    for seed in range(20):
        generator = np.random.default_rng(100 + seed)
        frame = people(2000, 10, generator)
        outcome = (generator.random(2000) < 0.3).astype(float)
        found = run(frame, outcome, seed).outcomes[0]
        any_confirmed += any(row.confirmed for row in found.slices)
    assert any_confirmed <= stats.binom.ppf(0.999, 20, 0.05)


def test_a_slice_that_would_tell_of_a_few_is_withheld() -> None:
    generator = np.random.default_rng(8)
    frame = pd.DataFrame({"branch": generator.choice(["north", "south"], 400)})
    outcome = np.zeros(400)
    outcome[np.flatnonzero(frame.branch == "north")[:12]] = 1.0
    (found,) = run(frame, outcome, 9).outcomes
    assert found.tested > 0
    assert found.withheld == found.tested
    assert not found.slices


def test_outcomes_leave_out_records_without_a_label() -> None:
    truth, decision = np.array([1.0, 0.0, np.nan, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    wrong, missed, granted = outcomes_of(truth, decision)
    np.testing.assert_array_equal(wrong.value, [1.0, 0.0, np.nan, 0.0])
    np.testing.assert_array_equal(missed.value, [1.0, np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(granted.value, [np.nan, 0.0, np.nan, np.nan])


def test_edges_are_rounded_and_missing_is_a_level() -> None:
    generator = np.random.default_rng(10)
    frame = pd.DataFrame({"income": generator.normal(31_234.56, 9_000, 500)})
    frame.loc[:99, "income"] = np.nan
    made = conditions(frame, numeric=None, minimum=10)
    assert "income missing" in made.texts
    assert made.texts[0].startswith("income < ")
    assert made.texts[0].removeprefix("income < ").rstrip("0").replace(",", "").isdigit()
    np.testing.assert_array_equal(np.asarray(made.holds.sum(axis=1)).ravel(), 1.0)


def wide(seed: int, *, planted: bool) -> Discovery:
    """20,000 records of 200 columns, about 800 conditions."""
    generator = np.random.default_rng(seed)
    frame = people(20_000, 200, generator)
    inside = (frame.c1 == "a") & (frame.c3 == "b") & (frame.c0 > 0.68)
    outcome = (generator.random(20_000) < np.where(inside & planted, 0.5, 0.2)).astype(float)
    found, _ = discover(
        frame, [Outcome("wrong", outcome)], numeric=None, persons=None, level=0.95,
        false_discovery=FairnessSettings().false_discovery, minimum_group=30, minimum_cell=10,
        generator=np.random.default_rng(seed + 10_000),
    )  # fmt: skip
    return found


@pytest.mark.prove
@pytest.mark.timeout(2400)
def test_among_two_hundred_columns(record_property: pytest.RecordProperty) -> None:
    hits = 0
    for seed in range(5):
        first = wide(seed, planted=True).outcomes[0].slices[0]
        named = {"c1 = a", "c3 = b"} < set(first.where.split(" AND ")) and "c0 >= 0.6" in first.where
        hits += first.confirmed and named
    quiet = sum(not any(row.confirmed for row in wide(s, planted=False).outcomes[0].slices) for s in range(1000, 1100))
    record_property("planted slices found first and confirmed, of 5", hits)
    record_property("null repeats without a confirmed slice, of 100", quiet)
    assert hits == 5
    assert quiet >= 95
