"""What every membership attack must do: nothing on an exchangeable world, its work on a planted one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditkit.errors import DataError
from auditkit.privacy import strength
from auditkit.privacy.membership import Attack, Described, Evidence, Retrained
from auditkit.privacy.registry import ATTACKS
from auditkit.subject.types import Floats

ALONE = strength.Sides(None, None)
REPEATS = 400
MODELS = 16
CHECKPOINTS = 8
FITS = {"features"}
"""Needs of attacks that fit something on non-members; they take longer, so that fewer repeats are plain tests."""


def _repeats(attack: Attack, *, proof: bool) -> int:
    return REPEATS if proof or attack.needs not in FITS else 24


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

    The first `planted` members gain `effect` where they were learned, and are hard where they were not. Two features
    say something of the difficulty, one of them as levels; the course of training leads from log 2 to the losses.
    """
    total = members + nonmembers
    centre, gain = rng.normal(1.0, 1.5, total), np.full(total, learned)
    centre[:planted], gain[:planted] = -2.0, effect
    inside = rng.random((MODELS, total)) < 0.5
    spread = rng.uniform(0.3, 0.7, total)
    margin = centre + gain * inside + spread * rng.normal(size=(MODELS, total))
    is_member = np.arange(total) < members
    audited = centre + gain * is_member + spread * rng.normal(size=total)
    columns = np.column_stack([
        centre + rng.normal(0, 1.0, total), np.digitize(centre + rng.normal(0, 1.0, total), [0.0, 1.0, 2.0]),
    ])  # fmt: skip
    columns[rng.random(total) < 0.05, 0] = np.nan
    described = Described(columns, np.array([False, True]), strength.halve(nonmembers, None, rng))
    # Rounded as the losses are in a world with ties.
    course = np.stack([_loss(audited * share) for share in np.linspace(0, 1, CHECKPOINTS)])
    return Evidence(_loss(audited[:members]), _loss(audited[members:]), Retrained(margin, inside), described, course)


def _tied(evidence: Evidence) -> Evidence:
    known = evidence.retrained
    assert known is not None
    return Evidence(
        np.round(evidence.loss_members, 1),
        np.round(evidence.loss_nonmembers, 1),
        Retrained(np.round(known.margin), known.inside),
        evidence.described,
        None if evidence.course is None else np.round(evidence.course, 1),
    )


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "tied"])
def test_an_exchangeable_world_gives_no_advantage(name: str, *, discrete: bool) -> None:
    _hold_no_advantage(name, discrete=discrete, repeats=_repeats(ATTACKS[name], proof=False))


@pytest.mark.prove
@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs in FITS])
@pytest.mark.parametrize("discrete", [False, True], ids=["continuous", "tied"])
def test_an_attack_that_fits_gives_no_advantage_at_full_size(name: str, *, discrete: bool) -> None:
    _hold_no_advantage(name, discrete=discrete, repeats=REPEATS)


def _hold_no_advantage(name: str, *, discrete: bool, repeats: int) -> None:
    rng = np.random.default_rng(20261123)
    covered, held, breached, tpr = 0, 0, 0, []
    for _ in range(repeats):
        evidence = _world(rng, members=300, nonmembers=2000)
        scores = ATTACKS[name].score(_tied(evidence) if discrete else evidence)
        auc = strength.area(scores, ALONE, level=0.95, minimum=10)
        assert auc.low is not None and auc.high is not None
        covered += auc.low <= 0.5 <= auc.high
        (row,) = strength.resolution(scores, ALONE, (0.1,), level=0.95, minimum=2)
        assert row.tpr.value is not None and row.tpr.low is not None and row.tpr.high is not None
        tpr.append(row.tpr.value)
        held += row.tpr.low <= 0.1 <= row.tpr.high
        breached += row.tpr.low > 0.1
    # 95 % less four binomial standard deviations of the repeats.
    assert covered / repeats >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)
    wider = np.sqrt(REPEATS / repeats)
    assert held / repeats >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)
    # A rule that asks for no more than the false-positive rate is breached in at most 5 % of true nulls.
    assert breached / repeats <= 0.05 + 2 * np.sqrt(0.95 * 0.05 / repeats)
    # The coin among equals meets the rate with ties as without.
    assert np.mean(tpr) == pytest.approx(0.1, abs=0.004 * wider)
    if not discrete:
        assert covered / repeats < 0.995 or repeats < REPEATS


