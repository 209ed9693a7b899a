"""What a bank tells of its progress: shares that rise to 1, weighed by operations over the banks of an audit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from auditkit import retraining
from auditkit.bank.fit import carry_out, intend
from auditkit.pieces import Nothing
from auditkit.preflight import prepare
from auditkit.subject.types import Subject
from tests.bank.lender import write_lender


@pytest.mark.parametrize(
    ("recipe", "plain", "steps"),
    [
        ("{module: mlp, hidden: [4], epochs: 5}", False, 5),
        ("{module: mlp, hidden: [4], epochs: 3, early-stopping: true}", False, 16),
        ("{module: mlp, hidden: [4], epochs: 2}", True, 16),
        ("{module: logistic, l2: 0.01}", False, 1),
    ],
)
def test_the_share_rises_to_one(tmp_path: Path, recipe: str, plain: bool, steps: int) -> None:
    prepared = prepare(write_lender(tmp_path, training=recipe))
    subject = prepared.subject
    if plain:
        subject = Subject(**{field.name: getattr(subject, field.name) for field in fields(Subject)})
    told: list[float] = []
    intended = intend(subject, prepared.table, wanted=16)
    found, _ = carry_out(
        intended, subject, prepared.table, generator=np.random.default_rng(0), told=told.append
    )
    assert found is not None and told == pytest.approx([*((k + 1) / steps for k in range(steps)), 1.0])


def test_both_banks_of_an_audit_are_one_work(tmp_path: Path) -> None:
    """Operations done never fall, end at their total, and each bank has the part that its models are."""
    prepared = prepare(
        write_lender(tmp_path, training="{module: mlp, hidden: [4], epochs: 4}", privacy="{bank: 48}")
    )
    told: list[tuple[float, float]] = []
    one, two = np.random.default_rng(0).spawn(2)
    found = retraining.banks(
        prepared.policy, prepared.subject, prepared.table, (one, two), keep=Nothing(),
        worked=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    done, totals = zip(*told, strict=True)
    assert len(set(totals)) == 1 and list(done) == sorted(done) and done[-1] == totals[0]
    assert found.halves is not None and found.pool is not None and len(found.pool.plan.masks) == 48
    halves = len(found.halves.plan.masks)
    parameters, rows = prepared.subject.parameters or 0, 400 / 2
    each = 6 * parameters * rows * 4
    first = done[4]  # four epochs of the first bank and its end
    assert first == pytest.approx(halves * each + 2e7 * 4 * rows / 128)
