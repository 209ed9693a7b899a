"""DP-SGD through Opacus: does the clip hold, does the noise match the epsilon, and does the run repeat?"""

from __future__ import annotations

import warnings

import pytest
import torch
from opacus.accountants import PRVAccountant
from torch import Tensor

from auditkit.errors import ModelError
from auditkit.policy.remedies import DpSgd
from auditkit.remedies import private
from auditkit.subject.fitting import Batch
from auditkit.subject.model import Logistic, Perceptron, loss

DRAWN = torch.Generator().manual_seed(3)
INPUTS = torch.randn(200, 5, generator=DRAWN, dtype=torch.float64) * 4
BATCH = Batch((INPUTS,), (INPUTS[:, 0] > 0).double(), torch.ones(200, dtype=torch.float64))


def own_gradient(module: torch.nn.Module, row: int) -> Tensor:
    """One record's gradient by plain autograd."""
    value = loss(module(INPUTS[row : row + 1]), BATCH.targets[row : row + 1]).sum()
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, list(module.parameters()))])


@pytest.mark.parametrize("clip", [0.1, 1.0, 1e6])
def test_a_step_without_noise_moves_by_the_sum_of_clipped_one_record_gradients(clip: float) -> None:
    module = Perceptron(5, (4,))
    plan = private.Schedule(DpSgd(clip=clip, learning_rate=1.0), 1.0, 1, 200, 0.0, 0.0)
    optimizer, wrapped = private.prepared(module, plan, l2=0.0, generator=torch.Generator().manual_seed(1))
    before = torch.cat([p.detach().reshape(-1).clone() for p in wrapped.parameters()])
    alone = Perceptron(5, (4,))
    alone.load_state_dict(module.state_dict())
    single = torch.stack([own_gradient(alone, row) for row in range(200)])
    norms = single.norm(dim=1, keepdim=True)
    clipped = single * (clip / (norms + 1e-6)).clamp(max=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        private.gradients(wrapped, BATCH)
    mine = torch.cat([p.grad_sample.reshape(200, -1) for p in wrapped.parameters()], dim=1)
    torch.testing.assert_close(mine, single)
    optimizer.step()
    after = torch.cat([p.detach().reshape(-1) for p in wrapped.parameters()])
    torch.testing.assert_close(before - after, clipped.sum(0) / 200)
    assert float(clipped.norm(dim=1).max()) <= clip
    assert bool((norms > clip).any()) == (clip < 1e6)


def test_one_record_moves_a_step_by_no_more_than_the_clip() -> None:
    found = []
    for rows in (torch.arange(200), torch.arange(199)):
        module = Logistic(5)
        plan = private.Schedule(DpSgd(clip=0.5, learning_rate=1.0), 1.0, 1, 200, 2.0, 0.0)
        optimizer, wrapped = private.prepared(module, plan, l2=0.01, generator=torch.Generator().manual_seed(1))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            private.gradients(wrapped, BATCH.take(rows))
        optimizer.step()
        found.append(torch.cat([p.detach().reshape(-1) for p in wrapped.parameters()]))
    assert 0 < float((found[0] - found[1]).norm()) <= 0.5 / 200 * (1 + 1e-9)


@pytest.mark.parametrize(("epsilon", "batch"), [(1.0, 64), (3.0, 256), (8.0, 1000)])
def test_the_accountant_stays_within_the_target_and_a_second_one_agrees(epsilon: float, batch: int) -> None:
    plan = private.schedule(DpSgd(epsilon=epsilon, batch=batch, epochs=5), 1000)
    assert 0.9 * epsilon < plan.epsilon <= epsilon
    tighter = PRVAccountant()
    tighter.history = [(plan.noise, plan.rate, plan.steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tighter.get_epsilon(1e-5) <= epsilon


def test_the_same_seed_gives_the_same_model_and_another_seed_another() -> None:
    plan = private.schedule(DpSgd(batch=50, epochs=2), 200)
    one, again, other = (
        private.descend(Logistic(5), BATCH, plan, l2=0.001, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one["linear.weight"], again["linear.weight"])
    assert not torch.equal(one["linear.weight"], other["linear.weight"])


def test_a_step_without_any_record_still_adds_noise() -> None:
    plan = private.Schedule(DpSgd(), 0.01, 1, 2, 1.0, 0.0)
    optimizer, wrapped = private.prepared(Logistic(5), plan, l2=0.0, generator=torch.Generator().manual_seed(1))
    private.gradients(wrapped, BATCH.take(torch.empty(0, dtype=torch.int64)))
    optimizer.step()
    assert all(float(p.detach().abs().sum()) > 0 for p in wrapped.parameters())


def test_an_epsilon_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(ModelError, match="no noise reaches epsilon"):
        private.schedule(DpSgd(epsilon=1e-9, delta=1e-12, batch=100, epochs=1000), 100)


def test_a_module_that_mixes_records_is_refused() -> None:
    plan = private.Schedule(DpSgd(), 1.0, 1, 200, 1.0, 0.0)
    mixed = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4))
    with pytest.raises(ModelError, match="Opacus cannot train"):
        private.prepared(mixed, plan, l2=0.0, generator=torch.Generator())
