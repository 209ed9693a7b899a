"""Nothing is measured on a model that it was fitted on: every consumer of a bank, with the other part made nonsense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditkit import retraining
from auditkit.bank.fit import make
from auditkit.bank.types import Bank
from auditkit.influence import fidelity
from auditkit.influence.assess import Settings, assess
from auditkit.influence.targets import Target, targets_of
from auditkit.pieces import Nothing
from auditkit.preflight import Prepared, prepare
from auditkit.subject.predict import predict
from auditkit.subject.slices import resolve
from auditkit.subject.types import Floats, Mask, Slice
from tests.bank.lender import write_lender

MLP = "{module: mlp, hidden: [4], epochs: 6, batch: 64, l2: 0.01}"
Given = tuple[Prepared, tuple[Slice, ...], tuple[Target, ...], Bank]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    prepared = prepare(write_lender(tmp_path_factory.mktemp("bank"), training=MLP))
    table = prepared.table
    predictions = predict(prepared.subject, table)
    slices = resolve(prepared.policy, table, predictions, locate=prepared.locate)
    known = np.isfinite(predictions.truth).astype(np.float64)
    targets = targets_of(slices, table.groupings, table.rows("evaluation"), known, minimum=30)
    bank, _ = make(
        prepared.subject, table, wanted=16, generator=np.random.default_rng(0), fitting="members"
    )
    assert bank is not None and (~bank.plan.measuring).sum() == 16
    return prepared, slices, targets, bank


def nonsense(bank: Bank, which: Mask) -> Bank:
    """The bank with random answers and parameters of some models."""
    rng = np.random.default_rng(1)

    def mixed(array: Floats) -> Floats:
        out = array.copy()
        out[which] = rng.random(out[which].shape) * 5
        return out

    assert bank.parameters is not None
    return replace(
        bank, loss_evaluation=mixed(bank.loss_evaluation), score_evaluation=mixed(bank.score_evaluation),
        loss_pool=mixed(bank.loss_pool), score_pool=mixed(bank.score_pool), parameters=mixed(bank.parameters),
    )  # fmt: skip


def test_fidelity_is_measured_on_the_measuring_part_alone(given: Given) -> None:
    prepared, _, targets, bank = given
    rows = prepared.table.rows("train")
    effects = np.random.default_rng(2).normal(size=(len(rows), len(targets)))

    def figure(one: Bank) -> fidelity.Fidelity:
        return fidelity.measure(effects, rows, targets, one, level=0.95)

    assert figure(nonsense(bank, ~bank.plan.measuring)) == figure(bank)
    assert figure(nonsense(bank, bank.plan.measuring)) != figure(bank)


def test_what_chooses_a_damping_sees_the_fitting_part_alone(given: Given) -> None:
    prepared, _, targets, bank = given
    rows = prepared.table.rows("train")
    effects = np.random.default_rng(2).normal(size=(len(rows), len(targets)))

    def figure(one: Bank) -> float:
        return fidelity.on_fitting(effects, rows, targets, one)

    assert figure(nonsense(bank, bank.plan.measuring)) == figure(bank)
    assert figure(nonsense(bank, ~bank.plan.measuring)) != figure(bank)


@pytest.mark.parametrize("estimator", ["auto", "ensemble"])
def test_no_effect_depends_on_a_model_that_measures(given: Given, estimator: str) -> None:
    """The whole room: damping chosen and members averaged without the models on which fidelity is measured."""
    prepared, slices, _, bank = given
    settings = Settings(estimator=estimator)

    def effects(one: Bank) -> Floats:
        _, arrays = assess(prepared.subject, prepared.table, slices, settings, bank=one)
        assert arrays is not None
        return arrays.effects

    np.testing.assert_array_equal(effects(nonsense(bank, bank.plan.measuring)), effects(bank))
    if estimator == "ensemble":
        assert (effects(nonsense(bank, ~bank.plan.measuring)) != effects(bank)).any()


def test_parts_and_banks_share_no_model(tmp_path: Path) -> None:
    """Neither a subset nor a seed of one part or one bank comes again in another; evaluation rows are in none."""
    prepared = prepare(write_lender(tmp_path, training=MLP, privacy="{bank: 32}"))
    one, two = np.random.default_rng(0).spawn(2)
    silent: Callable[[float, float], None] = lambda done, total: None  # noqa: E731
    found = retraining.banks(
        prepared.policy, prepared.subject, prepared.table, (one, two), keep=Nothing(), worked=silent
    )
    assert found.halves is not None and found.pool is not None
    halves, pool = found.halves.plan, found.pool.plan
    fitting, measuring = ({mask.tobytes() for mask in halves.masks[side]} for side in (~halves.measuring,
                                                                                     halves.measuring))  # fmt: skip
    assert fitting and measuring and not fitting & measuring
    seeds = [*halves.seeds.tolist(), *pool.seeds.tolist()]
    assert len(set(seeds)) == len(seeds)
    assert pool.measuring.all(), "membership fits nothing on its models: the audited model, which is none, is judged"
    evaluation = set(prepared.table.rows("evaluation").tolist())
    assert not evaluation & {*halves.rows.tolist(), *pool.rows.tolist()}
