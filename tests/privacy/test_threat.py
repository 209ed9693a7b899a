"""The threat model says what is stated and what was run, and what was not tested follows from what was run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditkit.policy.schema import Deployment, PrivacySettings
from auditkit.policy.settings import Claimed
from auditkit.privacy.assess import Given, assess
from auditkit.privacy.membership import Retrained
from auditkit.privacy.one_run import Planted
from auditkit.privacy.registry import ATTACKS
from auditkit.privacy.threat import KNOWLEDGE, NOT_RUN, Ran, attacks_run, not_tested, threat_model
from auditkit.result import NOT_STATED

EVERYTHING = Ran(
    attacks=frozenset(ATTACKS), risk=True, persons=True, attributes=True, recipe_bound=True, canaries=True,
    claimed=False, earlier_releases=True,
)  # fmt: skip
NOTHING = Ran(frozenset(), False, False, False, False, False, True, False)


def test_everything_run_leaves_only_what_is_never_tested() -> None:
    left = not_tested(EVERYTHING, PrivacySettings(access="decisions"))
    assert len(left) == 3
    assert any("poisoning" in line for line in left) and any("reconstruction" in line for line in left)
    assert len(not_tested(NOTHING, PrivacySettings())) == 11


@pytest.mark.parametrize(
    ("flag", "word"),
    [("risk", "Per-record"), ("attributes", "Attribute"), ("recipe_bound", "Epsilon of the recipe"),
     ("canaries", "canaries"), ("earlier_releases", "earlier"), ("persons", "several records")],
)  # fmt: skip
def test_each_flag_removes_its_own_line(flag: str, word: str) -> None:
    settings = PrivacySettings()
    whole, without = not_tested(EVERYTHING, settings), not_tested(replace(EVERYTHING, **{flag: False}), settings)
    (line,) = set(without) - set(whole)
    assert word in line and not set(whole) - set(without)


def test_an_attack_that_was_not_run_is_named() -> None:
    ran = replace(EVERYTHING, attacks=frozenset({"loss-threshold"}))
    line = next(line for line in not_tested(ran, PrivacySettings()) if line.startswith("Membership inference by"))
    for name, attack in ATTACKS.items():
        assert (attack.title in line) == (name != "loss-threshold")
    rows = {row.attack: row for row in attacks_run(ran)}
    assert rows["Loss threshold"].run and not rows[ATTACKS["lira"].title].run
    assert len(rows) == len(ATTACKS) + 2


def test_every_attack_says_what_its_attacker_has() -> None:
    assert {attack.needs for attack in ATTACKS.values()} <= set(KNOWLEDGE)


def test_access_that_was_stated_and_not_attacked_is_said() -> None:
    assert any("parameters" in line for line in not_tested(EVERYTHING, PrivacySettings(access="parameters")))
    assert not any("has parameters" in line for line in not_tested(EVERYTHING, PrivacySettings(access="scores")))


def test_the_model_states_facts_of_the_policy_and_what_was_tested() -> None:
    settings = PrivacySettings(attacker="A member of staff", knowledge="Some applicants", access="scores")
    rows = dict(threat_model(settings, Deployment(released=False), EVERYTHING, persons_repeat=None))
    assert rows["Attacker"] == "A member of staff"
    assert rows["Attacker's knowledge, as stated"] == "Some applicants"
    assert rows["Model released"] == "No"
    assert "membership inference" in rows["Attacker's goals"] and "attribute inference" in rows["Attacker's goals"]
    assert "retrain" in rows["Attacker's knowledge, as tested"]
    assert "canaries" in rows["Attacker's capability, as tested"]
    nothing = dict(threat_model(PrivacySettings(), Deployment(), NOTHING, persons_repeat=None))
    assert nothing["Attacker"] == nothing["Attacker's access, as stated"] == NOT_STATED
    assert nothing["Stage of learning"] == nothing["Attacker's capability, as tested"] == NOT_RUN


def test_an_assessment_with_models_canaries_and_a_claim_holds_them_against_each_other(
    make_world: Callable[..., dict[str, Any]],
) -> None:
    world = make_world(8, n=400, k=400, fit=0.05)
    rng = np.random.default_rng(8)
    inside = np.array([rng.permutation(800) < 400 for _ in range(40)])
    losses = np.concatenate([world["predictions"].loss_train, world["predictions"].loss_reserve])
    coins = rng.random(200) < 0.5
    world |= {
        "retrained": Retrained(rng.normal(0, 1, (40, 800)) + 5 * inside - np.log(np.expm1(losses)), inside),
        "planted": Planted(coins + 0.01 * rng.normal(size=200), coins, among=400, rule="A rule"),
        "settings": PrivacySettings(claimed=Claimed(epsilon=0.5, delta=1e-6, unit="record", accountant="RDP")),
    }
    part, _ = assess(Given(**world))
    assert part.epsilon is not None and part.epsilon.claim is not None and part.epsilon.canaries is not None
    rows = {bound.name: bound for bound in part.epsilon.bounds}
    assert {bound.delta for bound in rows.values()} == {1e-6}
    assert rows["privacy.recipe_epsilon_lower_bound"].bound.value > 1.0  # type: ignore[operator]
    assert rows["privacy.canary_epsilon_lower_bound"].bound.value > 1.0  # type: ignore[operator]
    measured = {row.measure: row.estimate for row in part.measurements if not row.on}
    assert all(measured[name] == bound.bound for name, bound in rows.items())
    held = {row.name: row for row in part.epsilon.claim.held}
    assert held["The recipe, by canaries in one run"].warns
    assert "contradicted" in held["The recipe, by canaries in one run"].text
    points = {fact.name: fact for fact in part.epsilon.claim.points}
    assert points["Accountant"].value == "RDP" and not points["Sampling of batches"].stated
    assert not any("canaries" in line or "Epsilon of the recipe" in line for line in part.not_tested)
