"""What reserve records would have for self-influence: against models refitted with them, and on overfit networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch import Tensor, nn

from auditkit.influence.problem import Problem, pose
from auditkit.influence.registry import choose
from auditkit.influence.scoring import Form
from auditkit.influence.settling import settle_between
from auditkit.influence.unseen import Unseen, self_influence
from auditkit.privacy.learned import gain
from auditkit.privacy.membership import Retrained
from auditkit.privacy.tails import tail_p
from auditkit.subject.types import Floats
from tests.privacy.retraining import Recipe, halves

LEVEL = 0.10


def logistic_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(outputs.reshape(-1), targets, reduction="none")


def fitted(inputs: Floats, labels: Floats, l2: float, steps: int = 30) -> nn.Module:
    """Penalised logistic regression without intercept, by Newton's method."""
    theta = np.zeros(inputs.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-inputs @ theta))
        curve = (inputs.T * (p * (1 - p))) @ inputs / len(labels) + l2 * np.eye(len(theta))
        theta -= np.linalg.solve(curve, inputs.T @ (p - labels) / len(labels) + l2 * theta)
    module = nn.Linear(len(theta), 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(theta)[None])
    return module.eval()


def drawn(rng: np.random.Generator, weights: Floats, count: int) -> tuple[Floats, Floats]:
    inputs = rng.standard_t(4, size=(count, len(weights)))
    return inputs, np.asarray(inputs @ weights + rng.logistic(size=count) > 0, dtype=np.float64)


