"""The public door: its figures against retraining, its shapes and dtypes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.errors import DataError, ModelError, NumericsError, PolicyError
from auditkit.influence import Attribution, attribute
from auditkit.influence.estimators.exact import Exact
from auditkit.influence.measures import Measure, state_evaluation
from auditkit.influence.scoring import score
from tests.influence.conftest import mean_losses, posed, random
from tests.influence.modules import Tabular
from tests.worlds import (
    Floats,
    SoftmaxWorld,
    binary_cross_entropy,
    breast_cancer,
    cross_entropy,
    fit_softmax,
    leave_one_out,
    slices_of,
)

Network = tuple[nn.Sequential, Tensor, Tensor]


def cancer_slices(world: SoftmaxWorld, labels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    x, masks = torch.from_numpy(world.x_eval), torch.from_numpy(slices_of(world)) > 0
    return {f"slice {s}": (x[masks[:, s]], labels[masks[:, s]]) for s in range(3)}


def on_cancer(world: SoftmaxWorld, module: nn.Module | None = None, **given: Any) -> Attribution:
    train = (torch.from_numpy(world.x), torch.from_numpy(world.y))
    slices = cancer_slices(world, torch.from_numpy(world.y_eval))
    return attribute(module or world.module(), cross_entropy, train, slices, weight_decay=world.l2, **given)


def on_network(mlp: Network, **given: Any) -> Attribution:
    module, x, y = mlp
    slices = {"even": (x[::2], y[::2]), "odd": (x[1::2], y[1::2])}
    return attribute(module, cross_entropy, (x, y), slices, **{"weight_decay": 1e-2, **given})


def test_scores_are_the_changes_that_retraining_gives() -> None:
    world = breast_cancer()
    got = on_cancer(world)
    rows = np.arange(0, len(world.x), 5)
    actual, own = leave_one_out(world, slices_of(world), rows)
    assert got.scores.shape == (len(world.x), 3) and got.slice_names == ("slice 0", "slice 1", "slice 2")
    for s in range(3):
        predicted = got.scores[rows, s].numpy()
        assert np.corrcoef(predicted, actual[:, s])[0, 1] >= 0.96
        assert np.mean(np.sign(predicted) == np.sign(actual[:, s])) >= 0.95
        assert 0.9 <= predicted @ actual[:, s] / (actual[:, s] @ actual[:, s]) <= 1.1
    assert got.self_influence is not None
    assert np.corrcoef(got.self_influence[rows].numpy(), own)[0, 1] >= 0.96
    assert "mean loss" in got.unit


@pytest.mark.parametrize("estimator", ["auto", "exact", "cg", "ekfac"])
def test_it_is_the_engine_and_nothing_beside_it(mlp: Network, estimator: str) -> None:
    from auditkit.influence.registry import choose

    module, x, y = mlp
    got = on_network(mlp, estimator=estimator)
    problem = posed(module, x, y)
    wanted = score(problem, choose(problem, estimator, "auto").estimator.fit(problem), mean_losses(problem, x, y))
    torch.testing.assert_close(got.scores, wanted.effects, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(got.self_influence, wanted.self_influence, rtol=1e-8, atol=1e-14)


def test_one_logit_may_come_with_or_without_its_own_axis() -> None:
    x, y = random(40, 3), (torch.arange(40) % 2).double()
    with_axis = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    without = nn.Sequential(with_axis, nn.Flatten(0)).double()
    slices = {"first": (x[:10], y[:10]), "all": (x, y)}
    one, two = (attribute(m, binary_cross_entropy, (x, y), slices, weight_decay=0.1) for m in (with_axis, without))
    torch.testing.assert_close(one.scores, two.scores, rtol=1e-9, atol=1e-15)
    assert one.scores.shape == (40, 2) and float(one.scores.abs().max()) > 0


def test_a_float32_module_gives_float64_scores_and_is_not_changed() -> None:
    world = breast_cancer()
    module = world.module().float()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    train = (torch.from_numpy(world.x).float(), torch.from_numpy(world.y))
    slices = {k: (x.float(), y) for k, (x, y) in cancer_slices(world, torch.from_numpy(world.y_eval)).items()}
    got, wide = attribute(module, cross_entropy, train, slices, weight_decay=world.l2), on_cancer(world)
    assert got.scores.dtype == torch.float64
    assert float((got.scores - wide.scores).norm() / wide.scores.norm()) <= 1e-4
    for name, value in module.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, before[name])


def test_inputs_may_be_a_tuple_and_weights_and_penalties_reach_the_objective() -> None:
    module = Tabular().double().eval()
    codes = torch.randint(0, 5, (30, 3), generator=torch.Generator().manual_seed(2))
    x, y, weights = (random(30, 2), codes), torch.arange(30) % 2, random(30, seed=1).abs()
    weights[4] = 0.0
    l2 = {"head.weight": 0.2, "table.weight": 0.1}
    got = attribute(
        module, cross_entropy, (x, y), {"s": ((x[0][:7], codes[:7]), y[:7])}, weight_decay=l2,
        sample_weight=weights, estimator="exact", damping=0.05,
    )  # fmt: skip
    problem = posed(module, x, y, l2=l2, weights=weights)
    measure = Measure("s", "loss", (torch.arange(30) < 7).double() / 7)
    wanted = score(problem, Exact(damping=0.05).fit(problem), state_evaluation(problem, x, y, [measure]))
    torch.testing.assert_close(got.scores, wanted.effects)
    assert not got.scores[4].any() and bool(got.scores[:4].any())


def test_a_measure_of_ones_own_is_predicted_in_its_own_unit(mlp: Network) -> None:
    module, x, y = mlp

    def probability(outputs: Tensor) -> Tensor:
        return outputs.softmax(1)[:, 1]

    got = on_network(mlp, measure=probability)
    problem = posed(module, x, y)
    even = (torch.arange(len(y)) % 2 == 0).double()
    evaluation = state_evaluation(problem, (x,), y, [Measure("even", "score", even / even.sum())], probability)
    torch.testing.assert_close(got.scores[:, 0], score(problem, Exact().fit(problem), evaluation).effects[:, 0])
    # A constant added to the measure changes nothing; its negative changes the sign.
    turned = on_network(mlp, measure=lambda outputs: 3 - probability(outputs))
    torch.testing.assert_close(turned.scores, -got.scores)
    assert "in the unit of the measure" in got.unit


def test_a_ratio_and_a_gap_of_slices_are_predicted_by_the_delta_method() -> None:
    world = breast_cancer()
    got = on_cancer(world, measure=lambda outputs: outputs.softmax(1)[:, 1])
    weights, rows = slices_of(world), np.arange(0, len(world.x), 5)

    def measured(theta: Floats) -> Floats:
        # The probability of class 1 is exp(−loss) under the label 1.
        return np.exp(-world.losses(theta, world.x_eval, np.ones_like(world.y_eval))) @ weights

    before = measured(world.theta)
    np.testing.assert_allclose(got.values.numpy(), before, rtol=1e-10)
    after = []
    for i in rows:
        kept = np.ones(len(world.x))
        kept[i] = 0.0
        theta = fit_softmax(world.x, world.y, classes=2, l2=world.l2, weights=kept, n=len(kept), start=world.theta)
        after.append(measured(theta))
    for function in (lambda m: m[2] / m[1], lambda m: m[1] - m[0]):
        actual = np.array([function(row) - function(before) for row in after])
        predicted = got.effect_on(function)[rows].numpy()
        assert np.corrcoef(predicted, actual)[0, 1] >= 0.96
        assert 0.9 <= predicted @ actual / (actual @ actual) <= 1.1
    torch.testing.assert_close(got.effect_on(lambda m: m[1] - m[0]), got.scores[:, 1] - got.scores[:, 0])


def test_a_function_of_the_measures_that_has_no_gradient_is_refused(mlp: Network) -> None:
    got = on_network(mlp)
    for function in (lambda m: m, lambda m: 1.0, lambda m: m.detach().sum()):
        with pytest.raises(PolicyError, match="one number that depends on"):
            got.effect_on(function)
    with pytest.raises(NumericsError, match="gradient of the function"):
        got.effect_on(lambda m: m[0] / (m[1] - m[1]))


def test_self_influence_can_be_left_out_and_quality_says_what_was_done(mlp: Network) -> None:
    got = on_network(mlp, self_influence=False, tolerance=0.05, generator=torch.Generator())
    assert got.self_influence is None
    said = {q.name: q for q in got.quality}
    assert "Chosen because the model has" in said["estimator"].text and "Koh & Liang" in said["estimator"].text
    assert said["parameters covered"].value == 1.0 and said["gradient norm"].value is not None
    assert "not compressed" in said["compression"].text and "0.05" in said["compression"].text
    assert "drawn at random" in said["chance"].text
    assert "weight 1/N" in said["removal"].text and "method" not in said
    other = {q.name: q for q in on_network(mlp, removal="renormalised").quality}
    assert "N - 1" in other["removal"].text
    assert "Named by the caller" in {q.name: q for q in on_network(mlp, estimator="cg").quality}["estimator"].text


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"estimator": "trak"}, PolicyError, "no influence estimator is called 'trak'; there are auto"),
        ({"estimator": "ensemble:tracin", "members": []}, PolicyError, "ensemble:tracin"),
        ({"removal": "remembered"}, PolicyError, "removal 'remembered'"),
        ({"tolerance": -1.0}, PolicyError, "tolerance"),
        ({"tolerance": float("nan")}, PolicyError, "tolerance"),
        ({"measure": "score"}, PolicyError, "callable"),
        ({"measure": "accuracy"}, PolicyError, "'accuracy'"),
        ({"measure": lambda outputs: outputs}, PolicyError, r"one value per record, shape \(2,\); it gave \(2, 3\)"),
        ({"checkpoints": [], "estimator": "exact"}, PolicyError, "has no use for checkpoints; they belong to tracin"),
        ({"members": [], "estimator": "cg"}, PolicyError, "has no use for members; they belong to ensemble"),
        ({"estimator": "tracin"}, PolicyError, "needs checkpoints"),
        ({"estimator": "ensemble"}, PolicyError, "needs members"),
        ({"members": [], "checkpoints": []}, PolicyError, "give one of them"),
        ({"device": "nowhere"}, PolicyError, "nowhere"),
        ({"device": "meta:9x"}, PolicyError, "meta:9x"),
        ({"weight_decay": {"weight": 1.0}}, ModelError, "does not train: weight"),
        ({"sample_weight": torch.ones(3)}, DataError, "sample weights"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    mlp: Network, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        on_network(mlp, **given)


def test_rows_that_do_not_fit_are_refused(mlp: Network) -> None:
    module, x, y = mlp
    good = {"s": (x, y)}
    for train, slices, words in (
        ((x, y[:5]), good, "train is empty, or its inputs .* differ in rows"),
        ((x,), good, "train must be"),
        ((x.numpy(), y), good, "train must be"),
        ((x, y), {}, "no slice"),
        ((x, y), {"none": (x[:0], y[:0])}, "slice 'none' is empty"),
        ((x, y), {"s": ((x, x), y)}, "slice 's' differ in kind or shape"),
        ((x, y), {"s": (x[:, :2], y)}, "slice 's' differ in kind or shape"),
        ((x, y), {"s": (x, y.double())}, "slice 's' differ in kind or shape"),
    ):
        with pytest.raises(DataError, match=words):
            attribute(module, cross_entropy, train, slices)  # type: ignore[arg-type]


def test_a_loss_with_constants_of_another_precision_is_refused_with_a_hint(mlp: Network) -> None:
    module, x, y = mlp
    weight = torch.ones(3, dtype=torch.float32)

    def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, weight=weight, reduction="none")

    with pytest.raises(ModelError, match=r"float64 .*follow the dtype of the outputs"):
        attribute(module, weighted, (x, y), {"s": (x, y)})


def test_importing_the_room_loads_no_torch_and_the_door_opens_in_any_order() -> None:
    code = (
        "import sys, auditkit.influence as room; assert 'torch' not in sys.modules;"
        "import auditkit.influence.attribution; from auditkit.influence import Attribution, attribute;"
        "assert callable(attribute) and attribute is room.attribute and Attribution.__name__ == 'Attribution'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import auditkit.influence as room

    with pytest.raises(AttributeError, match="nothing"):
        _ = room.nothing
