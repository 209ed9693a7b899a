from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from auditkit.errors import ModelError
from auditkit.subject.predict import predict
from auditkit.subject.training import train_subject
from auditkit.subject.types import Floats, Subject


@pytest.fixture
def subject(book: Any) -> Subject:
    return train_subject(book.policy(), book.table(), torch.Generator())


def test_answers_stand_in_the_order_of_the_rows_of_each_split(book: Any, subject: Subject) -> None:
    table = book.table()
    answers = predict(subject, table)
    assert subject.score is not None
    assert subject.loss is not None
    for row in (0, 7, 199):
        one = table.frame.iloc[[table.rows("evaluation")[row]]]
        assert answers.score is not None
        assert answers.score[row] == pytest.approx(subject.score(one)[0])
        assert answers.decision[row] == float(answers.score[row] >= 0.5)
        assert answers.truth[row] == one["repaid"].iloc[0]
    for split, losses in (
        ("train", answers.loss_train),
        ("reserve", answers.loss_reserve),
        ("evaluation", answers.loss),
    ):
        rows = table.rows(split)
        np.testing.assert_allclose(losses, subject.loss(table.frame.iloc[rows], table.label[rows]))


def test_losses_are_the_cross_entropy_of_the_scores(book: Any, subject: Subject) -> None:
    answers = predict(subject, book.table())
    assert answers.score is not None
    expected = -np.log(np.where(answers.truth == 1, answers.score, 1 - answers.score))
    np.testing.assert_allclose(answers.loss, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "3 of 200 scores are not finite"),
        (np.inf, "3 of 200"),
        (1.01, "3 of 200 scores lie outside"),
        (-0.1, "3 of"),
    ],
)
def test_impossible_scores_are_counted_and_refused(book: Any, subject: Subject, value: float, said: str) -> None:
    def score(frame: pd.DataFrame) -> Floats:
        return np.where(np.arange(len(frame)) < 3, value, 0.5)

    with pytest.raises(ModelError, match=said):
        predict(replace(subject, score=score), book.table())


def test_a_model_that_answers_with_another_shape_is_refused(book: Any, subject: Subject) -> None:
    with pytest.raises(ModelError, match=r"a score of shape \(200, 1\) for 200 records"):
        predict(replace(subject, score=lambda frame: np.full((len(frame), 1), 0.5)), book.table())


def test_losses_that_are_not_finite_name_the_split(book: Any, subject: Subject) -> None:
    with pytest.raises(ModelError, match=r"losses on the evaluation records are not finite"):
        predict(replace(subject, loss=lambda frame, label: np.full(len(frame), np.inf)), book.table())


def test_decisions_must_be_one_or_zero(book: Any, subject: Subject) -> None:
    odd = replace(subject, score=None, decide=lambda frame: np.full(len(frame), 0.5))
    with pytest.raises(ModelError, match="200 of 200 decisions are neither 1 nor 0"):
        predict(odd, book.table())
