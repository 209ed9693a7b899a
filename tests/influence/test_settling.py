from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.influence import settling
from auditkit.influence.damping import candidates, nearest_optimum
from auditkit.influence.estimators.arnoldi import Arnoldi
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.measures import objective_gradient
from auditkit.influence.problem import Problem, pose
from tests.worlds import squared_loss


@dataclass(frozen=True)
class Stopped:
    """Gradient descent on a quadratic from 0, stopped at time t: the step that stays is that of a known penalty."""

    eigenvalues: Tensor
    residual: Tensor
    parameters: Tensor


def descended(time: float, own: float) -> Stopped:
    e = torch.logspace(-4, 0, 60, dtype=torch.float64)
    optimum = torch.ones_like(e)
    at = optimum * (1 - torch.exp(-time * (e + own)))
    return Stopped(e, (e + own) * (at - optimum), at)


def of(world: Stopped, own: float) -> float:
    return nearest_optimum(world.eigenvalues, world.residual.unsqueeze(1), world.parameters, own=own, least=0.0)


def test_a_minimum_needs_none() -> None:
    assert of(descended(1e9, 1e-3), 1e-3) == 0.0


def test_a_minimum_under_a_stronger_penalty_is_recognised() -> None:
    """Ridge regression solved under a penalty that is not the one stated."""
    e = torch.logspace(-4, 0, 60, dtype=torch.float64)
    target, own, true = torch.ones_like(e), 1e-4, 1e-4 * 10 ** (13 / 8)
    at = e * target / (e + true)
    residual = e * (at - target) + own * at
    found = nearest_optimum(e, residual.unsqueeze(1), at, own=own, least=0.0)
    assert own + found == pytest.approx(true, rel=1e-9)


def test_the_shorter_the_training_the_larger() -> None:
    found = [of(descended(time, 1e-4), 1e-4) for time in (10, 100, 1000)]
    assert found[0] > found[1] > found[2] > 0
    for time, added in zip((10, 100, 1000), found, strict=True):
        assert 0.2 < added * time < 2, "of the order of the inverse of the time (Ali, Kolter & Tibshirani 2019)"


def test_it_beats_the_stated_penalty_in_predicting_the_stopped_path() -> None:
    """What a change of the data does to the stopped model, against the inverse curvature with and without damping."""
    time, own = 50.0, 1e-4
    world = descended(time, own)
    truth = (1 - torch.exp(-time * (world.eigenvalues + own))) / (world.eigenvalues + own)
    added = of(world, own)
    error = {d: float((1 / (world.eigenvalues + own + d) - truth).square().mean()) for d in (0.0, added)}
    assert error[added] < error[0.0] / 20


def test_two_halves_carry_no_noise_of_their_own() -> None:
    chance = torch.Generator().manual_seed(0)
    e = torch.logspace(-3, 0, 400, dtype=torch.float64)
    own, at = 1e-3, torch.ones(400, dtype=torch.float64)
    noise = 0.05 * torch.randn(400, 2, generator=chance, dtype=torch.float64) * e.sqrt().unsqueeze(1)
    true = own * 10 ** (8 / 8)
    residual = -(true - own) * at
    halves = nearest_optimum(e, residual.unsqueeze(1) + noise, at, own=own, least=0.0)
    assert own + halves == pytest.approx(true, rel=0.8)


def test_candidates_begin_at_the_least_and_grow_by_equal_factors() -> None:
    found = np.array(candidates(1e-3, 5e-4))
    assert found[0] == 5e-4
    np.testing.assert_allclose((found[1:] + 1e-3) / (found[:-1] + 1e-3), 10 ** (1 / 8))


def network(rows: int = 300) -> Problem:
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 5, generator=chance, dtype=torch.float64)
    y = torch.stack([torch.sin(x[:, 0]), x[:, 1] * x[:, 2]], dim=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 2)).double()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=1e-4)
    for _ in range(40):
        optimiser.zero_grad()
        squared_loss(module(x), y).mean().backward()
        optimiser.step()
    return pose(module.eval(), squared_loss, (x,), y, weight_decay=1e-4)


