"""Weight decay as the gradient tells it: models really trained with an L2, with AdamW and with neither."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from auditkit.influence import attribute, losses
from auditkit.influence.decay import Decay, Verdict, recognise, sentence, weight_decay
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.likelihood import output_terms
from auditkit.influence.moments import second_moments
from auditkit.influence.problem import Problem
from auditkit.influence.proportional import by_unit, fit, units_of, vuong
from tests.influence.conftest import posed, random
from tests.influence.glm import world
from tests.influence.modules import MODULES, module_problem

Recipe = Literal["sgd with l2", "adam with l2", "adamw", "sgd", "adam"]
L2 = 3e-3


def rows(seed: int) -> tuple[Tensor, Tensor]:
    x = random(500, 8, seed=seed) * torch.logspace(-0.7, 0.7, 8, dtype=torch.float64)
    chance = x @ random(8, 3, seed=seed + 50) + 2 * random(500, 3, seed=seed + 90)
    return x, chance.argmax(1)


def trained(recipe: Recipe, seed: int = 1) -> tuple[nn.Sequential, Tensor, Tensor]:
    """400 epochs of batches of 64, step sizes down to 0 by a cosine: about as settled as networks come."""
    x, y = rows(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    made = {
        "sgd with l2": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9, weight_decay=L2),
        "adam with l2": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=L2),
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.2),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    }
    optimiser = made[recipe](module.parameters())
    steps = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 400 * 8)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(400):
        for part in torch.randperm(500, generator=generator).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(x[part]), y[part]).backward()
            optimiser.step()
            steps.step()
    return module.eval(), x, y


@pytest.fixture(scope="module")
def models() -> dict[Recipe, tuple[nn.Sequential, Tensor, Tensor]]:
    recipes: tuple[Recipe, ...] = ("sgd with l2", "adam with l2", "adamw", "sgd", "adam")
    return {recipe: trained(recipe) for recipe in recipes}


@pytest.mark.parametrize(
    ("recipe", "stated", "verdict"),
    [
        ("sgd with l2", L2, "as stated"),
        ("sgd with l2", 0.0, "another L2"),
        ("sgd with l2", 1e-3, "another L2"),
        ("adam with l2", L2, "as stated"),
        ("adam with l2", 0.0, "another L2"),
        ("adamw", 0.0, "decoupled"),
        ("adamw", 0.2, "decoupled"),
        ("adamw", 2e-3, "decoupled"),
        ("sgd", 0.0, "not explained"),
        ("sgd", 1e-2, "contradicted"),
        ("adam", 0.0, "not explained"),
    ],
)
def test_the_decay_that_trained_a_model_is_recognised(
    recipe: Recipe, stated: float, verdict: Verdict, models: dict[Recipe, tuple[nn.Sequential, Tensor, Tensor]]
) -> None:
    found = recognise(posed(*models[recipe], l2=stated))
    assert found.verdict == verdict
    assert found.warns is (verdict in ("another L2", "decoupled", "contradicted"))
    if "l2" in recipe:
        assert found.implied == pytest.approx(L2, rel=0.2)
        assert found.by_l2 > found.by_decoupled + 0.1
        for group in found.groups:
            assert group.implied == pytest.approx(L2, rel=0.4) and group.unexplained < 0.25
    if verdict == "decoupled":
        # Decoupled decay is an L2 that differs between tensors.
        implied = [group.implied for group in found.groups]
        assert max(implied) > 2.5 * min(implied) > 0 and found.confidence >= 0.975


def test_the_quality_row_warns_says_why_and_lists_the_implied_l2(
    models: dict[Recipe, tuple[nn.Sequential, Tensor, Tensor]],
) -> None:
    module, x, y = models["adamw"]
    got = attribute(module, losses.softmax(), (x, y), {"all": (x, y)}, estimator="ekfac")
    (row,) = (q for q in got.quality if q.name == "weight decay")
    assert row.warns and "not an L2 of the objective" in row.text and "2.weight" in row.text
    assert "95 % interval" in row.text and "unexplained" in row.text
    module, x, y = models["sgd with l2"]
    for stated, warns, words in (
        (L2, False, "agrees with the stated L2"),
        (0.0, True, "another L2 than the one stated"),
    ):
        row = weight_decay(posed(module, x, y, l2=stated))
        assert row.warns is warns and words in row.text
    row = weight_decay(posed(*models["sgd"], l2=0.0))
    assert not row.warns and "had not settled" in row.text and "Implied" not in row.text


@pytest.mark.parametrize("name", ["binary, class weights", "poisson, two counts", "gaussian, known scales"])
def test_a_convex_model_at_its_optimum_agrees_with_what_was_stated_and_with_nothing_else(name: str) -> None:
    # Strong L2 on slopes, none on the bias, weighted records: the implied numbers are those that trained it.
    made = world(name, l2=0.3, features=6)
    x, y = torch.from_numpy(made.x), made.family.targets(made.y)

    def of(stated: dict[str, float]) -> Decay:
        weights = torch.from_numpy(made.weights)
        return recognise(posed(made.module(), x, y, loss=made.family.loss, l2=stated, weights=weights))

    right = of({"weight": 0.3})
    assert right.verdict == "as stated" and right.removals < 1e-8
    slopes, bias = right.groups
    assert slopes.implied == pytest.approx(0.3) and slopes.unexplained < 1e-12 and abs(bias.implied) < 1e-9
    wrong = of({})
    assert wrong.verdict == "another L2" and wrong.implied == pytest.approx(0.3) and wrong.by_stated == 0
    assert "another L2" in sentence(wrong)


def test_a_fixed_point_of_decoupled_decay_is_told_from_any_l2() -> None:
    # Built, not trained: penalty kappa s_j on each slope, s_j from the gradients there, until both agree.
    x, y = random(400, 24, seed=3) * torch.logspace(-0.5, 0.5, 24, dtype=torch.float64), random(400, seed=4)
    y = y + x @ random(24, seed=5)
    penalty = torch.full((24,), 0.1, dtype=torch.float64)
    for _ in range(200):
        theta = torch.linalg.solve(x.T @ x / 400 + torch.diag(penalty), x.T @ y / 400)
        penalty = 0.3 * (x * (x @ theta - y).unsqueeze(1)).std(0, correction=0)
    module = nn.Linear(24, 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(theta.unsqueeze(0))
    found = recognise(posed(module, x, y.unsqueeze(1), loss=losses.gaussian(), l2=0.0))
    assert found.verdict == "decoupled" and found.by_decoupled > 1 - 1e-6 and found.by_l2 < 0.97
    nearest = float(penalty @ theta.square() / theta.square().sum())
    assert found.groups[0].implied == pytest.approx(nearest)


def test_where_all_gradients_vary_alike_it_cannot_be_told() -> None:
    # Signs as features: every slope's gradient has the same deviation, so both decays are the same vector.
    x = torch.sign(random(4000, 30, seed=1))
    theta = random(30, seed=2)
    y = x @ theta * 1.2 + random(4000, seed=3)
    solved = torch.linalg.solve(x.T @ x / 4000 + 0.2 * torch.eye(30, dtype=torch.float64), x.T @ y / 4000)
    module = nn.Linear(30, 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(solved.unsqueeze(0))
    found = recognise(posed(module, x, y.unsqueeze(1), loss=losses.gaussian(), l2=0.0))
    assert min(found.by_l2, found.by_decoupled) > 0.99
    # Exact L2 leaves no residual at all, which is told even here; with training noise on the gradient it is not.
    noisy = recognise(
        posed(module, x, y.unsqueeze(1), loss=losses.gaussian(), l2=0.0),
        gradient=-(0.2 * solved + 0.03 * random(30, seed=9)),
    )
    assert noisy.verdict == "cannot be told" and not noisy.warns


@pytest.mark.parametrize("name", sorted(MODULES))
def test_second_moments_are_those_of_dense_gradients(name: str) -> None:
    problem = module_problem(name, batch=7)
    terms = output_terms(problem, problem.outputs(problem.inputs), problem.targets)
    jacobian = output_jacobian(problem, problem.inputs)
    gradients = problem.weights.unsqueeze(1) * torch.einsum("bc,bcd->bd", terms.gradient, jacobian)
    torch.testing.assert_close(second_moments(problem), gradients.square().mean(0))


def test_neither_row_order_nor_batch_size_nor_the_scale_of_the_loss_matters(
    models: dict[Recipe, tuple[nn.Sequential, Tensor, Tensor]],
) -> None:
    module, x, y = models["adamw"]
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))

    def of(problem: Problem) -> list[float]:
        found = recognise(problem)
        return [found.confidence, found.removals, found.by_l2, found.by_decoupled]

    base = of(posed(module, x, y, l2=0.0))
    assert of(posed(module, x[order], y[order], l2=0.0, batch=17)) == pytest.approx(base, rel=1e-8)
    tenfold = posed(module, x, y, l2=0.0, loss=lambda z, t: 10 * losses.softmax()(z, t))
    assert of(tenfold) == pytest.approx(base, rel=1e-8)
    assert recognise(tenfold).implied == pytest.approx(10 * recognise(posed(module, x, y, l2=0.0)).implied)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), slope=st.floats(-5, 5))
def test_a_regression_is_that_of_textbooks(seed: int, slope: float) -> None:
    x, noise = random(40, seed=seed), random(40, seed=seed + 1)
    units = torch.arange(40) // 4
    found = fit(slope * x + noise, x, units)
    wanted = np.linalg.lstsq(x.numpy()[:, None], (slope * x + noise).numpy(), rcond=None)[0][0]
    assert found.slope == pytest.approx(wanted)
    assert abs(float(found.left @ x)) < 1e-9
    scores = np.array([float((x * found.left)[4 * u : 4 * u + 4].sum()) for u in range(10)])
    assert found.error == pytest.approx(1.959964 * np.sqrt((scores**2).sum()) / float(x @ x), rel=1e-5)
    assert vuong(noise, 3 * noise + 0.1, units) == pytest.approx(-vuong(3 * noise + 0.1, noise, units))
    assert vuong(0.1 * noise, noise * random(40, seed=3).abs(), units) > 0


def test_units_are_rows_or_columns_whichever_are_more() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    units = units_of(posed(module.double(), random(4, 3), torch.zeros(4).long()).layout)
    assert units.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 10, 11, 12]
    assert by_unit(torch.ones(20), units).tolist() == [2, 2, 2, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]
