"""What every membership attack must do: nothing on an exchangeable world, its work on a planted one."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.privacy import strength
from auditkit.privacy.membership import Evidence
from auditkit.privacy.registry import ATTACKS

ALONE = strength.Sides(None, None)
REPEATS = 400


def _exchangeable(rng: np.random.Generator, *, discrete: bool) -> Evidence:
    losses = rng.gamma(0.7, 0.6, 2300)
    if discrete:
        losses = np.round(losses, 1)
    return Evidence(loss_members=losses[:300], loss_nonmembers=losses[300:])


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "tied"])
def test_an_exchangeable_world_gives_no_advantage(name: str, *, discrete: bool) -> None:
    rng = np.random.default_rng(20261123)
    covered, tpr, fpr = 0, [], []
    for _ in range(REPEATS):
        scores = ATTACKS[name].score(_exchangeable(rng, discrete=discrete))
        auc = strength.area(scores, ALONE, level=0.95, minimum=10)
        assert auc.low is not None and auc.high is not None
        covered += auc.low <= 0.5 <= auc.high
        half = strength.halve(len(scores.nonmembers), None, rng)
        (row,) = strength.resolution(scores, ALONE, half, (0.1,), level=0.95, minimum=2)
        assert row.tpr.value is not None and row.realised_fpr.value is not None
        tpr.append(row.tpr.value)
        fpr.append(row.realised_fpr.value)
    # 95 % less four binomial standard deviations of 400 repeats.
    assert covered / REPEATS >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / REPEATS)
    assert np.mean(tpr) == pytest.approx(np.mean(fpr), abs=0.003)
    # Tied scores may realise less than the nominal rate, never more on average.
    assert np.mean(fpr) < 0.103
    if not discrete:
        assert np.mean(fpr) == pytest.approx(0.1, abs=0.003)
        assert covered / REPEATS < 0.995


@pytest.mark.parametrize("name", ATTACKS)
def test_planted_memorised_rows_rank_on_top(name: str) -> None:
    rng = np.random.default_rng(5)
    members, nonmembers = 0.05 + rng.gamma(2.0, 0.4, 1000), 0.05 + rng.gamma(2.0, 0.4, 2000)
    planted = rng.choice(1000, 40, replace=False)
    members[planted] = rng.uniform(0.0, 0.04, 40)
    scores = ATTACKS[name].score(Evidence(members, nonmembers))
    assert set(np.argsort(-scores.members)[:40]) == set(planted)
    half = strength.halve(2000, None, rng)
    (row,) = strength.resolution(scores, ALONE, half, (0.01,), level=0.95, minimum=10)
    assert row.tpr.low is not None
    assert row.tpr.low > 0.02


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_states_its_source_and_keeps_the_order_of_records(name: str) -> None:
    rng = np.random.default_rng(0)
    evidence = Evidence(rng.gamma(1.0, 1.0, 30), rng.gamma(1.0, 1.0, 40))
    order = rng.permutation(30)
    scores = ATTACKS[name].score(evidence)
    again = ATTACKS[name].score(Evidence(evidence.loss_members[order], evidence.loss_nonmembers))
    assert scores.members.shape == (30,)
    assert scores.nonmembers.shape == (40,)
    np.testing.assert_array_equal(again.members, scores.members[order])
    assert ATTACKS[name].source
