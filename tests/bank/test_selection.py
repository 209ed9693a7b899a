"""Models that diverged are left out, with what that means, and too many of them refuse the bank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditkit.bank.fit import make, train
from auditkit.bank.plan import plan
from auditkit.bank.selection import MOST_DIVERGED, remaining, statement
from auditkit.bank.size import LEAST
from auditkit.bank.types import Plan, Size
from auditkit.errors import NumericsError
from auditkit.preflight import prepare
from auditkit.subject.adapters.tabular import TabularSubject
from tests.bank.lender import write_lender


def drawn(models: int, fitting: int = 0) -> Plan:
    rng = np.random.default_rng(0)
    subset = np.arange(models)
    return Plan(
        kind="pool-halves", rows=np.arange(10), masks=rng.random((models, 10)) < 0.5, subset=subset,
        measuring=subset >= fitting, seeds=subset * 7,
    )  # fmt: skip


def test_the_rest_of_the_plan_is_that_of_the_models_that_remain() -> None:
    whole, diverged = drawn(32), np.zeros(32, dtype=bool)
    diverged[[3, 8]] = True
    left = remaining(whole, diverged)
    assert left.seeds.tolist() == [7 * k for k in range(32) if k not in (3, 8)]
    assert (left.masks == whole.masks[~diverged]).all() and left.measuring.all()
    assert remaining(whole, np.zeros(32, dtype=bool)) is whole and statement(np.zeros(32, dtype=bool)) == ""


@pytest.mark.parametrize(("models", "left", "refused"), [(64, 16, ""), (64, 17, "more than the 25%"), (20, 5, "15 re")])
def test_too_many_refuse_the_bank(models: int, left: int, refused: str) -> None:
    diverged = np.arange(models) < left
    if refused:
        with pytest.raises(NumericsError, match=refused):
            remaining(drawn(models), diverged)
    else:
        assert len(remaining(drawn(models), diverged).seeds) == models - left >= LEAST


def test_the_bound_said_is_one_that_masks_can_reach_and_not_pass() -> None:
    """A record that all the diverged held, in a bank where every record was inside half of the models."""
    models, left = 400, int(400 * MOST_DIVERGED)
    diverged, inside = np.arange(models) < left, np.arange(models) < models // 2
    least, most = inside[~diverged].mean(), (~inside)[~diverged].mean()
    assert least == pytest.approx(1 / 3) and most == pytest.approx(2 / 3)
    text = statement(diverged)
    assert f"{least:.1%}" in text and f"{most:.1%}" in text and "100 of 400" in text and "25.0%" in text


@pytest.mark.parametrize("batched", [True, False])
def test_a_bank_with_some_that_diverge_is_that_of_the_others(tmp_path: Path, batched: bool) -> None:
    """At a rate where some seeds diverge: the same are left out batched and alone, and the others are as they were."""
    prepared = prepare(write_lender(tmp_path, training="{module: mlp, hidden: [6], epochs: 4, batch: 32}"))
    subject = prepared.subject
    assert isinstance(subject, TabularSubject)
    recipe = subject.fitted.recipe
    wild = replace(
        subject, fitted=replace(subject.fitted, recipe=replace(
            recipe, training=recipe.training.model_copy(update={"learning_rate": 2.6})
        )),
    )  # fmt: skip
    plan_ = plan(prepared.table, "train-halves", Size(0, 40, 0), np.random.default_rng(0))
    found = train(wild, prepared.table, plan_, batched=batched)
    assert 0 < found.diverged == 40 - len(found.plan.masks) <= 10
    assert f"{found.diverged} of 40 retrained models" in found.recipe
    assert len(found.loss_pool) == len(found.plan.seeds) == 40 - found.diverged
    kept = [k for k in range(40) if plan_.seeds[k] in set(found.plan.seeds.tolist())]
    assert kept == [k for k in range(40) if k not in (9, 24, 33)]
    again = train(
        wild, prepared.table, replace(plan_, masks=plan_.masks[kept[:3]], subset=plan_.subset[kept[:3]],
                                      measuring=plan_.measuring[kept[:3]], seeds=plan_.seeds[kept[:3]]),
        batched=batched,
    )  # fmt: skip
    np.testing.assert_allclose(found.loss_pool[:3], again.loss_pool, rtol=0, atol=1e-11)


def test_where_all_diverge_there_is_no_bank_and_the_reason(tmp_path: Path) -> None:
    prepared = prepare(write_lender(tmp_path, training="{module: mlp, hidden: [6], epochs: 3}"))
    subject = prepared.subject
    assert isinstance(subject, TabularSubject)
    recipe = subject.fitted.recipe
    wild = replace(recipe, training=recipe.training.model_copy(update={"learning_rate": 1e3}))
    found, why = make(
        replace(subject, fitted=replace(subject.fitted, recipe=wild)), prepared.table, wanted=16,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert found is None and "16 of 16 retrained models diverged" in why and "25%" in why
