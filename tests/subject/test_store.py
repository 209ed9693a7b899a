from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from auditkit.errors import IntegrityError, ModelError
from auditkit.subject.open import open_subject
from auditkit.subject.store import load
from auditkit.subject.training import save, train_subject


@pytest.fixture
def stored(book: Any) -> Path:
    subject = train_subject(book.policy(), book.table(), torch.Generator().manual_seed(0))
    save(subject, book.folder / "model")
    return Path(book.folder) / "model"


def test_a_stored_model_answers_as_the_trained_one_to_the_bit(book: Any, stored: Path) -> None:
    table = book.table()
    trained = train_subject(book.policy(), table, torch.Generator().manual_seed(0))
    opened = open_subject(book.policy(), table, book.folder)
    assert trained.score is not None
    assert opened.score is not None
    np.testing.assert_array_equal(opened.score(table.frame), trained.score(table.frame))
    assert opened.recipe == trained.recipe
    assert open_subject(book.policy(), table, book.folder).digest == opened.digest


def test_a_folder_holds_two_files_no_pickle_and_no_leftovers(stored: Path) -> None:
    assert sorted(path.name for path in stored.iterdir()) == ["model.json", "model.safetensors"]
    size = int.from_bytes((stored / "model.safetensors").read_bytes()[:8], "little")
    assert json.loads((stored / "model.safetensors").read_bytes()[8 : 8 + size]).keys() == {
        "linear.weight",
        "linear.bias",
    }


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_one_changed_byte_is_an_integrity_error(stored: Path, name: str) -> None:
    content = bytearray((stored / name).read_bytes())
    place = len(content) - 3 if name.endswith("safetensors") else content.index(b'"mean": ') + 9
    content[place] = content[place] ^ 1
    (stored / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"model/{name}: .*restore both files"):
        load(stored)


def test_parameters_of_another_model_are_an_integrity_error(book: Any, stored: Path) -> None:
    other = book.policy(model={"adapter": "tabular", "path": book.folder / "o", "training": {"l2": 1.0}})
    save(train_subject(other, book.table(), torch.Generator()), book.folder / "o")
    (stored / "model.safetensors").write_bytes((book.folder / "o" / "model.safetensors").read_bytes())
    with pytest.raises(IntegrityError, match=r"is not the file that model\.json was written for"):
        load(stored)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "schema_version is None"),
        ('{"schema_version": 99}', "schema_version is 99, this auditkit reads 1"),
    ],
)
def test_a_description_of_another_kind_is_a_model_error(stored: Path, content: str, said: str) -> None:
    (stored / "model.json").write_text(content)
    with pytest.raises(ModelError, match=said):
        load(stored)


def test_a_missing_model_says_how_to_make_one(book: Any) -> None:
    with pytest.raises(ModelError) as caught:
        open_subject(book.policy(), book.table(), book.folder)
    assert str(caught.value) == (
        "model/model.safetensors: the file does not exist; train it with `auditkit train POLICY`"
    )


def test_every_difference_between_model_and_policy_is_said(book: Any, stored: Path) -> None:
    data = {"numeric": ["income"], "label": {"column": "repaid", "favourable": 0, "means": "outcome"}}
    policy = book.policy(data=data, model={"adapter": "tabular", "path": stored, "training": {"l2": 0.5}})
    with pytest.raises(ModelError) as caught:
        open_subject(policy, book.table(data=data), book.folder)
    said = [complaint.message for complaint in caught.value.complaints]
    assert said == [
        "the model was trained on the numeric columns 'income', 'amount', the policy states 'income'",
        "the model was trained with the favourable label '1', the policy states '0'",
        "the model was trained with training.l2 0.001, the policy states 0.5",
    ]


def test_another_training_file_is_noticed(book: Any, stored: Path, make_applications: Any) -> None:
    book.write(train=make_applications(300, 77, "t"))
    with pytest.raises(ModelError, match=r"another file than data\.train"):
        open_subject(book.policy(), book.table(), book.folder)


def test_settings_that_logistic_does_not_use_do_not_count(book: Any, stored: Path) -> None:
    model = {"adapter": "tabular", "path": stored, "training": {"epochs": 7, "hidden": [3]}}
    assert open_subject(book.policy(model=model), book.table(), book.folder).kind == "logistic regression"


def test_only_a_tabular_subject_can_be_stored(book: Any) -> None:
    policy = book.policy(model={"adapter": "predictions", "decision": "repaid"})
    with pytest.raises(ModelError, match="the predictions adapter has no file format"):
        save(open_subject(policy, book.table(), book.folder), book.folder / "x")
