"""Remedies on small lenders with known answers: nothing changes, risk falls, or an onion shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.bank.fit import make
from auditkit.preflight import prepare
from auditkit.remedies.registry import WAYS
from auditkit.remedies.ways import dp_sgd
from auditkit.remedies.ways.deduplicate import copies
from auditkit.result import RemediesPart
from auditkit.subject.types import Subject
from tests.bank.lender import LOANS
from tests.remedies.lenders import SIZES, Lender, change, lender

PRIVATE = {"dp-sgd": {"epsilon": 3.0, "batch": 300, "epochs": 12, "learning-rate": 1.0}}
RISK, AUC = "remedies.average_risk", "remedies.attack_auc"
FAIR = {"model.accuracy", "fairness.impact_ratio", "fairness.tpr_difference"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Lender:
    return lender(tmp_path_factory.mktemp("plain"))


def test_nothing_is_tried_where_nothing_is_asked(plain: Lender) -> None:
    part = plain.tried()
    assert part == RemediesPart()
    assert "remedies: {try:" in part.reason


def test_a_remedy_that_does_nothing_changes_exactly_nothing(plain: Lender) -> None:
    (remedy,) = plain.tried({"stronger-l2": {"times": 1}}).remedies
    assert {row.measure for row in remedy.changes} == {RISK, AUC} | FAIR
    for row in remedy.changes:
        assert (row.change.value, row.change.low, row.change.high) == (0.0, 0.0, 0.0)
        assert row.before == row.after


def test_risk_falls_the_more_the_stronger_the_penalty(plain: Lender) -> None:
    # Below about 30 times, models vary less too, and by as much: the risk of these records does not fall.
    part = plain.tried(*({"stronger-l2": {"times": times}} for times in (30, 100, 300, 1000)))
    risks = [change(remedy, RISK).change for remedy in part.remedies]
    values = [found.value for found in risks]
    assert values == sorted(values, reverse=True)
    assert risks[-1].high is not None
    assert risks[-1].high < 0


def test_dp_sgd_lowers_risk_with_an_interval_off_zero_and_prints_what_fairness_pays(plain: Lender) -> None:
    (remedy,) = plain.tried(PRIVATE).remedies
    for measure in (RISK, AUC):
        high = change(remedy, measure).change.high
        assert high is not None
        assert high < 0
    told = {row.measure: row.change for row in remedy.changes}
    assert all(told[measure].low is not None and told[measure].high is not None for measure in FAIR)
    facts = {fact.name: fact.value for fact in remedy.facts}
    assert {"Delta", "Unit of privacy", "Accountant", "Sampling", "Clip", "Noise multiplier"} <= facts.keys()
    assert float(facts["Epsilon, by the accountant"].split()[0]) <= 3.0
    assert any("secure generator" in note for note in remedy.notes)
    assert any("costs privacy" in note for note in remedy.notes)


@pytest.mark.prove
@pytest.mark.slow
def test_dp_sgd_at_epsilon_3_lowers_the_risk_of_the_sample_lender(record_property: Callable[[str, Any], None]) -> None:
    prepared = prepare(LOANS.parents[1] / "policies" / "loans.yaml")
    bank, why = make(
        prepared.subject, prepared.table, kind="pool-halves", wanted=64, generator=np.random.default_rng(1)
    )
    assert bank is not None, why
    stated = {"epsilon": 3.0, "batch": 1024, "epochs": 10, "learning-rate": 2.0}
    (remedy,) = Lender(prepared, bank).tried({"dp-sgd": stated}).remedies
    for row in remedy.changes:
        if row.change.known:
            told = f"{row.change.value:+.4f} ({row.change.low:+.4f} to {row.change.high:+.4f})"
            record_property(f"{row.measure} {row.on} {row.group}".strip(), told)
    for measure in (RISK, AUC):
        high = change(remedy, measure).change.high
        assert high is not None
        assert high < 0
    assert change(remedy, "fairness.impact_ratio", "female").change.known


def test_private_models_of_one_seed_are_the_same_twice(plain: Lender) -> None:
    assert plain.tried(PRIVATE) == plain.tried(PRIVATE)


def test_removing_the_marked_exposes_their_twins_and_removing_others_does_not(tmp_path: Path) -> None:
    world = lender(tmp_path, twins=20, models=64)
    exposed = np.zeros(SIZES["train"], dtype=np.bool_)
    exposed[0:40:2] = True
    (remedy,) = world.tried("remove-flagged", exposed=exposed).remedies
    assert remedy.onion is not None
    newly, control = remedy.onion.newly, remedy.onion.control
    assert newly.value is not None
    assert newly.value >= 10 / 280
    assert control.value is None or control.value < newly.value / 2
    assert remedy.onion.control_risk.value is not None
    value = change(remedy, RISK).change.value
    assert value is not None
    assert value > remedy.onion.control_risk.value
    assert "deletion alone" in " ".join(remedy.notes)


def test_few_marked_records_are_not_removed_in_public(plain: Lender) -> None:
    exposed = np.zeros(SIZES["train"], dtype=np.bool_)
    exposed[:3] = True
    (remedy,) = plain.tried("remove-flagged", exposed=exposed).remedies
    assert remedy.status == "not-applicable"
    assert "fewer than 10" in remedy.reason
    assert not remedy.changes


@pytest.mark.parametrize(
    ("name", "said"),
    [("fewer-epochs", "optimum"), ("deduplicate", "copies are not known"), ("remove-flagged", "was not measured")],
)
def test_what_cannot_be_tried_says_why(plain: Lender, name: str, said: str) -> None:
    (remedy,) = plain.tried(name).remedies
    assert remedy.status == "not-applicable"
    assert said in remedy.reason


def test_one_record_of_each_cluster_stays() -> None:
    found = copies(np.array([-1, 0, 0, 1, -1, 1, 0]))
    assert found.tolist() == [False, False, True, False, False, True, True]


def test_copies_are_left_out_of_every_half(plain: Lender) -> None:
    clusters = np.full(SIZES["train"], -1)
    clusters[:60] = np.arange(60) // 2
    (remedy,) = plain.tried("deduplicate", clusters=clusters).remedies
    assert remedy.status == "assessed"
    assert remedy.models == 48
    assert change(remedy, RISK).change.value != 0


def test_fewer_epochs_lower_the_risk_of_an_overfit_network(tmp_path: Path) -> None:
    recipe = "{module: mlp, hidden: [32], l2: 0.00001, epochs: 60, learning-rate: 0.1, batch: 50}"
    world = lender(tmp_path, training=recipe, models=16)
    (remedy,) = world.tried({"fewer-epochs": {"share": 0.1}}).remedies
    assert "6 epochs instead of 60" in remedy.what
    high = change(remedy, RISK).change.high
    assert high is not None
    assert high < 0


def test_a_model_of_another_kind_is_not_possible(plain: Lender) -> None:
    subject = plain.prepared.subject
    foreign = Subject(
        adapter="python", kind="mine", digest="", threshold=0.5, score=subject.score, decide=subject.decide,
        loss=subject.loss, train=subject.train,
    )  # fmt: skip
    part = Lender(replace(plain.prepared, subject=foreign), plain.bank).tried("stronger-l2")
    assert part.status == "not-applicable"
    assert part.reason.startswith("not possible")


def test_too_much_private_work_is_not_begun(plain: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp_sgd, "BUDGET", 1e6)
    (remedy,) = plain.tried(PRIVATE).remedies
    assert remedy.status == "not-applicable"
    assert "budget" in remedy.reason


def test_the_part_survives_json(plain: Lender) -> None:
    part = plain.tried({"stronger-l2": {"times": 10}})
    assert RemediesPart.model_validate(json.loads(part.model_dump_json())) == part


def test_every_way_names_its_source() -> None:
    assert all(way.source and way.title for way in WAYS.values())