def test_exact_takes_the_penalty_of_the_dense_spectrum() -> None:
    problem = network()
    settled, said = settling.settle(problem, Exact().fit(problem), "auto")
    e, basis = torch.linalg.eigh(gauss_newton(problem))
    least = Exact().fit(problem).damping["all"]
    gradient, at = basis.T @ objective_gradient(problem), basis.T @ problem.flat()
    tried = candidates(1e-4, least)
    moved = [float((e.clamp(min=0) * ((gradient + d * at) / (e + 1e-4 + d)).square()).sum()) for d in tried]
    best = tried[int(np.argmin(moved))]
    assert settled.damping["all"] == pytest.approx(best)
    assert best > least
    assert said.value == pytest.approx(best)
    right = torch.linalg.solve(
        gauss_newton(problem) + (1e-4 + best) * torch.eye(problem.layout.size, dtype=torch.float64),
        problem.flat(),
    )
    torch.testing.assert_close(settled.solve(problem.flat().unsqueeze(1))[:, 0], right, rtol=1e-7, atol=1e-9)


def test_a_krylov_space_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = network()
    whole = settling.settle(problem, Exact().fit(problem), "auto")[0].damping["all"]
    monkeypatch.setattr("auditkit.influence.dense._WHOLE", 10)
    monkeypatch.setattr("auditkit.influence.dense._KRYLOV", 40)
    assert settling.settle(problem, Exact().fit(problem), "auto")[0].damping["all"] == pytest.approx(whole)


def test_every_block_gets_its_own_and_another_damping_gives_another_fit() -> None:
    problem = network()
    fitted = Ekfac().fit(problem)
    settled, said = settling.settle(problem, fitted, "auto")
    assert set(settled.damping) == set(fitted.damping) == {"0", "2", "3"}
    assert len(set(settled.damping.values())) == 3
    assert all(settled.damping[name] > fitted.damping[name] for name in fitted.damping)
    assert all(name in said.text for name in ("0 ", "2 ", "3 "))
    stated = Ekfac(damping=0.05).fit(problem)
    again = fitted.damped(dict.fromkeys(fitted.damping, 0.05))
    vectors = torch.randn(problem.layout.size, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(again.solve(vectors), stated.solve(vectors), rtol=1e-9, atol=1e-12)


def test_shares_lead_from_the_floor_to_the_nearest_optimum() -> None:
    problem = network()
    fitted = Exact().fit(problem)
    found = [c.damping["all"] for c, _ in settling.settle_between(problem, fitted, "auto", shares=(0.0, 0.5, 1.0))]
    assert found[0] == pytest.approx(fitted.damping["all"])
    assert found[2] == pytest.approx(settling.settle(problem, fitted, "auto")[0].damping["all"])
    assert (1e-4 + found[1]) ** 2 == pytest.approx((1e-4 + found[0]) * (1e-4 + found[2]))


@pytest.mark.parametrize("case", ["stated", "affine", "no spectra"])
def test_what_has_nothing_to_choose_says_so(case: str) -> None:
    problem = network()
    if case == "affine":
        line = nn.Linear(5, 2).double().eval()
        problem = pose(line, squared_loss, problem.inputs, problem.targets, weight_decay=1e-3)
    estimator = {"stated": Exact(damping=0.3), "affine": Exact(), "no spectra": Arnoldi()}[case]
    fitted = estimator.fit(problem)
    settled, said = settling.settle(problem, fitted, 0.3 if case == "stated" else "auto")
    assert settled is fitted
    assert {"stated": "as stated", "affine": "affine", "no spectra": "spectra"}[case] in said.text


def test_a_sample_of_many_records_finds_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = network(rows=1200)
    whole = settling.settle(problem, Exact().fit(problem), "auto")[0].damping["all"]
    monkeypatch.setattr(settling, "RECORDS", 400)
    assert settling.gradients(problem).shape[1] == 2
    part = settling.settle(problem, Exact().fit(problem), "auto")[0].damping["all"]
    assert 0.3 < part / whole < 3
