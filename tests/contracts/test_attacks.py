"""What every membership attack must do: nothing on an exchangeable world, its work on a planted one."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.errors import DataError
from auditkit.privacy import strength
from auditkit.privacy.membership import Evidence, Retrained
from auditkit.privacy.registry import ATTACKS
from auditkit.subject.types import Floats

ALONE = strength.Sides(None, None)
REPEATS = 400
MODELS = 16


def _loss(margin: Floats) -> Floats:
    return np.logaddexp(0.0, -margin)


def _world(
    rng: np.random.Generator,
    *,
    members: int,
    nonmembers: int,
    planted: int = 0,
    learned: float = 0.0,
    effect: float = 6.0,
) -> Evidence:
    """Margins normal about a difficulty of each record; `learned` is what learning any record adds to its margin.

    The first `planted` members gain `effect` where they were learned, and are hard where they were not.
    """
    total = members + nonmembers
    centre, gain = rng.normal(1.0, 1.5, total), np.full(total, learned)
    centre[:planted], gain[:planted] = -2.0, effect
    inside = rng.random((MODELS, total)) < 0.5
    spread = rng.uniform(0.3, 0.7, total)
    margin = centre + gain * inside + spread * rng.normal(size=(MODELS, total))
    is_member = np.arange(total) < members
    audited = centre + gain * is_member + spread * rng.normal(size=total)
    return Evidence(_loss(audited[:members]), _loss(audited[members:]), Retrained(margin, inside))


def _tied(evidence: Evidence) -> Evidence:
    known = evidence.retrained
    assert known is not None
    return Evidence(
        np.round(evidence.loss_members, 1),
        np.round(evidence.loss_nonmembers, 1),
        Retrained(np.round(known.margin), known.inside),
    )


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "tied"])
def test_an_exchangeable_world_gives_no_advantage(name: str, *, discrete: bool) -> None:
    rng = np.random.default_rng(20261123)
    covered, tpr, fpr = 0, [], []
    for _ in range(REPEATS):
        evidence = _world(rng, members=300, nonmembers=2000)
        scores = ATTACKS[name].score(_tied(evidence) if discrete else evidence)
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
    assert np.mean(tpr) == pytest.approx(np.mean(fpr), abs=0.004)
    # Tied scores may realise less than the nominal rate, never more on average.
    assert np.mean(fpr) < 0.103
    if not discrete:
        assert np.mean(fpr) == pytest.approx(0.1, abs=0.003)
        assert covered / REPEATS < 0.995


@pytest.mark.parametrize("name", ATTACKS)
def test_planted_memorised_rows_rank_on_top(name: str) -> None:
    rng = np.random.default_rng(5)
    # The plain attack finds what is easier than all others; the others find what is easier than it was without them.
    effect = 6.0 if ATTACKS[name].needs_retrained else 14.0
    scores = ATTACKS[name].score(_world(rng, members=1000, nonmembers=2000, planted=40, effect=effect))
    assert len(set(np.argsort(-scores.members)[:40]) & set(range(40))) >= 36
    half = strength.halve(2000, None, rng)
    (row,) = strength.resolution(scores, ALONE, half, (0.01,), level=0.95, minimum=10)
    assert row.tpr.low is not None
    assert row.tpr.low > 0.02


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_states_its_source_and_keeps_the_order_of_records(name: str) -> None:
    rng = np.random.default_rng(0)
    evidence = _world(rng, members=30, nonmembers=40, learned=0.3)
    known = evidence.retrained
    assert known is not None
    order = rng.permutation(30)
    columns = np.concatenate([order, np.arange(30, 70)])
    scores = ATTACKS[name].score(evidence)
    moved = Retrained(known.margin[:, columns], known.inside[:, columns])
    again = ATTACKS[name].score(Evidence(evidence.loss_members[order], evidence.loss_nonmembers, moved))
    assert scores.members.shape == (30,)
    assert scores.nonmembers.shape == (40,)
    np.testing.assert_allclose(again.members, scores.members[order], rtol=1e-9, atol=1e-12)
    assert ATTACKS[name].source


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs_retrained])
def test_an_attack_that_needs_retrained_models_refuses_without_them_and_gains_by_them(name: str) -> None:
    evidence = _world(np.random.default_rng(1), members=1500, nonmembers=1500, learned=0.6)
    with pytest.raises(DataError, match="retrained"):
        ATTACKS[name].score(Evidence(evidence.loss_members, evidence.loss_nonmembers))
    mine, plain = (
        strength.area(ATTACKS[n].score(evidence), ALONE, level=0.95, minimum=10) for n in (name, "loss-threshold")
    )
    assert mine.low is not None and plain.high is not None
    assert mine.low > plain.high
