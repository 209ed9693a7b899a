"""TracIn against per-record gradients taken one by one, and against training runs without the record."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import ModelError, NumericsError, PolicyError
from auditkit.influence import attribute
from auditkit.influence.estimators.tracin import Descent, follow
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.measures import measure_gradients
from auditkit.influence.models import State
from auditkit.influence.problem import Problem
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import MODULES, module_problem
from tests.worlds import cross_entropy

Checkpoints = list[tuple[State, float]]


def record_gradients(problem: Problem, state: State) -> Tensor:
    """[N, D] of the records' losses at a state: one plain backward pass a record."""
    module = copy.deepcopy(problem.module)
    module.load_state_dict(state)
    module.requires_grad_(True)
    own = dict(module.named_parameters())
    rows = []
    for n in range(problem.n):
        outputs = module(*(t[n : n + 1] for t in problem.inputs))
        loss = problem.loss(outputs, problem.targets[n : n + 1]).sum()
        found = torch.autograd.grad(loss, [own[k] for k in problem.layout.names], allow_unused=True)
        pairs = zip(found, problem.layout.names, strict=True)
        rows.append(torch.cat([(torch.zeros_like(own[k]) if g is None else g).reshape(-1) for g, k in pairs]))
    return torch.stack(rows)


def shaken(module: nn.Module, seed: int) -> State:
    """Every parameter multiplied by something of its own near 1."""
    generator = torch.Generator().manual_seed(seed)
    return {
        k: v * (1 + 0.3 * torch.randn(v.shape, generator=generator, dtype=v.dtype))
        for k, v in module.state_dict().items()
    }


