"""Every loss of the table: closed forms, retraining, and what it says of itself."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from auditkit.errors import DataError, NumericsError
from auditkit.influence import attribute, losses
from auditkit.influence.estimators.exact import Exact, gauss_newton
from auditkit.influence.jacobian import output_jacobian
from auditkit.influence.likelihood import output_terms, third_derivative
from auditkit.influence.newton import removal
from auditkit.influence.renormalised import RemovalForm
from tests.influence.conftest import posed, random
from tests.influence.glm import FAMILIES, Family, World, minimise, world
from tests.influence.test_leave_one_out import figures

Record = Callable[[str, object], None]
every_family = pytest.mark.parametrize("name", sorted(FAMILIES))


def test_every_loss_has_a_family_that_tests_it() -> None:
    assert {family.loss.name for family in FAMILIES.values()} == set(losses.LOSSES)
    for name, make in losses.LOSSES.items():
        told = make()
        assert told.name == name and told.formula and told.link and told.unit == "nats" and told.fisher


@every_family
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), size=st.sampled_from([0.1, 1.0, 8.0]))
def test_value_and_derivatives_are_the_closed_forms(name: str, seed: int, size: float) -> None:
    family, rng = FAMILIES[name], np.random.default_rng(seed)
    z = size * rng.normal(size=(6, family.outputs))
    y = family.draw(np.clip(z, -3, 3), rng)
    outputs, targets = torch.from_numpy(z), family.targets(y)
    flat = torch.nn.Linear(2, family.outputs).double()
    problem = posed(flat, random(6, 2), targets, loss=family.loss)
    terms = output_terms(problem, outputs, targets)
    assert terms.loss.numpy() == pytest.approx(family.value(z, y), rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(terms.gradient, family.gradient(z, y), rtol=1e-9, atol=1e-12)
    hessian = family.hessian(z, y)
    np.testing.assert_allclose(terms.root @ terms.root.mT, hessian, rtol=1e-8, atol=1e-11 * hessian.max())
    third = family.third(z, y)
    np.testing.assert_allclose(
        third_derivative(problem, outputs, targets), third, rtol=1e-8, atol=1e-11 * max(1, np.abs(third).max())
    )


@every_family
def test_the_hessian_is_the_fisher_information_where_it_is_said_to_be(name: str) -> None:
    family = FAMILIES[name]
    z = 0.7 * np.random.default_rng(1).normal(size=(1, family.outputs))
    # Monte Carlo over the model's own distribution: E[r rᵀ] against the Hessian.
    draws = np.repeat(z, 200_000, axis=0)
    y = family.draw(draws, np.random.default_rng(2))
    r = family.gradient(draws, y)
    fisher, hessian = r.T @ r / len(r), family.hessian(draws, y).mean(0)
    close = np.allclose(fisher, hessian, atol=0.03 * np.abs(hessian).max())
    assert close is family.loss.fisher
    targets_matter = not np.allclose(family.hessian(draws, y), hessian)
    assert targets_matter is not family.loss.fisher


def actual_changes(made: World, slices: np.ndarray, removal_form: RemovalForm) -> tuple[np.ndarray, np.ndarray]:
    n = len(made.x)
    base, effects, own = made.losses(made.theta), np.empty((n, slices.shape[1])), np.empty(n)
    for i in range(n):
        change = made.losses(made.without(i, divisor=n if removal_form == "fixed" else n - 1)) - base
        effects[i], own[i] = change @ slices, change[i]
    return effects, own


@every_family
@pytest.mark.parametrize("form", ["fixed", "renormalised"])
@pytest.mark.parametrize("bias_l2", [0.0, 0.1])
def test_scores_are_those_of_retraining(name: str, form: RemovalForm, bias_l2: float, record_property: Record) -> None:
    made = world(name, bias_l2=bias_l2)
    masks = np.stack([made.x[:, 0] > 0, made.x[:, 1] > 0, np.ones(len(made.x), dtype=bool)], axis=1)
    actual, own = actual_changes(made, masks / masks.sum(0), form)
    x, y = torch.from_numpy(made.x), made.family.targets(made.y)
    got = attribute(
        made.module(), made.family.loss, (x, y),
        {str(s): (x[masks[:, s]], y[masks[:, s]]) for s in range(3)},
        weight_decay={"weight": made.l2, "bias": bias_l2}, sample_weight=torch.from_numpy(made.weights), removal=form,
    )  # fmt: skip
    assert got.self_influence is not None
    for s in range(3):
        found = figures(got.scores[:, s].numpy(), actual[:, s])
        record_property(f"slice {s}", {k: round(v, 4) for k, v in found.items()})
        assert found["pearson"] >= 0.99 and 0.93 <= found["scale"] <= 1.07 and found["sign"] >= 0.97
    found = figures(got.self_influence.numpy(), own)
    record_property("self", {k: round(v, 4) for k, v in found.items()})
    assert found["pearson"] >= 0.98 and 0.93 <= found["scale"] <= 1.07 and found["sign"] >= 0.98
    if made.family.loss.name == "gaussian":
        np.testing.assert_allclose(got.scores, actual, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(got.self_influence, own, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", ["poisson, two counts", "gaussian, known scales", "softmax, class weights"])
def test_the_matrix_form_of_the_newton_step_is_the_inverse_without_the_record(name: str) -> None:
    made = world(name, n=30, bias_l2=1e-2)
    x, y = torch.from_numpy(made.x), made.family.targets(made.y)
    l2 = {"weight": made.l2, "bias": made.bias_l2}
    problem = posed(made.module(), x, y, loss=made.family.loss, l2=l2, weights=torch.from_numpy(made.weights))
    curvature = Exact(damping=0.0).fit(problem)
    dense = gauss_newton(problem) + torch.diag(problem.penalty)
    terms, jacobian = output_terms(problem, problem.outputs((x,)), y), output_jacobian(problem, (x,))
    _, gram = curvature.probe((x,), None, torch.zeros(problem.layout.size, 1, dtype=torch.float64))
    out = removal(terms.root, gram, weights=problem.weights, n=problem.n, bound=curvature.leverage_bound)
    q = out.corrected(terms.gradient, gram)
    scalar = []
    for n in range(0, 30, 5):
        w, r = problem.weights[n], terms.gradient[n]
        own = jacobian[n].T @ terms.root[n] @ terms.root[n].T @ jacobian[n]
        wanted = torch.linalg.solve(dense - w * own / problem.n, w * jacobian[n].T @ r / problem.n)
        step = curvature.solve((jacobian[n].T @ q[n]).unsqueeze(1))[:, 0] / problem.n
        torch.testing.assert_close(step, wanted, rtol=1e-9, atol=1e-13)
        plain = torch.linalg.solve(dense, w * jacobian[n].T @ r / problem.n)
        scalar.append(float((plain / (1 - out.leverage[n]) - wanted).norm() / wanted.norm()))
    # Several outputs: one number cannot do what the matrix does.
    assert max(scalar) > 0.01


def of(theta: np.ndarray) -> float:
    return float(np.linalg.norm(theta))


def test_class_weights_in_the_loss_and_as_sample_weights_train_alike_and_measure_differently() -> None:
    made = world("binary", weighted=False)
    pair, y = (0.5, 2.0), torch.from_numpy(made.y)
    family = FAMILIES["binary"]
    per_record = losses.of_records(y[:, 0], pair)
    assert per_record.tolist() == np.where(made.y[:, 0] == 1, 2.0, 0.5).tolist()
    share = per_record.numpy() / len(made.x)
    theta = minimise(family, made.x, made.y, share, l2=made.l2, bias_l2=0.0)
    weighted = World(family, made.x, made.y, per_record.numpy(), made.l2, 0.0, theta)
    x = torch.from_numpy(made.x)
    slices = {"one": (x[y[:, 0] == 1], y[y[:, 0] == 1]), "all": (x, y)}
    l2 = {"weight": made.l2}
    inside, beside = (
        attribute(weighted.module(), loss, (x, y), slices, weight_decay=l2, sample_weight=w)
        for loss, w in ((losses.binary(class_weights=pair), None), (losses.binary(), per_record))
    )
    # Same training, same steps: on a slice of one class the weighted loss is that class's weight times the plain one.
    torch.testing.assert_close(inside.scores[:, 0], 2.0 * beside.scores[:, 0], rtol=1e-8, atol=1e-14)
    assert not torch.allclose(inside.scores[:, 1], beside.scores[:, 1], rtol=0.1)
    torch.testing.assert_close(inside.self_influence, per_record * beside.self_influence, rtol=1e-8, atol=1e-14)


def test_balanced_weights_average_one_and_equal_torchs_weighted_mean() -> None:
    y = torch.tensor([0, 0, 0, 1, 2, 2])
    weights = losses.balanced(y, classes=3)
    assert weights == pytest.approx((6 / 9, 2.0, 1.0))
    z = random(6, 3)
    mine = losses.softmax(class_weights=weights)(z, y)
    assert float(losses.of_records(y, weights).mean()) == pytest.approx(1.0)
    torch.testing.assert_close(
        mine.mean(), functional.cross_entropy(z, y, weight=torch.tensor(weights, dtype=torch.float64))
    )
    with pytest.raises(DataError, match="each of 4 classes"):
        losses.balanced(y, classes=4)
    with pytest.raises(DataError, match="none of the 2 classes"):
        losses.of_records(y, (1.0, 2.0))


def test_losses_equal_torchs_and_sum_over_the_outputs_of_a_record() -> None:
    z, y = random(5, 4), (random(5, 4, seed=1) > 0).double()
    both = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    torch.testing.assert_close(losses.binary()(z, y), both.sum(1))
    torch.testing.assert_close(losses.binary()(z[:, :1], y[:, 0]), both[:, 0])
    torch.testing.assert_close(losses.binary()(z[:, 0], y[:, 0].float()), both[:, 0])
    tokens = torch.randint(0, 7, (5, 3), generator=torch.Generator().manual_seed(0))
    logits = random(5, 3, 7)
    wanted = functional.cross_entropy(logits.mT, tokens, reduction="none").sum(1)
    torch.testing.assert_close(losses.softmax()(logits, tokens), wanted)
    counts = tokens.double()
    wanted = functional.poisson_nll_loss(logits[..., 0], counts, reduction="none").sum(1)
    torch.testing.assert_close(losses.poisson()(logits[..., 0], counts), wanted + torch.lgamma(counts + 1).sum(1))
    wanted = -torch.distributions.Normal(z, 0.3).log_prob(y).sum(1)
    torch.testing.assert_close(losses.gaussian(scale=0.3)(z, y), wanted)


def test_losses_can_be_pickled_and_far_logits_keep_their_curvature() -> None:
    for family in FAMILIES.values():
        again = pickle.loads(pickle.dumps(family.loss))  # noqa: S301
        z = random(4, family.outputs)
        y = family.targets(family.draw(z.numpy(), np.random.default_rng(0)))
        torch.testing.assert_close(again(z, y), family.loss(z, y), rtol=0, atol=0)
        assert (again.name, again.fisher) == (family.loss.name, family.loss.fisher)
    z = torch.tensor([[30.0]], dtype=torch.float64)
    problem = posed(torch.nn.Linear(2, 1).double(), random(2, 2), torch.zeros(2).double(), loss=losses.binary())
    root = output_terms(problem, z, torch.zeros(1)).root
    assert float(root.square()) == pytest.approx(np.exp(-30), rel=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.binary(class_weights=(1.0,)), "class weights must be finite numbers above zero"),
        (lambda: losses.softmax(class_weights=(1.0, 0.0)), "above zero"),
        (lambda: losses.gaussian(scale=0.0), "scale of a Gaussian must be finite and above zero"),
        (lambda: losses.gaussian(scale=(1.0, float("nan"))), "above zero"),
        (lambda: losses.gaussian(scale=(1.0, 2.0))(random(4, 3), random(4, 3)), "2 scales were given"),
        (lambda: losses.softmax(class_weights=(1.0, 2.0))(random(4, 3), torch.zeros(4)), "2 class weights were given"),
        (lambda: losses.softmax()(random(4, 3), torch.zeros(4, 3)), "need targets"),
        (lambda: losses.poisson()(random(4, 1), random(4, 4)), "do not fit each other"),
        (lambda: losses.gaussian()(random(4), random(1, 4)), "do not fit each other"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


@pytest.mark.parametrize(
    ("loss", "targets", "outputs"),
    [
        (losses.binary(), torch.tensor([0.0, 1.0, -1.0, 1.0]), 1),
        (losses.softmax(), torch.tensor([0, 1, 3, 1]), 3),
        (losses.softmax(), torch.tensor([0.0, 1.0, 0.5, 1.0]), 3),
        (losses.poisson(), torch.tensor([0.0, 1.0, -1.0, 1.0]), 1),
    ],
)
def test_targets_outside_the_domain_are_refused_with_their_number(
    loss: losses.RecordLoss, targets: torch.Tensor, outputs: int
) -> None:
    module = torch.nn.Linear(2, outputs).double()
    with pytest.raises(NumericsError, match=r"loss of training records 0 to 3: 1 of 4 values are not finite"):
        attribute(module, loss, (random(4, 2), targets), {"s": (random(4, 2), targets)})


def test_a_family_is_what_it_says(record_property: Record) -> None:
    # The worlds themselves: retraining with nothing taken out stays where it is.
    for name, family in FAMILIES.items():
        made: World = world(name)
        again = minimise(family, made.x, made.y, made.weights / len(made.x), l2=made.l2, bias_l2=0.0, start=made.theta)
        assert of(again - made.theta) <= 1e-11
        assert isinstance(family, Family)
