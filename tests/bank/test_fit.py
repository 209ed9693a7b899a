from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from auditkit.bank.fit import make, train
from auditkit.bank.plan import plan
from auditkit.bank.types import Bank, Size
from auditkit.errors import ModelError, NumericsError
from auditkit.preflight import Prepared, prepare
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.predict import predict
from auditkit.subject.types import Subject
from tests.bank.lender import write_lender

ROOT = Path(__file__).parents[2]
RECIPES = {
    "logistic": "{module: logistic, l2: 0.003}",
    "unpenalised": "{module: logistic, l2: 0.0}",
    "mlp": "{module: mlp, hidden: [7, 5], epochs: 6, batch: 32}",
    "embedded": "{module: mlp, hidden: [6], embedding: 2, epochs: 5, batch: 50}",
    "stopped": "{module: mlp, hidden: [6], epochs: 12, batch: 32, early-stopping: true}",
}
ANSWERS = ("loss_evaluation", "score_evaluation", "loss_pool", "score_pool", "parameters")


def lender(folder: Path, recipe: str, **given: int) -> Prepared:
    return prepare(write_lender(folder, training=RECIPES[recipe], **given))


def bank(prepared: Prepared, size: Size, *, batched: bool = True) -> Bank:
    drawn = plan(prepared.table, "train-halves", size, np.random.default_rng(0))
    return train(prepared.subject, prepared.table, drawn, batched=batched)


def plain(subject: Subject) -> Subject:
    """The same subject without what only the tabular adapter knows."""
    return Subject(**{field.name: getattr(subject, field.name) for field in fields(Subject)})


@pytest.mark.parametrize(("recipe", "tolerance"), [("logistic", 1e-8), ("mlp", 1e-11), ("embedded", 1e-11)])
def test_all_at_once_is_one_after_another(tmp_path: Path, recipe: str, tolerance: float) -> None:
    prepared = lender(tmp_path, recipe, persons=3)
    size = Size(2, 5, 2)
    together, alone = bank(prepared, size), bank(prepared, size, batched=False)
    assert "all at once" in together.recipe and "one after another" in alone.recipe
    # Persons of three rows do not divide 200, and 199 and 198 rows are different numbers of batches for some sizes.
    assert together.plan.masks.sum(1).min() >= 198
    for name in ANSWERS:
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), rtol=0, atol=tolerance, err_msg=name)


def test_models_with_unequal_numbers_of_batches_each_take_their_own_steps(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "embedded")
    drawn = plan(prepared.table, "train-halves", Size(0, 3, 0), np.random.default_rng(0))
    drawn.masks[0, np.flatnonzero(drawn.masks[0])[:60]] = False
    together, alone = (train(prepared.subject, prepared.table, drawn, batched=b) for b in (True, False))
    np.testing.assert_allclose(together.loss_pool, alone.loss_pool, rtol=0, atol=1e-11)


def test_every_logistic_model_is_at_its_optimum(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "logistic")
    table, subject = prepared.table, prepared.subject
    table.weights[:50] = 3.0
    found = bank(prepared, Size(0, 6, 0))
    assert subject.gradient is not None and found.parameters is not None
    (x,), y = subject.gradient.tensors(table.frame.iloc[found.plan.rows], table.label[found.plan.rows])
    one, weights = np.column_stack([x.numpy(), np.ones(len(y))]), table.weights[found.plan.rows]
    for theta, mask in zip(found.parameters, found.plan.masks, strict=True):
        p = 1 / (1 + np.exp(-one[mask] @ theta))
        gradient = one[mask].T @ (weights[mask] * (p - y.numpy()[mask])) / mask.sum() + 0.003 * theta
        assert np.linalg.norm(gradient) <= 1e-10 * max(1.0, weights[mask].mean()) * 1.01


def test_a_model_of_all_rows_is_the_audited_model(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "logistic")
    drawn = plan(prepared.table, "train-halves", Size(0, 2, 0), np.random.default_rng(0))
    drawn.masks[0] = True
    found, audited = train(prepared.subject, prepared.table, drawn), predict(prepared.subject, prepared.table)
    assert audited.loss is not None and audited.loss_train is not None and audited.score is not None
    np.testing.assert_allclose(found.loss_evaluation[0], audited.loss, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.score_evaluation[0], audited.score, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.loss_pool[0], audited.loss_train, rtol=0, atol=1e-7)
    assert np.abs(found.loss_evaluation[1] - audited.loss).max() > 1e-3
    # Training on a record lowers its loss, so members' losses lie below non-members' on average.
    mask = drawn.masks[1]
    assert found.loss_pool[1][mask].mean() < found.loss_pool[1][~mask].mean()