def own_of(problem: Problem, estimator: str, unseen: Unseen, form: Form) -> Floats:
    choice = choose(problem, estimator, "auto")
    curvature, _ = settle_between(problem, choice.estimator.fit(problem), "auto", shares=(1.0,))[0]
    return self_influence(problem, curvature, unseen, form=form).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_what_a_reserve_record_would_have_is_what_adding_it_and_refitting_shows(seed: int) -> None:
    rng, l2 = np.random.default_rng(seed), 0.01
    weights = rng.normal(size=4)
    (inputs, labels), (others, aims) = drawn(rng, weights, 150), drawn(rng, weights, 25)
    module = fitted(inputs, labels, l2)
    problem = pose(module, logistic_loss, [torch.tensor(inputs)], torch.tensor(labels), weight_decay=l2)
    unseen = Unseen([torch.tensor(others)], torch.tensor(aims))
    found = own_of(problem, "exact", unseen, "newton")
    exact = []
    for record, aim in zip(others, aims, strict=True):
        # The objective that the formula describes: the others keep weight 1/N.
        more = fitted(np.vstack([inputs, record]), np.append(labels, aim), l2 * 150 / 151)
        row, truth = torch.tensor(record)[None], torch.tensor([aim])
        loss = [float(logistic_loss(m(row).detach(), truth)) for m in (module, more)]
        exact.append(loss[0] - loss[1])
    assert (found >= 0).all()
    assert np.corrcoef(found, exact)[0, 1] > 0.98
    assert float(found @ exact / (np.array(exact) @ exact)) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_a_gain_moves_the_margin_by_just_so_much(seed: int) -> None:
    """First-order form: with residual p(-margin) after the move, self-influence is G p² / N."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=3)
    (inputs, labels), (others, aims) = drawn(rng, weights, 120), drawn(rng, weights, 30)
    module = fitted(inputs, labels, 0.05)
    problem = pose(module, logistic_loss, [torch.tensor(inputs)], torch.tensor(labels), weight_decay=0.05)
    margin = (others @ module.weight.detach().numpy()[0]) * (2 * aims - 1)
    own = {}
    for rise in (0.0, 1.5):
        unseen = Unseen([torch.tensor(others)], torch.tensor(aims), np.full(30, rise))
        own[rise] = own_of(problem, "exact", unseen, "first-order")
    residual = [1 / (1 + np.exp(margin + rise)) for rise in (0.0, 1.5)]
    np.testing.assert_allclose(own[1.5] / own[0.0], (residual[1] / residual[0]) ** 2, rtol=1e-6)


@pytest.mark.parametrize(("members", "reserve", "width"), [(150, 150, 5), (200, 80, 12)])
def test_where_nothing_is_planted_hardly_any_logistic_audit_marks(members: int, reserve: int, width: int) -> None:
    marked, repeats = 0, 20
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=width)
        (inputs, labels), (others, aims) = drawn(rng, weights, members), drawn(rng, weights, reserve)
        module = fitted(inputs, labels, 0.01)
        problem = pose(module, logistic_loss, [torch.tensor(inputs)], torch.tensor(labels), weight_decay=0.01)
        zero = Unseen([torch.tensor(inputs)], torch.tensor(labels), np.zeros(members))
        own = own_of(problem, "exact", zero, "newton")
        reference = own_of(problem, "exact", Unseen([torch.tensor(others)], torch.tensor(aims)), "newton")
        p = tail_p(own, reference, rng)
        marked += bool((stats.false_discovery_control(p) <= LEVEL).any())
    assert marked <= stats.binom.isf(0.01, repeats, LEVEL)


def _digits(planted: bool, seed: int) -> tuple[Tensor, Tensor, int]:
    """600 digits for training, of which 4 % have turned labels and 2 % are noise, and 600 of the reserve."""
    rng = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    at = rng.permutation(len(labels))[:1200]
    inputs, aims = images[at] / 16, labels[at].copy()
    flips, count = (24, 36) if planted else (0, 0)
    aims[:flips] = (aims[:flips] + rng.integers(1, 10, flips)) % 10
    inputs[flips:count] = rng.random((count - flips, 64))
    aims[flips:count] = rng.integers(0, 10, count - flips)
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(aims), count


def _network(inputs: Tensor, labels: Tensor, recipe: Recipe, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    a, b, c = recipe.widths
    module = nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c))
    descent = torch.optim.SGD(module.parameters(), recipe.rate, momentum=0.9, weight_decay=recipe.l2)
    steps = recipe.epochs * -(-len(labels) // recipe.batch)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
    for _ in range(recipe.epochs):
        for at in torch.randperm(len(labels)).split(recipe.batch):
            descent.zero_grad()
            nn.functional.cross_entropy(module(inputs[at]), labels[at]).backward()
            descent.step()
            slower.step()
    return module.eval()


def _screened(bank: Retrained, inputs: Tensor, labels: Tensor, recipe: Recipe, seed: int) -> np.ndarray:
    """Marks [N] of an overfit network of digits, by its bank and reserve."""
    members = len(labels) // 2
    module = _network(inputs[:members], labels[:members], recipe, seed)
    loss = lambda outputs, aims: nn.functional.cross_entropy(outputs, aims, reduction="none")  # noqa: E731
    with torch.no_grad():
        p = torch.softmax(module(inputs).double(), 1)[torch.arange(len(labels)), labels].clamp(1e-15, 1 - 1e-15)
    target = torch.log(p / (1 - p)).numpy()
    problem = pose(module, loss, [inputs[:members]], labels[:members], weight_decay=recipe.l2)
    as_is = Unseen([inputs[:members]], labels[:members], np.zeros(members))
    others = Unseen([inputs[members:]], labels[members:], gain(bank, target)[members:])
    own, reference = (own_of(problem, "ekfac", unseen, "first-order") for unseen in (as_is, others))
    return np.asarray(stats.false_discovery_control(tail_p(own, reference, np.random.default_rng(seed))) <= LEVEL)


@pytest.mark.prove
@pytest.mark.slow
def test_on_a_network_that_memorises_the_planted_are_found(record_property: Callable[[str, Any], None]) -> None:
    recipe = Recipe((64, 128, 10), epochs=40)
    inputs, labels, count = _digits(planted=True, seed=0)
    bank = halves(inputs, labels, 64, recipe, seed=0)
    found = [_screened(bank, inputs, labels, recipe, seed) for seed in range(4)]
    precision = float(np.mean([flag[:count].sum() / max(flag.sum(), 1) for flag in found]))
    recall = float(np.mean([flag[:count].mean() for flag in found]))
    record_property("digits with flips and outliers: precision of outsized self-influence", round(precision, 3))
    record_property("digits with flips and outliers: recall of outsized self-influence", round(recall, 3))
    assert precision >= 0.5 and recall >= 0.5


@pytest.mark.prove
@pytest.mark.slow
def test_on_networks_that_memorise_and_hold_nothing_planted_hardly_any_audit_marks(
    record_property: Callable[[str, Any], None]
) -> None:
    recipe, marked = Recipe((64, 64, 10), epochs=40), 0
    for seed in range(4):
        inputs, labels, _ = _digits(planted=False, seed=seed)
        bank = halves(inputs, labels, 32, recipe, seed=seed)
        marked += sum(bool(_screened(bank, inputs, labels, recipe, again).any()) for again in range(5))
    record_property("digits without planted records: audits with any outsized record, of 20", marked)
    assert marked <= stats.binom.isf(0.025, 20, LEVEL)
