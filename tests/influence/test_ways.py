from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from auditkit.bank.fit import make
from auditkit.errors import ModelError
from auditkit.influence.attribution import attribute
from auditkit.preflight import Prepared, prepare
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.replay import replay
from tests.bank.lender import write_lender
from tests.influence.test_fidelity import audited

MLP = "{module: mlp, hidden: [6], epochs: 12, batch: 32, l2: 0.01}"


def ready(folder: Path, training: str, estimator: str) -> Prepared:
    return prepare(write_lender(folder, training=training, influence=f"{{estimator: {estimator}, fidelity-floor: -1}}"))


def tabular(prepared: Prepared) -> TabularSubject:
    assert isinstance(prepared.subject, TabularSubject)
    return prepared.subject


def test_an_ensemble_from_a_policy_is_the_one_of_the_public_door(tmp_path: Path) -> None:
    path = write_lender(
        tmp_path, training=MLP, influence="{estimator: ensemble, fidelity-models: 16, fidelity-floor: -1}"
    )
    audit = audited(path)
    part = audit.result.influence
    assert (part.status, part.estimator) == ("assessed", "ensemble")
    assert "16 members is scored by exact" in part.why_estimator
    assert part.fidelity is not None and part.fidelity.value is not None
    rows = {row.name: row for row in part.quality}
    assert rows["members"].value == 16
    assert "16 members that lack records" in rows["members predicted by the others"].text
    measuring = audit.arrays["bank_measuring"]
    assert measuring.sum() == (~measuring).sum() == 16


def test_its_members_are_the_models_that_do_not_measure(tmp_path: Path) -> None:
    prepared = ready(tmp_path, MLP, "ensemble")
    subject, table = tabular(prepared), prepared.table
    bank, _ = make(subject, table, wanted=16, generator=np.random.default_rng(0), fitting="members")
    assert bank is not None and bank.parameters is not None and subject.gradient is not None
    train, evaluation = table.rows("train"), table.rows("evaluation")
    inputs, labels = subject.gradient.tensors(table.frame.iloc[train], table.label[train])
    asked = subject.gradient.tensors(table.frame.iloc[evaluation], table.label[evaluation])
    module = subject.gradient.module
    members = []
    for k in np.flatnonzero(~bank.plan.measuring):
        vector, state = torch.from_numpy(bank.parameters[k]), {}
        for name, value in module.named_parameters():
            state[name], vector = vector[: value.numel()].view(value.shape).clone(), vector[value.numel() :]
        members.append((state, torch.from_numpy(bank.plan.masks[k])))
    known = np.isfinite(table.label[evaluation])
    rows = tuple(part[torch.from_numpy(known)] for part in asked[0]), asked[1][torch.from_numpy(known)]
    half = len(rows[1]) // 2
    slices = {
        "first": (tuple(part[:half] for part in rows[0]), rows[1][:half]),
        "last": (tuple(part[half:] for part in rows[0]), rows[1][half:]),
    }
    by_hand = attribute(
        module, subject.gradient.loss, (inputs, labels), slices, weight_decay=0.01, members=members,
        sample_weight=torch.from_numpy(table.weights[train]),
    )  # fmt: skip
    from auditkit.influence.measures import Measure, state_evaluation
    from auditkit.influence.problem import pose
    from auditkit.influence.ways import of_bank

    problem = pose(module, subject.gradient.loss, inputs, labels, weight_decay=0.01)
    weights = torch.zeros(2, len(rows[1]), dtype=torch.float64)
    weights[0, :half], weights[1, half:] = 1 / half, 1 / (len(rows[1]) - half)
    evaluation_ = state_evaluation(
        problem, rows[0], rows[1], [Measure(str(s), "loss", weights[s]) for s in range(2)], None
    )
    found = of_bank(problem, evaluation_, bank, "auto", no_bank="")
    torch.testing.assert_close(found.effects, by_hand.scores, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(
    ("estimator", "training", "privacy", "why"),
    [
        ("ensemble", MLP, "{bank: none}", "no retrained models"),
        ("tracin", "{module: logistic, l2: 0.003}", "{bank: none}", "trained by descent"),
        ("tracin", "{module: mlp, hidden: [6], epochs: 12, early-stopping: true}", "{bank: none}", "early stopping"),
    ],
)
def test_what_is_not_at_hand_is_said(tmp_path: Path, estimator: str, training: str, privacy: str, why: str) -> None:
    path = write_lender(tmp_path, training=training, influence=f"{{estimator: {estimator}}}", privacy=privacy)
    part = audited(path).result.influence
    assert part.status == "not-applicable"
    assert why in part.reason and estimator in part.reason


def test_tracin_from_a_policy_follows_the_audited_training(tmp_path: Path) -> None:
    part = audited(
        write_lender(tmp_path, training=MLP, influence="{estimator: tracin, fidelity-models: 16, fidelity-floor: -1}")
    ).result.influence
    assert (part.status, part.estimator) == ("assessed", "tracin")
    assert "10 checkpoints" in part.why_estimator
    rows = {row.name: row for row in part.quality}
    # Half a cosine of 0.05 over 12 epochs of 13 steps, over 1 - momentum.
    assert rows["trajectory length"].value == pytest.approx(0.05 * 0.5 * 12 * 13 / 0.1, rel=0.01)


def test_a_replay_ends_at_the_audited_parameters_or_says_that_it_does_not(tmp_path: Path) -> None:
    prepared = ready(tmp_path, MLP, "tracin")
    subject = tabular(prepared)
    checkpoints = replay(subject, prepared.table)
    assert len(checkpoints) == 10
    for name, value in subject.fitted.module.state_dict().items():
        assert torch.equal(checkpoints[-1][0][name], value)
    other = replace(subject, fitted=replace(subject.fitted, seed=subject.fitted.seed + 1))
    with pytest.raises(ModelError, match="other parameters"):
        replay(other, prepared.table)