def test_evaluation_rows_without_a_label_have_no_loss_and_a_score(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "logistic")
    rows = prepared.table.rows("evaluation")
    prepared.table.label[rows[3]] = np.nan
    for subject in (prepared.subject, plain(prepared.subject)):
        found = train(
            subject, prepared.table, plan(prepared.table, "train-halves", Size(0, 2, 0), np.random.default_rng(0))
        )
        assert np.isnan(found.loss_evaluation[:, 3]).all() and np.isfinite(found.score_evaluation).all()
        assert np.isfinite(np.delete(found.loss_evaluation, 3, axis=1)).all()


@pytest.mark.parametrize("recipe", ["unpenalised", "stopped"])
def test_recipes_that_do_not_stack_are_fitted_one_after_another(tmp_path: Path, recipe: str) -> None:
    found = bank(lender(tmp_path, recipe), Size(0, 3, 1))
    assert "one after another" in found.recipe and found.loss_pool.shape == (4, 400)
    assert found.deterministic == (recipe == "unpenalised")
    assert (found.loss_pool[0] != found.loss_pool[3]).any() == (recipe == "stopped")


def test_a_subject_of_its_own_is_trained_through_its_own_door(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "mlp")
    subject, table = plain(prepared.subject), prepared.table
    drawn = plan(table, "train-halves", Size(0, 3, 0), np.random.default_rng(0))
    found = train(subject, table, drawn)
    rows = drawn.rows[drawn.masks[1]]
    assert subject.train is not None
    again = subject.train(table.frame.iloc[rows], table.label[rows], torch.Generator().manual_seed(int(drawn.seeds[1])))
    assert again.loss is not None and again.score is not None
    at = table.rows("evaluation")
    np.testing.assert_array_equal(found.loss_evaluation[1], again.loss(table.frame.iloc[at], table.label[at]))
    np.testing.assert_array_equal(found.score_pool[1], again.score(table.frame.iloc[drawn.rows]))
    assert found.parameters is None and not found.deterministic
    with pytest.raises(ModelError, match="cannot be retrained"):
        train(replace(subject, train=None), table, drawn)


def test_without_a_bank_the_reason_is_said(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "mlp")
    table, generator = prepared.table, np.random.default_rng(0)
    assert "cannot be retrained" in make(replace(prepared.subject, train=None), table, wanted=8, generator=generator)[1]
    assert "no scores" in make(replace(prepared.subject, score=None), table, wanted=8, generator=generator)[1]

    def diverges(*_: object) -> Subject:
        raise NumericsError("the objective ended at inf")

    broken = replace(plain(prepared.subject), train=diverges)
    found, why = make(broken, table, wanted=8, generator=generator)
    assert found is None and why == "retraining failed: the objective ended at inf"
    table.label[0] = np.nan
    assert "no label" in make(prepared.subject, table, wanted=8, generator=generator)[1]


def test_a_network_that_diverges_is_refused(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "mlp")
    subject = prepared.subject
    assert isinstance(subject, TabularSubject)
    recipe = subject.fitted.recipe
    wild = replace(recipe, training=recipe.training.model_copy(update={"learning_rate": 1e3}))
    found, why = make(
        replace(subject, fitted=replace(subject.fitted, recipe=wild)), prepared.table, wanted=8,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    assert found is None and "diverged" in why


def test_the_same_generator_gives_the_same_bits(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "mlp")
    before = torch.get_rng_state()
    one, two = (make(prepared.subject, prepared.table, wanted=8, generator=np.random.default_rng(4))[0] for _ in "ab")
    assert one is not None and two is not None
    for name, array in one.arrays().items():
        assert array.tobytes() == two.arrays()[name].tobytes(), name
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.prove
def test_the_samples_bank_all_at_once_against_one_after_another(record_property: Callable[[str, object], None]) -> None:
    prepared = prepare(ROOT / "policies" / "loans.yaml")
    drawn = plan(prepared.table, "train-halves", Size(0, 64, 0), np.random.default_rng(0))
    seconds = {}
    for name, subject in (("all at once", prepared.subject), ("one after another", plain(prepared.subject))):
        took = []
        for _ in range(3):
            began = time.perf_counter()
            train(subject, prepared.table, drawn)
            took.append(time.perf_counter() - began)
        seconds[name] = min(took)
        record_property(f"seconds of 64 models and their answers, {name}", round(seconds[name], 3))
    assert seconds["all at once"] < 30
    assert seconds["one after another"] >= 10 * seconds["all at once"]
