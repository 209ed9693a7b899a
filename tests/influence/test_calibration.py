from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from auditkit.influence.calibration import FEWEST, RIDGES, _of_measure, calibrate
from auditkit.influence.ensemble import held_out
from auditkit.influence.fidelity import correlations


def world(members: int, *, mixed: float, noise: float = 0.05) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Effects that miss what measure 1 has of measure 0, masks, members' answers, and the true effects."""
    chance = torch.Generator().manual_seed(3)
    given = torch.randn(400, 3, generator=chance, dtype=torch.float64)
    mixing = torch.eye(3, dtype=torch.float64)
    mixing[0, 1] = mixed
    true = given @ mixing
    masks = torch.rand(members, 400, generator=chance) < 0.5
    answers = 0.4 * ((~masks).double() @ true)
    answers += noise * answers.std(0) * torch.randn(members, 3, generator=chance, dtype=torch.float64)
    return given, masks, answers, true


def test_what_the_effects_leave_over_is_found() -> None:
    given, masks, answers, true = world(60, mixed=0.8)
    found, (row,) = calibrate(given, masks, answers)
    assert row.value is not None
    assert row.value > 0.5
    before, after = (np.corrcoef(e[:, 1], true[:, 1])[0, 1] for e in (given, found))
    assert before < 0.9
    assert after > 0.99
    torch.testing.assert_close(found[:, 1], true[:, 1], rtol=0.2, atol=0.2)


def test_where_there_is_nothing_left_the_effects_stay_as_they_are() -> None:
    given, masks, answers, _ = world(60, mixed=0.0, noise=1.0)
    found, (row,) = calibrate(given, masks, answers)
    assert found is given
    assert "not used" in row.text


def test_few_members_fit_nothing() -> None:
    given, masks, answers, _ = world(FEWEST - 1, mixed=0.8)
    assert calibrate(given, masks, answers) == (given, ())


def test_the_leave_one_out_error_is_that_of_leaving_out() -> None:
    given, masks, answers, _ = world(30, mixed=0.5, noise=0.3)
    x = ((~masks).double() @ given).numpy()
    z, y = (x - x.mean(0)) / x.std(0), answers.numpy()[:, 1]
    _, errors, _ = _of_measure(x[:, 1], z, y)
    ridge = RIDGES[3]
    line = np.column_stack([np.ones(30), x[:, 1]])
    rest = z - line @ np.linalg.lstsq(line, z, rcond=None)[0]
    design = np.column_stack([line, rest])
    penalty = np.diag([0.0, 0.0, *[ridge] * 3])
    total = 0.0
    for k in range(30):
        own, others = design[k], np.delete(design, k, axis=0)
        fitted = np.linalg.solve(others.T @ others + penalty, others.T @ np.delete(y, k))
        total += (y[k] - own @ fitted) ** 2
    assert errors[3] == pytest.approx(total / np.square(y - y.mean()).sum())


def test_members_choose_the_way_that_predicts_them() -> None:
    given, masks, answers, true = world(40, mixed=0.8)
    way, (row,) = held_out(torch.stack([given, true, -true]), masks, answers)
    assert way == 1
    predicted = (~masks).double() @ true
    assert row.value == pytest.approx(correlations(predicted.numpy(), answers.numpy()).mean())


def test_members_that_hold_everyone_choose_nothing() -> None:
    given, masks, answers, true = world(40, mixed=0.8)
    assert held_out(torch.stack([given, true]), torch.ones_like(masks), answers) == (0, ())
