"""A claim of differential privacy against measured limits: the neighbours, the units, and what is not comparable."""

from __future__ import annotations

import math

import pytest

from auditkit.policy.settings import Claimed
from auditkit.privacy.dp_claim import Held, against, allowed
from auditkit.privacy.epsilon import Limits
from auditkit.privacy.one_run import canaries_needed
from auditkit.result import EpsilonBound, Estimate


def _bound(value: float, *, relation: str = "replace", unit: str = "record", delta: float = 1e-5) -> EpsilonBound:
    return EpsilonBound.model_validate({
        "name": "privacy.epsilon_lower_bound", "title": "A limit", "status": "assessed", "about": "a model",
        "relation": relation, "unit": unit, "delta": delta, "bound": Estimate(value=value, low=value, n=10),
    })  # fmt: skip


def _claim(epsilon: float, **more: object) -> Claimed:
    return Claimed.model_validate({"epsilon": epsilon, "delta": 1e-5, "unit": "record", **more})


def test_replacing_a_record_is_two_changes_for_a_claim_of_adding_or_removing() -> None:
    claim = _claim(1.0)
    assert allowed(claim, _bound(1.0)) == (2.0, pytest.approx((1 + math.e) * 1e-5))
    assert allowed(claim, _bound(1.0, relation="add-or-remove")) == (1.0, 1e-5)
    assert allowed(_claim(1.0, neighbours="replace"), _bound(1.0)) == (1.0, 1e-5)
    assert allowed(_claim(1.0, neighbours="replace"), _bound(1.0, relation="add-or-remove")) is None


def test_a_claim_about_records_says_nothing_of_persons_and_one_about_persons_covers_records() -> None:
    assert allowed(_claim(1.0), _bound(1.0, unit="person")) is None
    assert allowed(_claim(1.0, unit="person"), _bound(1.0)) is not None
    (row,) = against(_claim(1.0), [Held(_bound(9.0, unit="person"))]).held
    assert row.value is None and not row.warns and "Not comparable" in row.text


def test_contradicted_above_what_is_allowed_and_at_the_deltas_that_it_implies() -> None:
    limits = Limits(true_positives=0.5, false_positives=0.02)
    at_own = math.log((0.5 - 1e-5) / 0.02)
    (row,) = against(_claim(1.0), [Held(_bound(at_own), limits)]).held
    assert row.warns and row.value == pytest.approx(math.log((0.5 - (1 + math.e) * 1e-5) / 0.02))
    assert "at most 2 at" in row.text and "contradicted at the level of 95 %" in row.text
    (row,) = against(_claim(2.0), [Held(_bound(at_own), limits)]).held
    assert not row.warns and "no proof" in row.text


def test_a_delta_that_the_claim_makes_vacuous_is_not_compared() -> None:
    (row,) = against(_claim(900.0), [Held(_bound(5.0), Limits(0.5, 0.02))]).held
    assert row.value is None and "implies a delta of 1" in row.text


def test_a_limit_that_was_not_measured_has_no_row_and_points_not_stated_are_said() -> None:
    missing = _bound(1.0).model_copy(update={"status": "withheld"})
    part = against(_claim(3.0, sampling="Poisson"), [Held(missing)])
    assert part.held == ()
    stated = {fact.name: (fact.value, fact.stated) for fact in part.points}
    assert stated["Privacy parameters"] == ("epsilon 3, delta 1e-05", True)
    assert stated["Sampling of batches"] == ("Poisson", True) and not stated["Accountant"][1]


@pytest.mark.parametrize(
    ("claimed", "most", "short"), [(3.0, 4.4, False), (4.4, 4.4, True), (8.0, 4.4, True), (600.0, 4.4, True)]
)
def test_a_claim_that_the_canaries_could_not_have_contradicted_is_told_apart(
    claimed: float, most: float, short: bool
) -> None:
    bound = _bound(2.0, relation="add-or-remove").model_copy(update={"most": most})
    (row,) = against(_claim(claimed), [Held(bound)]).held
    assert not row.warns
    assert ("could not have been" in row.text) is short
    assert ("no proof of the claim" in row.text) is not short
    if short:
        needed = canaries_needed(claimed, level=0.95)
        assert f"show at most {most:.4g}" in row.text and f"at least {needed:,} canaries" in row.text
