"""What the screen's marks are worth, against counts by hand; and that no count of few persons follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.privacy.screen import Reference, screen
from auditkit.privacy.screen_quality import _row, measured, top
from auditkit.result import RankingQuality, Screen
from auditkit.subject.types import Floats


def assessed(influence: Floats, loss: Floats, risk: Floats | None, *, minimum: int = 10) -> Screen:
    strangers = Reference(np.random.default_rng(0).chisquare(3, 4000), 0.10, np.random.default_rng(1))
    found = screen(
        influence, absent="", labels=np.ones(len(influence)), groupings={}, persons=None, reference=strangers,
        level=0.95, minimum=minimum,
    )  # fmt: skip
    return measured(
        found.public, rankings={"self-influence": influence, "loss": loss}, flag=found.flag, risk=risk, persons=None,
        level=0.95, minimum=minimum,
    )  # fmt: skip


def rows_of(found: Screen) -> dict[tuple[str, str], RankingQuality]:
    return {(row.ranking, row.selection): row for row in found.quality}


def test_precision_recall_and_lift_are_those_counted_by_hand() -> None:
    rng = np.random.default_rng(0)
    risk, influence, loss = rng.uniform(0.5, 0.6, 2000), rng.chisquare(1, 2000), rng.gamma(1.0, 1.0, 2000)
    risk[:100] += 0.3
    influence[:60] += 300.0
    influence[100:140] += 300.0
    found = assessed(influence, loss, risk)
    assert found.calibration == "measured" and found.truth_share == 0.05
    marked = rows_of(found)["self-influence", "marked by the screen"]
    assert marked.precision.value == pytest.approx(0.6, abs=0.02) and marked.precision.n is not None
    assert marked.recall.value == pytest.approx(0.6) and marked.recall.n == 100
    assert marked.lift.value == pytest.approx(20 * marked.precision.value)
    assert marked.lift.low is not None and marked.lift.low > 8
    # Loss says nothing here: its lift is about 1, where the counts may be told at all.
    plain = rows_of(found)["loss", "highest 5%"]
    if plain.lift.known:
        assert plain.lift.low is not None and plain.lift.high is not None and plain.lift.low < 1 < plain.lift.high


def test_a_ranking_of_no_worth_has_an_interval_of_lift_that_covers_one() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        risk, influence, loss = rng.uniform(0.5, 1, 4000), rng.chisquare(1, 4000), rng.gamma(1.0, 1.0, 4000)
        lift = rows_of(assessed(influence, loss, risk, minimum=2))["loss", "highest 5%"].lift
        assert lift.low is not None and lift.high is not None
        covered += lift.low <= 1 <= lift.high
    assert covered >= 54


def test_without_retrained_models_it_stays_uncalibrated_and_says_nothing() -> None:
    rng = np.random.default_rng(2)
    found = assessed(rng.chisquare(1, 500), rng.gamma(1.0, 1.0, 500), None)
    assert found.status == "assessed" and found.calibration == "uncalibrated"
    assert found.quality == () and found.truth_share is None


def test_all_but_a_few_are_said_as_a_band() -> None:
    rng = np.random.default_rng(5)
    risk, influence = rng.uniform(0.5, 0.6, 2000), rng.chisquare(3, 2000)
    risk[:100] += 0.3
    influence[:30] += 3000.0
    influence[100:102] += 3000.0
    row = rows_of(assessed(influence, rng.gamma(1.0, 1.0, 2000), risk))["self-influence", "marked by the screen"]
    assert row.precision.n is not None and 32 <= row.precision.n <= 36
    assert row.precision.value is None and row.precision.high == 1.0
    assert row.precision.low is not None and row.precision.low < 23 / 32
    assert row.lift.low == pytest.approx(20 * row.precision.low) and row.lift.high == 20.0
    assert row.recall.value is None and (row.recall.low, row.recall.high) == (0.3, 0.4)


@pytest.mark.parametrize("seed", range(25))
def test_no_count_of_few_follows_from_the_rows_shown(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(150, 1500))
    risk = rng.uniform(0.5, 1.0, n)
    influence = rng.chisquare(1, n) + 40 * (risk > 0.98)
    found = assessed(influence, rng.gamma(1.0, 1.0, n) + 2 * (risk > 0.9), risk)
    events: dict[str, list[int]] = {}
    for row in found.quality:
        hits, picked, truth = row.precision.events, row.precision.n, row.recall.n
        if hits is None or picked is None or truth is None:
            assert row.precision.withheld and row.recall.value is None and row.lift.value is None
            if row.precision.low is not None:
                # A band that leaves at least the minimum of persons open.
                assert (row.precision.high - row.precision.low) * (row.precision.n or 0) >= 9
            if row.recall.low is not None:
                assert (row.recall.high - row.recall.low) * row.recall.n >= 10 - 1e-9
            continue
        for count in (hits, picked - hits, truth - hits, n - picked - truth + hits):
            assert count == 0 or count >= 10
        events.setdefault(row.ranking, []).append(hits)
    for own in events.values():
        gaps = np.diff(sorted(own))
        assert ((gaps == 0) | (gaps >= 10)).all()


@pytest.mark.parametrize("picked", [30, 60, 120, 300, 450, 600, 900, 1200])
def test_where_counts_may_not_be_told_the_worth_is_told_in_bands(picked: int) -> None:
    """Nearly all of those at risk are marked, so that exact counts would tell of the few that are not."""
    truth = np.arange(2000) < 100
    chosen = (np.arange(2000) >= 4) & (np.arange(2000) < picked)
    row = _row(chosen, truth, None, safe=False, level=0.95, minimum=10)
    for estimate, share in ((row.precision, truth[chosen].mean()), (row.recall, chosen[truth].mean())):
        assert estimate.value is None and estimate.low is not None and estimate.high is not None
        assert estimate.low <= share <= estimate.high and estimate.high - estimate.low <= 0.5
    assert row.precision.low is not None and row.lift.low == pytest.approx(20 * row.precision.low)


def test_ties_across_the_edge_are_out_together() -> None:
    values = np.array([5.0, 4.0, 4.0, 4.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(np.flatnonzero(top(values, 0.2)), [0])
    np.testing.assert_array_equal(np.flatnonzero(top(values, 0.4)), [0, 1, 2, 3])
    assert not top(np.zeros(10), 0.3).any()
