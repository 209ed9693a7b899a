from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from auditkit.errors import DataError, PolicyError
from auditkit.subject.predict import predict
from auditkit.subject.slices import on_training, resolve
from auditkit.subject.training import train_subject
from auditkit.subject.types import Predictions, Table


@pytest.fixture
def asked(book: Any) -> tuple[Table, Predictions]:
    table = book.table()
    return table, predict(train_subject(book.policy(), table, torch.Generator()), table)


def slices(where: str, measure: str = "loss") -> dict[str, Any]:
    return {"s": {"where": where, "why": "test", "measure": measure}}


def test_a_filter_sees_the_files_columns_the_label_the_decision_and_the_score(
    book: Any, asked: tuple[Table, Predictions]
) -> None:
    table, answers = asked
    where = "sex = 'female' AND repaid = 1 AND decision = 0 AND score < 0.4 AND branch = '01'"
    policy = book.policy(slices=slices(where, "score"), report={"minimum-cell": 2})
    (found,) = resolve(policy, table, answers)
    frame = table.frame.iloc[table.rows("evaluation")].reset_index(drop=True)
    assert answers.score is not None
    expected = (
        (frame["sex"] == "female") & (frame["repaid"] == 1) & (answers.decision == 0)
        & (answers.score < 0.4) & (frame["branch"] == "01")
    )  # fmt: skip
    np.testing.assert_array_equal(found.mask, expected)
    assert (found.name, found.kind, found.measure, found.where) == ("s", "slice", "score", where)
    assert expected.any()


def test_a_missing_cell_makes_a_filter_unknown_and_is_counted(book: Any, asked: tuple[Table, Predictions]) -> None:
    table, answers = asked
    (found,) = resolve(book.policy(slices=slices("income > 20000")), table, answers)
    income = table.frame["income"].iloc[table.rows("evaluation")].to_numpy()
    assert found.unknown == np.isnan(income).sum() > 0
    np.testing.assert_array_equal(found.mask, income > 20000)


def test_cases_are_single_rows_named_by_number(book: Any, asked: tuple[Table, Predictions]) -> None:
    table, answers = asked
    first, second = resolve(book.policy(cases=("e00007", "e00003")), table, answers)
    assert [int(np.flatnonzero(found.mask)[0]) for found in (first, second)] == [7, 3]
    assert [found.n for found in (first, second)] == [1, 1]
    assert (first.name, first.kind, first.where) == ("case 1", "case", "id = 'e00007'")


def test_absent_cases_and_unknown_columns_are_all_said_at_once(book: Any, asked: tuple[Table, Predictions]) -> None:
    policy = book.policy(cases=("t00001", "e00001"), slices=slices("nosuch = 1"))
    with pytest.raises(DataError) as caught:
        resolve(policy, *asked, locate=lambda *keys: "p.yaml:" + ".".join(map(str, keys)))
    first, second = (str(complaint) for complaint in caught.value.complaints)
    assert first.startswith("p.yaml:slices.s.where: slice 's' names the column 'nosuch', which the data do not have")
    assert second == (
        "p.yaml:cases: 1 of 2 cases are not among the evaluation records: 't00001'; name ids of the evaluation file"
    )


def test_a_files_own_decision_column_is_never_mistaken_for_the_models(book: Any, make_applications: Any) -> None:
    for number, split in enumerate(("train", "reserve", "evaluation")):
        book.write(**{split: make_applications(100, number, split[0]).assign(decision=1)})
    table = book.table()
    policy = book.policy(slices=slices("decision = 0"))
    answers = predict(train_subject(policy, table, torch.Generator()), table)
    with pytest.raises(DataError, match="both the model's answer and a column of the file"):
        resolve(policy, table, answers)
    assert resolve(book.policy(slices=slices("sex = 'male'")), table, answers)[0].n > 0


def test_a_subquery_is_a_policy_error(book: Any, asked: tuple[Table, Predictions]) -> None:
    with pytest.raises(PolicyError):
        resolve(book.policy(slices=slices("income > (SELECT 1)")), *asked)


def declined(table: Table) -> Predictions:
    truth = table.label[table.rows("evaluation")]
    return Predictions(np.zeros(len(truth)), None, truth, loss=None, loss_train=None, loss_reserve=None)


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("sex = 'female'", True),
        ("sex = 'female' OR sex <> 'female'", True),  # nobody is left out
        ("age > 500", False),
        ("id = 'e00007'", False),
        ("income > 0 AND id LIKE 'e%'", False),  # enough pass, but the text holds the beginning of ids
        ("PERSON LIKE 'e%'", False),
    ],
)
def test_a_filters_text_is_published_only_if_it_isolates_nobody(book: Any, where: str, shown: bool) -> None:
    data = {"person": "person"}
    table = book.table(data=data)
    (found,) = resolve(book.policy(data=data, slices=slices(where)), table, declined(table))
    assert found.where == (where if shown else "")


def test_a_filter_that_leaves_few_persons_out_is_not_published(book: Any) -> None:
    table = book.table()
    ages = np.sort(table.frame["age"].iloc[table.rows("evaluation")])
    (found,) = resolve(book.policy(slices=slices(f"age > {ages[2]}")), table, declined(table))
    assert 0 < (~found.mask).sum() < 10 and found.where == ""


def test_a_filter_put_to_training_records_reads_the_model_s_answers_there(
    book: Any, asked: tuple[Table, Predictions]
) -> None:
    table, _ = asked
    train = table.frame.iloc[table.rows("train")].reset_index(drop=True)
    rng = np.random.default_rng(0)
    score = rng.random(len(train))
    decision = (score >= 0.5).astype(float)
    policy = book.policy(slices=slices("repaid = 1 AND decision = 0 AND score < 0.4"))
    ((name, why, mask, reason),) = on_training(policy, table, decision, score)
    assert (name, why, reason) == ("s", "test", "")
    np.testing.assert_array_equal(mask, (train["repaid"] == 1) & (decision == 0) & (score < 0.4))


def test_where_the_model_cannot_be_asked_a_filter_on_its_answers_says_so_and_others_stand(
    book: Any, asked: tuple[Table, Predictions]
) -> None:
    table, _ = asked
    ((_, _, mask, reason),) = on_training(book.policy(slices=slices("decision = 0")), table, None, None)
    assert mask is None and "not known of training records" in reason
    ((_, _, mask, reason),) = on_training(book.policy(slices=slices("income > 20000")), table, None, None)
    income = table.frame["income"].iloc[table.rows("train")].to_numpy()
    np.testing.assert_array_equal(mask, income > 20000)