@pytest.mark.parametrize("name", ATTACKS)
def test_planted_memorised_rows_rank_on_top(name: str) -> None:
    rng = np.random.default_rng(5)
    # The plain attack finds what is easier than all others; the others find what is easier than it was without them.
    effect = 6.0 if ATTACKS[name].needs_retrained else 14.0
    evidence = _world(rng, members=1000, nonmembers=2000, planted=40, effect=effect)
    scores = ATTACKS[name].score(evidence)
    assert len(set(np.argsort(-scores.members)[:40]) & set(range(40))) >= 36
    (row,) = strength.resolution(scores, ALONE, (0.05,), level=0.95, minimum=10)
    assert row.tpr.low is not None
    assert row.tpr.low > 0.05


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_states_its_source_and_keeps_the_order_of_records(name: str) -> None:
    rng = np.random.default_rng(0)
    evidence = _world(rng, members=30, nonmembers=240, learned=0.3)
    known, described, course = evidence.retrained, evidence.described, evidence.course
    assert known is not None and described is not None and course is not None
    order = rng.permutation(30)
    columns = np.concatenate([order, np.arange(30, 270)])
    scores = ATTACKS[name].score(evidence)
    moved = Retrained(known.margin[:, columns], known.inside[:, columns])
    told = replace(described, columns=described.columns[columns])
    again = ATTACKS[name].score(
        Evidence(evidence.loss_members[order], evidence.loss_nonmembers, moved, told, course[:, columns])
    )
    assert scores.members.shape == (30,)
    assert scores.nonmembers.shape == (240,)
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


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs in ("features", "course")])
def test_an_attack_refuses_without_what_it_needs(name: str) -> None:
    evidence = _world(np.random.default_rng(2), members=50, nonmembers=250)
    with pytest.raises(DataError, match=r"features|checkpoints"):
        ATTACKS[name].score(Evidence(evidence.loss_members, evidence.loss_nonmembers))


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs in FITS])
def test_an_attack_that_fits_looks_at_no_measuring_record_and_gains_by_the_features(name: str) -> None:
    rng = np.random.default_rng(3)
    evidence = _world(rng, members=1500, nonmembers=1500, learned=0.6)
    scores, described = ATTACKS[name].score(evidence), evidence.described
    assert described is not None and scores.fitted is not None
    assert scores.fitted.any() and not (scores.fitted & ~described.setting).any()
    assert int((described.setting & ~scores.fitted).sum()) > 0
    # Other measuring records: every score but theirs stays as it is, bit by bit.
    other = np.where(described.setting, evidence.loss_nonmembers, rng.gamma(1.0, 1.0, 1500))
    columns = described.columns.copy()
    columns[1500:][~described.setting] += 3.0
    moved = replace(evidence, loss_nonmembers=other, described=replace(described, columns=columns))
    again = ATTACKS[name].score(moved)
    np.testing.assert_array_equal(again.members, scores.members)
    np.testing.assert_array_equal(again.nonmembers[described.setting], scores.nonmembers[described.setting])
    assert not np.array_equal(again.nonmembers, scores.nonmembers)
    mine, plain = (
        strength.area(ATTACKS[n].score(evidence), ALONE, level=0.95, minimum=10) for n in (name, "loss-threshold")
    )
    assert mine.value is not None and plain.value is not None and mine.low is not None
    assert mine.value > plain.value and mine.low > 0.5
    assert mine.n == 1500 + int((~scores.fitted).sum())
