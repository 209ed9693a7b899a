"""Audits of models that never saw `train`: hardly any may mark anybody, whatever the bank says of the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from auditkit.policy.schema import PrivacySettings
from auditkit.privacy import risk
from auditkit.privacy.attacks.lira_offline import surprise
from auditkit.privacy.exposure import mark
from tests.privacy.null_worlds import Null, marks

LEVEL = 0.10
SMALL = (
    Null("logistic", 100, 60, 40, 32, 1e-3), Null("logistic", 60, 60, 20, 32, 1e-4),
    Null("logistic", 120, 60, 10, 16, 1.0), Null("tree", 100, 100, 10, 32, 6), Null("tree", 150, 100, 10, 16, 6),
    Null("tree", 100, 50, 40, 32, 2), Null("network", 60, 60, 10, 16, 60), Null("network", 80, 40, 20, 16, 5),
    Null("logistic", 100, 100, 20, 32, 1e-3, planted=0.1), Null("tree", 100, 100, 20, 32, 6, planted=0.15),
    Null("network", 100, 100, 10, 16, 60, planted=0.15), Null("network", 100, 60, 20, 16, 60, planted=0.2),
)  # fmt: skip
FULL = (
    (Null("logistic", 400, 400, 40, 64, 1e-4), 40), (Null("logistic", 400, 200, 40, 64, 1.0), 20),
    (Null("logistic", 1000, 1000, 20, 64, 1e-3), 20), (Null("logistic", 4000, 2000, 40, 32, 1e-4), 4),
    (Null("tree", 400, 400, 40, 64, 8), 40), (Null("tree", 1500, 1500, 20, 32, 20), 16),
    (Null("network", 400, 400, 20, 32, 60), 26), (Null("network", 1000, 500, 40, 16, 3), 14),
    (Null("network", 400, 400, 20, 32, 60, planted=0.06), 20),
)  # fmt: skip


def name(world: Null) -> str:
    return f"{world.kind}-{world.members}-{world.reserve}-{world.inputs}-{world.strength:g}-{world.planted:g}"


@pytest.mark.parametrize("world", SMALL, ids=name)
def test_a_model_that_never_saw_the_records_marks_hardly_any(world: Null) -> None:
    repeats = 8
    got = [marks(*world.draw(seed), world.members) for seed in range(repeats)]
    marked = sum(bool(found.flag.any()) for found in got)
    if world.planted and world.kind == "network":
        # The bank gives the planted away, so it is the audited model alone that clears them.
        assert sum((found.p_at_risk[: round(world.planted * world.members)] < 1).sum() for found in got) > repeats
    assert marked <= stats.binom.isf(0.01, repeats, LEVEL)


def test_members_picked_by_risk_alone_would_be_marked_by_the_chance_that_picked_them() -> None:
    """Why the reserve is picked by the same rule: against the whole reserve the picked look learned, and are not."""
    world, worse, repeats = SMALL[3], 0, 16
    for seed in range(repeats):
        known, target = world.draw(seed)
        n = world.members
        low = risk.measure(known, level=0.95, generator=np.random.default_rng(0)).low[:n]
        z = surprise(target, known)
        p = risk.conformal(z[:n], z[n:])[low > 0.75]
        worse += bool(len(p) and (stats.false_discovery_control(p) <= LEVEL).any())
    assert worse > stats.binom.isf(0.001, repeats, LEVEL)


@pytest.mark.parametrize("seed", range(8))
def test_who_is_called_a_member_is_settled_by_nothing_but_the_call(seed: int) -> None:
    """Exact: with members and reserve exchanged at random, the share of marked members holds whatever the margins are.

    The records are one and the same world; only the call differs. Half of them are given away by the bank.
    """
    rng = np.random.default_rng(seed)
    total, repeats = 120, 60
    low = np.where(rng.random(total) < 0.5, 0.9, 0.6)
    z = rng.standard_t(1.5, total) + 4 * (low > 0.75)
    calls = (rng.permutation(total) for _ in range(repeats))
    found = [
        mark(low[at], z[at], members=60, settings=PrivacySettings(), level=0.95, unit="record").flag.any()
        for at in calls
    ]
    assert sum(found) <= stats.binom.isf(0.001, repeats, LEVEL)


def test_the_fewest_that_can_be_marked_are_stated_and_marked() -> None:
    settings, others = PrivacySettings(), 99
    for members, fewest in ((100, 10), (40, 4), (200, 20)):
        for count, expected in ((fewest, True), (fewest - 1, False)):
            given_away = np.arange(members + others) < count
            low, z = np.where(given_away, 0.9, 0.5), np.where(given_away, 4.0, 0.0)
            got = mark(low, z, members=members, settings=settings, level=0.95, unit="record")
            assert got.flag[:count].all() == expected == got.flag.any()
            assert f"no fewer than {fewest} records" in got.rule
    one = mark(np.full(101, 0.9), np.zeros(101), members=2, settings=settings, level=0.95, unit="person")
    assert "a single person can be marked" in one.rule


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.parametrize(("world", "repeats"), FULL, ids=lambda value: name(value) if isinstance(value, Null) else "")
def test_two_hundred_true_null_audits(world: Null, repeats: int, record_property: Callable[[str, Any], None]) -> None:
    """Two hundred in all, weak and overfit; each kind within its own binomial band."""
    marked, given_away = 0, 0
    for seed in range(repeats):
        known, target = world.draw(1000 + seed)
        found = marks(known, target, world.members)
        marked += bool(found.flag.any())
        given_away += int((found.p_at_risk < 1).sum())
    record_property(f"{name(world)}: audits with any mark of {repeats}", marked)
    record_property(f"{name(world)}: records an audit whose risk passes", given_away / repeats)
    assert marked <= stats.binom.isf(0.025, repeats, LEVEL)


def test_the_worlds_make_two_hundred() -> None:
    assert sum(repeats for _, repeats in FULL) == 200
    assert {world.kind for world, _ in FULL} == {"logistic", "tree", "network"}