@pytest.mark.parametrize("name", sorted(MODULES))
def test_it_is_the_sum_of_inner_products_of_record_gradients(name: str) -> None:
    problem = module_problem(name, batch=11)
    evaluation = mean_losses(problem, problem.inputs, problem.targets)
    checkpoints: Checkpoints = [(shaken(problem.module, 1), 0.3), (shaken(problem.module, 2), 1.7)]
    got = follow(problem, evaluation, checkpoints)
    effects, own = torch.zeros(problem.n, 2, dtype=torch.float64), torch.zeros(problem.n, dtype=torch.float64)
    for state, rate in checkpoints:
        gradients = record_gradients(problem, state)
        slices = evaluation.weights("loss").T @ gradients
        effects += rate / problem.n * problem.weights.unsqueeze(1) * (gradients @ slices.T)
        own += rate / problem.n * problem.weights * gradients.square().sum(1)
    torch.testing.assert_close(got.effects, effects, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(got.self_influence, own, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_step_serves_the_curvature_protocol(name: str) -> None:
    problem = module_problem(name)
    step = Descent.of(problem, 0.25)
    vectors = random(problem.layout.size, 3)
    jacobian = output_jacobian(problem, problem.inputs)
    crosses, grams = step.probe(problem.inputs, None, vectors)
    torch.testing.assert_close(crosses, jacobian @ vectors, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(grams, 0.25 * jacobian @ jacobian.transpose(1, 2), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(step.stiffer(5.0).solve(vectors), 0.05 * vectors)
    assert step.covered == problem.layout.size


def descend(x: Tensor, y: Tensor, *, steps: int, rate: float, without: int | None = None) -> Checkpoints:
    """States before each step of full-batch descent, then the last; the other records keep weight 1/N."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    weights = torch.ones(len(y), dtype=torch.float64)
    if without is not None:
        weights[without] = 0.0
    states: Checkpoints = []
    for _ in range(steps + 1):
        states.append((copy.deepcopy(module.state_dict()), rate))
        loss = (cross_entropy(module(x), y) * weights).sum() / len(y)
        for p, g in zip(module.parameters(), torch.autograd.grad(loss, list(module.parameters())), strict=True):
            with torch.no_grad():
                p.sub_(rate * g)
    return states


def changes(x: Tensor, y: Tensor, *, steps: int, rate: float) -> tuple[Tensor, Tensor]:
    """Changes of two slices' mean losses [N, 2] and of each record's own loss [N] by training without it."""

    def losses(state: State) -> Tensor:
        module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
        module.load_state_dict(state)
        with torch.no_grad():
            return cross_entropy(module(x), y)

    with torch.random.fork_rng(devices=[]):
        base = losses(descend(x, y, steps=steps, rate=rate)[-1][0])
        moved = torch.stack(
            [losses(descend(x, y, steps=steps, rate=rate, without=n)[-1][0]) - base for n in range(len(y))]
        )
    return torch.stack([moved[:, ::2].mean(1), moved[:, 1::2].mean(1)], 1), moved.diagonal()


@pytest.mark.parametrize(("steps", "rate", "near", "correlation"), [(1, 1e-3, 2e-3, 0.9999), (30, 0.01, 0.15, 0.99)])
def test_it_predicts_training_without_the_record_in_unit_and_sign(
    steps: int, rate: float, near: float, correlation: float
) -> None:
    x, y = random(24, 4), torch.arange(24) % 3
    checkpoints = descend(x, y, steps=steps, rate=rate)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()
    slices = {"even": (x[::2], y[::2]), "odd": (x[1::2], y[1::2])}
    got = attribute(module, cross_entropy, (x, y), slices, estimator="tracin", checkpoints=checkpoints[:-1])
    truth, own = changes(x, y, steps=steps, rate=rate)
    for s in range(2):
        predicted, actual = got.scores[:, s].numpy(), truth[:, s].numpy()
        assert np.corrcoef(predicted, actual)[0, 1] >= correlation
        assert abs(predicted @ actual / (actual @ actual) - 1) <= near
        assert np.mean(np.sign(predicted) == np.sign(actual)) >= 0.95
    assert got.self_influence is not None
    assert np.corrcoef(got.self_influence.numpy(), own.numpy())[0, 1] >= correlation
    assert abs(float(got.self_influence @ own / (own @ own)) - 1) <= near


def test_one_checkpoint_may_stand_for_several_steps_and_their_order_is_free(
    mlp: tuple[nn.Module, Tensor, Tensor],
) -> None:
    problem = posed(*mlp)
    evaluation = mean_losses(problem, mlp[1], mlp[2])
    one, two = shaken(problem.module, 1), shaken(problem.module, 2)
    first = follow(problem, evaluation, [(one, 0.1), (two, 0.6)])
    again = follow(problem, evaluation, [(two, 0.2), (one, 0.1), (copy.deepcopy(two), 0.4)])
    torch.testing.assert_close(first.effects, again.effects)
    gradient = measure_gradients(problem, evaluation)
    assert bool(gradient.any()) and float(first.self_influence.min()) > 0


def test_the_quality_says_what_the_figures_are(mlp: tuple[nn.Module, Tensor, Tensor]) -> None:
    module, x, y = mlp
    state = copy.deepcopy(module.state_dict())
    got = attribute(module, cross_entropy, (x, y), {"s": (x, y)}, weight_decay=0.1, checkpoints=[(state, 2.5)])
    said = {q.name: q for q in got.quality}
    assert said["method"].text == "tracin. Chosen because checkpoints were given."
    assert "Pruthi" in said["form"].text and "no prediction of retraining" in said["form"].text
    assert said["trajectory length"].value == 2.5 and "takes no part" in said["weight decay"].text


def test_checkpoints_may_share_what_is_not_trained(mlp: tuple[nn.Sequential, Tensor, Tensor]) -> None:
    module, x, y = copy.deepcopy(mlp[0]), mlp[1], mlp[2]
    module[0].requires_grad_(False)
    first = module.state_dict()
    second = {k: v if k.startswith("0.") else v * 1.1 for k, v in first.items()}
    got = attribute(module, cross_entropy, (x, y), {"s": (x, y)}, checkpoints=[(first, 0.1), (second, 0.1)])
    alone = attribute(module, cross_entropy, (x, y), {"s": (x, y)}, checkpoints=[(first, 0.1)])
    assert got.self_influence is not None and alone.self_influence is not None
    assert bool((got.self_influence > alone.self_influence).all())


def test_checkpoints_that_cannot_be_used_are_refused(mlp: tuple[nn.Module, Tensor, Tensor]) -> None:
    module, x, y = mlp
    state = copy.deepcopy(module.state_dict())
    broken = {k: torch.full_like(v, float("nan")) for k, v in state.items()}
    for checkpoints, error, words in (
        ([], PolicyError, "at least one checkpoint"),
        ([(state, 0.0)], PolicyError, "checkpoint 1: the learning rate"),
        ([(state, float("inf"))], PolicyError, "positive finite number, not inf"),
        ([({"0.weight": state["0.weight"]}, 0.1)], ModelError, "checkpoint 1 does not fit the module"),
        ([(module.state_dict(), 0.1), (module.state_dict(), 0.1)], ModelError, r"1 and 2 share the memory"),
        ([(broken, 0.1)], NumericsError, "not finite"),
    ):
        with pytest.raises(error, match=words):
            attribute(module, cross_entropy, (x, y), {"s": (x, y)}, checkpoints=checkpoints)
    with pytest.raises(PolicyError, match="no use for a damping"):
        attribute(module, cross_entropy, (x, y), {"s": (x, y)}, checkpoints=[(state, 0.1)], damping=0.1)
