"""Losses and gradients along the training against autograd, and that what cannot be told is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from auditkit.errors import DataError
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.predict import predict
from auditkit.subject.replay import replay
from auditkit.subject.substitution import guessed
from auditkit.subject.training import train_subject
from auditkit.subject.trajectory import final_lengths, follow, lengths
from auditkit.subject.types import UNKNOWN, Gradient, Grouping


def fitted(book: Any, **training: Any) -> tuple[TabularSubject, Any]:
    recipe = {"epochs": 4, "hidden": (6,), **training}
    stated = {"adapter": "tabular", "path": book.folder / "model", "training": recipe}
    policy, table = book.policy(model=stated), book.table(model=stated)
    return train_subject(policy, table, torch.Generator().manual_seed(3)), table


@pytest.mark.parametrize("embedding", [0, 2])
def test_the_course_is_that_of_autograd_at_every_checkpoint_and_ends_at_the_audited_losses(
    book: Any, embedding: int
) -> None:
    subject, table = fitted(book, module="mlp", embedding=embedding)
    course, why = follow(subject, table)
    assert course is not None and why == ""
    asked = predict(subject, table)
    assert asked.loss_train is not None and asked.loss_reserve is not None
    np.testing.assert_allclose(course.loss[-1], np.concatenate([asked.loss_train, asked.loss_reserve]), rtol=1e-12)
    assert len(course.loss) == 4 and len(course.own) == len(asked.loss_train)
    gradient, rows, own = subject.gradient, table.rows("train")[:5], np.zeros(5)
    assert gradient is not None
    inputs, labels = gradient.tensors(table.frame.iloc[rows], table.label[rows])
    for state, rate in replay(subject, table):
        moved = {name: value.clone().requires_grad_() for name, value in state.items()}
        losses = gradient.loss(torch.func.functional_call(gradient.module, moved, inputs), labels)
        for n in range(5):
            parts = torch.autograd.grad(losses[n], list(moved.values()), retain_graph=True, allow_unused=True)
            own[n] += rate * sum(float(part.square().sum()) for part in parts if part is not None)
    np.testing.assert_allclose(course.own[:5], own / len(course.own), rtol=1e-10)


def test_weights_count_in_the_trajectory_and_not_in_the_length_of_a_gradient(book: Any) -> None:
    subject, table = fitted(book, module="mlp")
    doubled = replace(table, weights=table.weights * 2.0)
    length, _ = final_lengths(subject, table)
    again, _ = final_lengths(subject, doubled)
    assert length is not None and again is not None
    np.testing.assert_array_equal(length, again)
    # Another weighting is another training, which does not end at the audited parameters.
    course, why = follow(subject, doubled)
    assert course is None or np.isfinite(course.own).all()
    assert course is not None or "other parameters" in why


def test_the_length_of_a_logistic_gradient_is_residual_times_row(book: Any) -> None:
    subject, table = fitted(book, module="logistic")
    length, why = final_lengths(subject, table)
    assert length is not None and why == "" and subject.gradient is not None and subject.score is not None
    rows = table.rows("train")
    (x,), _ = subject.gradient.tensors(table.frame.iloc[rows], table.label[rows])
    residual = np.abs(subject.score(table.frame.iloc[rows]) - table.label[rows])
    np.testing.assert_allclose(length, residual * np.sqrt(1 + np.square(x.numpy()).sum(axis=1)), rtol=1e-10)
    course, why = follow(subject, table)
    assert course is None and "descent" in why


def test_a_module_whose_gradients_cannot_be_taken_record_by_record_is_said(book: Any) -> None:
    subject, table = fitted(book, module="mlp")

    class Branching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0] * self.weight if float(x[0, 0].detach()) > 0 else x[:, 1] * self.weight

    assert subject.gradient is not None
    foreign = replace(subject, gradient=replace(subject.gradient, module=Branching()))
    length, why = final_lengths(foreign, table)
    assert length is None and "record by record" in why
    assert final_lengths(replace(subject, gradient=None, no_gradient_reason="none"), table) == (None, "none")
    assert follow(replace(subject, gradient=None, no_gradient_reason="none"), table) == (None, "none")


def test_records_in_pieces_have_the_same_lengths(book: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, table = fitted(book, module="mlp")
    gradient, rows = subject.gradient, table.rows("train")
    assert isinstance(gradient, Gradient)
    inputs, labels = gradient.tensors(table.frame.iloc[rows], table.label[rows])
    state = {name: value.detach() for name, value in gradient.module.state_dict().items()}
    whole = lengths(gradient, state, inputs, labels)
    monkeypatch.setattr("auditkit.subject.trajectory.HELD", 700)
    np.testing.assert_allclose(lengths(gradient, state, inputs, labels), whole, rtol=1e-12)


def test_losses_under_a_level_are_those_of_records_that_have_it(book: Any) -> None:
    subject, table = fitted(book, module="logistic")
    sex, purpose, income = guessed(subject, table, ("purpose", "income"))
    assert sex.name == "sex" and sex.column == "" and sex.losses is None
    assert purpose.column == "purpose" and purpose.losses is not None
    assert set(purpose.labels) == {"car", "home", "travel"}
    rows = np.concatenate([table.rows("train"), table.rows("reserve")])
    assert subject.loss is not None
    plain = subject.loss(table.frame.iloc[rows], table.label[rows])
    for level in range(3):
        has = purpose.codes == level
        np.testing.assert_allclose(purpose.losses[level][has], plain[has], rtol=1e-12)
        assert not np.allclose(purpose.losses[level][~has], plain[~has])
    # Numbers are cut into quarters of the reserve; gaps belong to none.
    missing = table.frame["income"].iloc[rows].isna().to_numpy()
    assert (income.codes[missing] == UNKNOWN).all() and (income.codes[~missing] >= 0).all()
    counts = np.bincount(income.codes[len(table.rows("train")) :][~missing[len(table.rows("train")) :]])
    assert len(income.labels) == 4 and counts.max() - counts.min() <= 2


def test_a_column_that_is_not_there_is_refused_and_a_protected_feature_is_substituted(book: Any) -> None:
    subject, table = fitted(book, module="logistic")
    with pytest.raises(DataError, match="no column 'wealth'"):
        guessed(subject, table, ("wealth",))
    branch = table.frame["branch"]
    codes = (branch == "10").to_numpy().astype(np.int64)
    grouping = Grouping("ten", ("other", "ten"), codes, "other", True, ("branch",))
    (found,) = guessed(subject, replace(table, groupings={"ten": grouping}), ())
    assert found.column == "branch" and found.losses is not None and len(found.losses) == 2
    assert guessed(replace(subject, loss=None), table, ()) == ()
