from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from auditkit.errors import ModelError
from auditkit.subject.open import open_subject
from auditkit.subject.types import Subject

BASE = """
import torch
from torch import nn

class Good:
    def __init__(self):
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1).double()
        self.weight_decay = 0.0
    def tensors(self, frame, label):
        return (torch.tensor(frame[["amount"]].to_numpy() / 1e4),), torch.tensor(label)
    def loss(self, outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction="none")
    def favourable_score(self, outputs):
        return torch.sigmoid(outputs[:, 0])

subject = Good()
not_one = 3
"""


def opened(book: Any, body: str, spec: str = "bank:Made") -> Subject:
    (book.folder / "bank.py").write_text(f"{BASE}\nclass Made(Good):\n    pass\n{body}")
    policy = book.policy(model={"adapter": "python", "subject": spec, "threshold": 0.4})
    return open_subject(policy, book.table(), book.folder)


def test_an_object_a_class_and_a_function_all_give_a_subject(book: Any) -> None:
    digests = {
        opened(book, "def make():\n    return Good()\n", f"bank:{name}").digest for name in ("subject", "Good", "make")
    }
    assert len(digests) == 1


def test_the_module_keeps_its_dtype_and_is_put_in_eval_mode(book: Any) -> None:
    found = opened(book, "subject.module.train()\n", "bank:subject")
    assert found.gradient is not None
    assert not found.gradient.module.training
    assert next(found.gradient.module.parameters()).dtype == torch.float64
    assert found.train is None
    assert found.threshold == 0.4


def test_weight_decay_by_parameter_is_kept(book: Any) -> None:
    found = opened(book, "Made.weight_decay = property(lambda s: {'weight': 0.1}, lambda s, v: None)\n")
    assert found.gradient is not None
    assert found.gradient.weight_decay == {"weight": 0.1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "Made.loss = lambda s, o, t: Good.loss(s, o, t).mean()",
            r"loss gave a tensor of shape \(\) .*reduction='none'",
        ),
        ("Made.loss = lambda s, o, t: Good.loss(s, o, t).detach()", r"loss gave a tensor without gradient"),
        ("Made.loss = lambda s, o, t: Good.loss(s, o, t) * float('nan')", r"loss gave values that are not finite"),
        (
            "Made.loss = lambda s, o, t: Good.loss(s, o, t) - o.mean()",
            r"loss of a record is .* alone and .* among others",
        ),
        ("Made.favourable_score = lambda s, o: o", r"favourable_score gave a tensor of shape \(8, 1\) for 8 records"),
        ("Made.favourable_score = lambda s, o: o[:, 0] * 0 + 2", r"from 2 to 2, not within 0 to 1"),
        ("Made.tensors = lambda s, f, t: torch.zeros(1)", r"tensors gave a tensor of shape \(1,\); a pair"),
        (
            "Made.tensors = lambda s, f, t: ((torch.zeros(3, 1),), torch.zeros(3))",
            r"tensors gave .*\(3, 1\) for 8 records",
        ),
        ("Made.tensors = lambda s, f, t: f['nosuch']", r"tensors failed: KeyError: 'nosuch'"),
        ("Made.loss = None", r"Made has no method loss"),
        ("Made.__init__ = lambda s: None", r"Made\.module is NoneType"),
        ("Made.__init__ = lambda s: 1 / 0", r"bank:Made failed: ZeroDivisionError"),
        ("Made.weight_decay = property(lambda s: -1, lambda s, v: None)", r"Made\.weight_decay is -1, neither"),
        ("Made.weight_decay = property(lambda s: {'w': 1}, lambda s, v: None)", r"names 'w', which is no parameter"),
    ],
)
def test_every_breach_names_the_method_and_what_it_gave(book: Any, body: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        opened(book, body + "\n")


def test_an_object_without_any_of_it_is_told_everything_it_lacks(book: Any) -> None:
    with pytest.raises(ModelError) as caught:
        opened(book, "", "bank:not_one")
    assert len(caught.value.complaints) == 5


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nosuch.place:x", r"there is no module 'nosuch'; put it beside the policy file"),
        ("bank", r"'bank' is not of the form module:object"),
        ("bank:subjct", r"'bank' has no 'subjct'; did you mean 'subject'\?"),
    ],
)
def test_a_name_that_leads_nowhere_says_where_it_ended(book: Any, spec: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        opened(book, "", spec)


def test_the_python_path_is_left_as_it_was(book: Any) -> None:
    import sys

    before = list(sys.path)
    opened(book, "")
    assert sys.path == before
    assert str(Path(book.folder).resolve()) not in sys.path
