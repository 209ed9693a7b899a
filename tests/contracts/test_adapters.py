"""What every adapter of `ADAPTERS` must hold, on one small lender; a new adapter joins by one row in `CASES`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from auditkit.policy.schema import Policy
from auditkit.subject.open import ADAPTERS, open_subject
from auditkit.subject.predict import predict
from auditkit.subject.table import read_table
from auditkit.subject.training import save, train_subject
from auditkit.subject.types import Subject, Table

USER_MODULE = '''
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

FEATURES = ["income", "amount"]


class Credit:
    """A user's own network in float32."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.module = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1))
        self.weight_decay = 0.01

    def tensors(self, frame, label):
        x = torch.tensor((frame[FEATURES].to_numpy() - [30_000, 10_000]) / 10_000, dtype=torch.float32)
        return (x,), torch.tensor(label, dtype=torch.float32)

    def loss(self, outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction="none")

    def favourable_score(self, outputs):
        return torch.sigmoid(outputs[:, 0])

    def train(self, frame, label, generator):
        fresh = Credit(seed=int(torch.randint(1000, (1,), generator=generator)))
        inputs, targets = fresh.tensors(frame, label)
        optimiser = torch.optim.SGD(fresh.module.parameters(), lr=0.1)
        for _ in range(5):
            optimiser.zero_grad()
            fresh.loss(fresh.module.eval()(*inputs), targets).mean().backward()
            optimiser.step()
        return fresh


def estimator():
    return LogisticRegression()
'''

CASES: dict[str, dict[str, Any]] = {
    "tabular": {"path": "model"},
    "python": {"subject": "users_own:Credit"},
    "estimator": {"subject": "users_own:estimator"},
    "predictions": {"decision": "chance >= 0.6", "score": "chance"},
}


def applications(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.arange(n) + 1000 * seed, "income": rng.normal(30_000, 8_000, n).round()})
    frame["amount"] = rng.integers(1, 20_000, n)
    chance = 1 / (1 + np.exp(-(frame["income"] - 28_000) / 6_000))
    return frame.assign(
        chance=chance.round(3), sex=rng.choice(["f", "m"], n), repaid=(rng.random(n) < chance).astype(int)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("train", "evaluation")):
        applications(120, seed).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "users_own.py").write_text(USER_MODULE)
    return tmp_path


def policy_for(adapter: str, folder: Path) -> Policy:
    data: dict[str, Any] = {
        "evaluation": folder / "evaluation.csv", "id": "id", "numeric": ["income", "amount"],
        "label": {"column": "repaid", "favourable": 1, "means": "outcome"},
    }  # fmt: skip
    if adapter != "predictions":
        data["train"] = folder / "train.csv"
    return Policy.model_validate(
        {
            "auditkit": 1, "name": "contract", "rules": [], "data": data,
            "model": {"adapter": adapter, **CASES[adapter]}, "protected": {"sex": {"column": "sex"}},
        }
    )  # fmt: skip


def opened(adapter: str, folder: Path) -> tuple[Subject, Table]:
    policy = policy_for(adapter, folder)
    table = read_table(policy, lambda *keys: "policy.yaml")
    if adapter == "tabular" and not (folder / "model").exists():
        save(train_subject(policy, table, torch.Generator()), folder / "model")
    return open_subject(policy, table, folder), table


def test_every_adapter_has_a_case_and_every_case_an_adapter() -> None:
    assert set(CASES) == set(ADAPTERS)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_scores_decisions_and_losses_agree(adapter: str, folder: Path) -> None:
    subject, table = opened(adapter, folder)
    answers = predict(subject, table)
    rows = table.frame.iloc[table.rows("evaluation")]
    assert subject.adapter == adapter
    assert answers.score is not None
    assert ((answers.score >= 0) & (answers.score <= 1)).all()
    assert np.unique(answers.decision).tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(answers.decision, subject.decide(rows))
    if subject.threshold is not None:
        np.testing.assert_array_equal(answers.decision, answers.score >= subject.threshold)
    right = np.where(answers.truth == 1, answers.score, 1 - answers.score)
    np.testing.assert_allclose(answers.loss, -np.log(np.clip(right, 1e-15, 1)), rtol=1e-4, atol=1e-6)
    assert (answers.loss_train is None) == (adapter == "predictions")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_digest_stays_and_the_order_of_asking_does_not_matter(adapter: str, folder: Path) -> None:
    subject, table = opened(adapter, folder)
    assert len(subject.digest) == 64
    assert subject.digest == opened(adapter, folder)[0].digest
    rows = table.frame.iloc[table.rows("evaluation")]
    assert subject.score is not None
    backwards = subject.score(rows.iloc[::-1])[::-1]
    np.testing.assert_allclose(backwards, subject.score(rows), rtol=1e-6)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_gradients_are_there_or_their_absence_has_a_reason(adapter: str, folder: Path) -> None:
    subject, table = opened(adapter, folder)
    if subject.gradient is None:
        assert subject.no_gradient_reason
        return
    rows = table.rows("evaluation")
    frame, label = table.frame.iloc[rows], table.label[rows]
    gradient = subject.gradient
    inputs, targets = gradient.tensors(frame, label)
    outputs = gradient.module(*inputs)
    losses = gradient.loss(outputs, targets)
    assert not gradient.module.training
    assert losses.shape == (len(rows),)
    assert subject.loss is not None
    assert subject.score is not None
    np.testing.assert_allclose(losses.detach().double().numpy(), subject.loss(frame, label), rtol=1e-6)
    score = gradient.favourable_score(outputs).detach().double().numpy()
    np.testing.assert_allclose(score, subject.score(frame), rtol=1e-6)
    grads = torch.autograd.grad(losses.sum(), list(gradient.module.parameters()))
    assert sum(float(part.abs().sum()) for part in grads) > 0
    assert subject.parameters == sum(p.numel() for p in gradient.module.parameters())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_refit_is_a_subject_of_the_same_kind_decided_by_rows_and_generator_alone(adapter: str, folder: Path) -> None:
    subject, table = opened(adapter, folder)
    if subject.train is None:
        assert adapter == "predictions"
        return
    before = subject.digest
    rows = table.rows("train")[:80]
    frame, label = table.frame.iloc[rows], table.label[rows]
    one, two = (subject.train(frame, label, torch.Generator().manual_seed(4)) for _ in range(2))
    other = subject.train(frame.iloc[:40], label[:40], torch.Generator().manual_seed(4))
    assert one.digest == two.digest != other.digest
    assert (one.adapter, one.kind, one.features, one.threshold) == (
        subject.adapter, subject.kind, subject.features, subject.threshold,
    )  # fmt: skip
    assert opened(adapter, folder)[0].digest == before
    assert predict(one, table).loss_train is not None
